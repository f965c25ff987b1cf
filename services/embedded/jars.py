"""The jars of both servers: locked by SHA-256, fetched in parallel, verified before they are kept."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

import requests
from pydantic import BaseModel, ConfigDict, Field
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from services.embedded.settings import DEPLOY, EmbeddedSettings

LOCK_FILE = DEPLOY / "jars.lock.json"

BLOCK_BYTES = 1 << 18
"""Bytes read at once: large enough that hashing, not calls, takes the time."""

RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be different a moment later."""

ServerName = Literal["kafka", "elasticsearch", "compiler"]


class JarError(RuntimeError):
    """A jar could not be had, or is not the one that was locked. The message says what to do."""


class Jar(BaseModel):
    """One locked file: `coordinate` is group:artifact:version, with :classifier where it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinate: str = Field(pattern=r"^[\w.-]+(:[\w.-]+){2,3}$")
    server: ServerName
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(gt=0, description="bytes")

    @property
    def artifact(self) -> str:
        """The middle part of the coordinate."""
        return self.coordinate.split(":")[1]

    @property
    def version(self) -> str:
        """The third part of the coordinate."""
        return self.coordinate.split(":")[2]

    @property
    def path(self) -> str:
        """Where a Maven repository keeps this jar, relative to its base; the cache uses the same."""
        group, artifact, version, *classifier = self.coordinate.split(":")
        name = "-".join([artifact, version, *classifier])
        return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.jar"


class JarLock(BaseModel):
    """The content of the lock file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jars: tuple[Jar, ...]

    def of(self, server: ServerName) -> list[Jar]:
        """The jars of one server, in the lock's order."""
        return [jar for jar in self.jars if jar.server == server]

    def version_of(self, artifact: str) -> str:
        """The locked version of an artifact; KeyError if the lock has none."""
        for jar in self.jars:
            if jar.artifact == artifact:
                return jar.version
        raise KeyError(artifact)


def read_lock(file: Path = LOCK_FILE) -> JarLock:
    """The locked jars; raises pydantic's ValidationError on a malformed file."""
    return JarLock.model_validate_json(file.read_bytes())


def jar_file(jar: Jar, cache: Path) -> Path:
    """Where the cache keeps this jar, whether or not it is there."""
    return cache / "maven" / jar.path


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_verified(jar: Jar, cache: Path) -> bool:
    """True if the cache holds exactly the locked bytes of this jar."""
    file = jar_file(jar, cache)
    return file.is_file() and file.stat().st_size == jar.size and file_sha256(file) == jar.sha256


def fetch_jars(jars: Sequence[Jar], settings: EmbeddedSettings, console: Console) -> int:
    """Make sure that the cache holds every jar, verified; return the number of bytes fetched.

    What is there and right is kept, so a second run goes on where the first one stopped.
    A wrong file is deleted and fetched again, once. Raises JarError.
    """
    cache = settings.cache_folder
    missing = [jar for jar in dict.fromkeys(jars) if not is_verified(jar, cache)]
    if not missing:
        return 0
    total = sum(jar.size for jar in missing)
    if not console.is_terminal:
        console.print(f"Fetching {len(missing)} jars ({total / 1e6:.0f} MB) into {cache}", soft_wrap=True)
    columns = (TextColumn("Fetching jars"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        requests.Session() as session,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        # requests keeps one connection per host unless told otherwise.
        session.mount(settings.maven_url, HTTPAdapter(pool_maxsize=settings.download_threads))
        task = progress.add_task("", total=total)
        pool = ThreadPoolExecutor(settings.download_threads, thread_name_prefix="jars")
        try:
            waiting = [
                pool.submit(fetch_jar, jar, session, settings, lambda n: progress.advance(task, n))
                for jar in missing
            ]
            for done in as_completed(waiting):
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return total


def fetch_jar(
    jar: Jar, session: requests.Session, settings: EmbeddedSettings, advance: Callable[[int], None] = lambda _: None
) -> Path:
    """Fetch one jar, verify it, and only then put it in the cache under its name. Raises JarError."""
    target = jar_file(jar, settings.cache_folder)
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    url = f"{settings.maven_url.rstrip('/')}/{jar.path}"
    retry = Retrying(
        retry=retry_if_exception(_is_passing),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        stop=stop_after_attempt(settings.download_attempts),
        reraise=True,
    )
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
        try:
            found = retry(_download, url, session, settings.download_timeout_s, part, advance)
            part.close()
            if found != jar.sha256:
                raise JarError(
                    f"{jar.coordinate} from {settings.maven_url} is not the locked jar: expected SHA-256 "
                    f"{jar.sha256}, found {found}. Nothing was kept. Try again; if it stays, the repository or "
                    "a proxy on the way changes files: set NEWSFLOW_MAVEN_URL to another mirror."
                )
            Path(part.name).replace(target)
        except requests.RequestException as error:
            raise JarError(
                f"{jar.coordinate} could not be fetched from {url}: {error}. Check the network, or set "
                "NEWSFLOW_MAVEN_URL to a mirror that you reach; what was already fetched is kept."
            ) from error
        finally:
            with suppress(FileNotFoundError):  # moved to its place
                Path(part.name).unlink()
    return target


def _download(
    url: str, session: requests.Session, timeout_s: float, file: IO[bytes], advance: Callable[[int], None]
) -> str:
    """Write the answer's body to the file, from its start, and return its SHA-256."""
    file.seek(0)
    file.truncate()
    digest = hashlib.sha256()
    written = 0
    try:
        with session.get(url, stream=True, timeout=timeout_s) as answer:
            answer.raise_for_status()
            for block in answer.iter_content(BLOCK_BYTES):
                digest.update(block)
                written += file.write(block)
                advance(len(block))
    except requests.RequestException:
        advance(-written)  # the next try begins anew
        raise
    return digest.hexdigest()


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in RETRIED_STATUS
    return isinstance(error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError)
