"""The jar lock, and what is let into the cache."""

import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

from services.embedded.jars import LOCK_FILE, Jar, JarError, JarLock, fetch_jars, jar_file, read_lock
from services.embedded.lock import ROOTS, lock_text
from services.embedded.settings import EmbeddedSettings

CONTENT = b"the bytes of a jar"


def make_jar(name: str = "tool", content: bytes = CONTENT) -> Jar:
    return Jar(
        coordinate=f"org.example:{name}:1.0",
        server="kafka",
        sha256=sha256(content).hexdigest(),
        size=len(content),
    )


class Repository(ThreadingHTTPServer):
    """Serves `files`, counts requests, and answers 503 as often as `failures` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.failures = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def add(self, jar: Jar, content: bytes = CONTENT) -> Jar:
        self.files[f"/{jar.path}"] = content
        return jar


class Answer(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        content = self.server.files.get(self.path)
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
        elif content is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path, repository: Repository) -> EmbeddedSettings:
    return EmbeddedSettings(cache_dir=tmp_path / "cache", maven_url=repository.url, download_attempts=3)


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO())


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_lock_has_every_root_and_hashes_but_no_addresses() -> None:
    lock = read_lock()
    coordinates = {(jar.server, jar.coordinate) for jar in lock.jars}
    assert len(coordinates) == len(lock.jars)
    assert {(server, root) for server, roots in ROOTS.items() for root in roots} <= coordinates
    assert "//" not in LOCK_FILE.read_text(encoding="utf-8")


def test_the_lock_file_is_what_its_command_writes() -> None:
    assert lock_text(read_lock()) == LOCK_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("field", ["sha256", "coordinate"])
def test_a_malformed_lock_is_refused(field: str) -> None:
    jar = make_jar().model_dump() | {field: "../../etc/passwd"}
    with pytest.raises(ValidationError):
        JarLock.model_validate({"jars": [jar]})


def test_fetched_jars_are_kept_and_not_fetched_again(
    repository: Repository, settings: EmbeddedSettings, console: Console
) -> None:
    jars = [repository.add(make_jar(name)) for name in ("one", "two", "three")]
    assert fetch_jars(jars, settings, console) == 3 * len(CONTENT)
    assert fetch_jars(jars, settings, console) == 0
    assert set(repository.requests.values()) == {1}
    assert jar_file(jars[0], settings.cache_folder).read_bytes() == CONTENT


def test_a_jar_with_another_hash_is_refused_and_not_kept(
    repository: Repository, settings: EmbeddedSettings, console: Console
) -> None:
    jar = repository.add(make_jar(), b"something else....")
    with pytest.raises(JarError) as refused:
        fetch_jars([jar], settings, console)
    for part in (jar.coordinate, jar.sha256, sha256(b"something else....").hexdigest(), "NEWSFLOW_MAVEN_URL"):
        assert part in str(refused.value)
    assert files_in(settings.cache_folder) == []


def test_a_wrong_file_in_the_cache_is_replaced(
    repository: Repository, settings: EmbeddedSettings, console: Console
) -> None:
    jar = repository.add(make_jar())
    file = jar_file(jar, settings.cache_folder)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT[::-1])
    fetch_jars([jar], settings, console)
    assert file.read_bytes() == CONTENT


def test_a_passing_fault_is_tried_again(
    repository: Repository, settings: EmbeddedSettings, console: Console
) -> None:
    repository.failures = 2
    jar = repository.add(make_jar())
    fetch_jars([jar], settings, console)
    assert repository.requests.total() == 3


def test_a_run_that_failed_goes_on_where_it_stopped(
    repository: Repository, settings: EmbeddedSettings, console: Console
) -> None:
    there, missing = repository.add(make_jar("there")), make_jar("missing")
    with pytest.raises(JarError, match=r"org\.example:missing:1\.0 could not be fetched.*404"):
        fetch_jars([there, missing], settings, console)
    repository.add(missing)
    fetch_jars([there, missing], settings, console)
    assert repository.requests[f"/{there.path}"] == 1
    assert files_in(settings.cache_folder) == ["missing-1.0.jar", "there-1.0.jar"]
