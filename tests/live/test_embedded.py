"""The embedded stack with the real servers: what survives, what is cleaned up, what is left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from elasticsearch import BadRequestError, Elasticsearch
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from rich.console import Console

from services.embedded.leftovers import end_processes, find_processes
from services.embedded.ports import HOST, choose_ports
from services.embedded.run_file import RunFile, read_run_file
from services.embedded.servers import KafkaServer
from services.embedded.settings import EmbeddedSettings
from services.embedded.stack import down, up
from tests.live.harness import wait_until

pytestmark = pytest.mark.live

TOPIC = "kept"
INDEX = "kept"

NewStack = Callable[[str], "OneStack"]


class OneStack:
    """The servers of one run folder, without services."""

    def __init__(self, folder: Path) -> None:
        self.settings = EmbeddedSettings(run_dir=folder)
        self.folder = self.settings.run_folder
        self.said = StringIO()
        self.console = Console(file=self.said)

    def up(self) -> RunFile:
        return up(self.settings, self.console, services=False)

    def down(self, wipe: bool = False) -> bool:
        return down(self.settings, self.console, wipe=wipe)

    def process(self, part: str, children: bool = True) -> psutil.Process:
        """The one process of the stack with this in its command line; `children` of such a one count too."""
        found = [each for each in find_processes(self.folder) if part in " ".join(each.cmdline())]
        if not children:
            found = [each for each in found if each.ppid() not in {other.pid for other in found}]
        [one] = found
        return one


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[NewStack]:
    folders = []

    def make(name: str) -> OneStack:
        stack = OneStack(tmp_path / name)
        folders.append(stack.folder)
        return stack

    yield make
    for folder in folders:
        end_processes(find_processes(folder), seconds=20)


def write(run: RunFile, text: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=run.kafka)
    if TOPIC not in admin.list_topics():
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
    admin.close()
    send(run.kafka, text)
    with Elasticsearch(run.elasticsearch) as client:
        client.index(index=INDEX, document={"text": text}, refresh=True)


def send(kafka: str, text: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(TOPIC, text.encode()).get(timeout=30)
    producer.close()


def records(kafka: str) -> list[str]:
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    partition = TopicPartition(TOPIC, 0)
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    consumer.seek_to_beginning(partition)
    found: list[str] = []
    deadline = time.monotonic() + 30
    while consumer.position(partition) < end:
        assert time.monotonic() < deadline
        for batch in consumer.poll(timeout_ms=500).values():
            found += [record.value.decode() for record in batch]
    consumer.close()
    return found


def documents(run: RunFile) -> list[str]:
    with Elasticsearch(run.elasticsearch) as client:
        hits = client.search(index=INDEX)["hits"]["hits"]
    return sorted(hit["_source"]["text"] for hit in hits)


def runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def kill_server(stack: OneStack, run: RunFile, part: str, port: str) -> None:
    """Kill a server and wait until it is back on its port as another process."""
    killed = stack.process(part)
    killed.kill()
    wait_until_accepts(run.ports[port], False)
    wait_until_accepts(run.ports[port], True)
    assert stack.process(part) != killed


def test_stack_keeps_data_and_leaves_no_process(new_stack: NewStack) -> None:
    """Over a killed broker, a killed supervisor and a stop; what is not its own stays."""
    stack = new_stack("run #1; 5% é")  # each of these means something in some configuration file
    first = stack.up()
    write(first, "one")
    assert len(find_processes(stack.folder)) == 3
    assert stack.up() == first
    assert "Already up" in stack.said.getvalue()
    kill_server(stack, first, "kafka.Kafka", "kafka")

    orphans = [stack.process("kafka.Kafka"), stack.process("ElasticsearchLauncher")]
    supervisor = stack.process("supervisord")
    supervisor.kill()
    wait_until(lambda: read_run_file(stack.folder) is None, 10, lambda: "the run file still counts")
    assert all(map(runs, orphans))
    again = stack.up()
    assert read_run_file(stack.folder) == again
    assert not any(map(runs, orphans))
    assert (again.kafka, again.elasticsearch) == (first.kafka, first.elasticsearch)
    assert (records(again.kafka), documents(again)) == (["one"], ["one"])

    processes = find_processes(stack.folder)
    assert stack.down()
    assert not any(map(runs, processes))
    assert read_run_file(stack.folder) is None
    assert not stack.down()
    (stack.folder / "mine.txt").write_text("kept")
    stack.down(wipe=True)
    assert {path.name for path in stack.folder.iterdir()} == {"lock", "mine.txt"}


@pytest.mark.slow
def test_killed_servers_return_with_their_data_and_down_cleans_after_supervisor(new_stack: NewStack) -> None:
    stack = new_stack("run")
    run = stack.up()
    write(run, "one")
    for part, port in (("kafka.Kafka", "kafka"), ("ElasticsearchLauncher", "elasticsearch")):
        kill_server(stack, run, part, port)
    with Elasticsearch(run.elasticsearch) as client:
        client.cluster.health(index=INDEX, wait_for_status="yellow", timeout="30s")
    assert (records(run.kafka), documents(run)) == (["one"], ["one"])
    stack.process("supervisord").kill()
    assert stack.down()
    assert find_processes(stack.folder) == []
    stack.down(wipe=True)
    fresh = stack.up()
    with Elasticsearch(fresh.elasticsearch) as client:
        assert not client.indices.exists(index=INDEX)
    stack.down()


@pytest.mark.slow
def test_two_run_folders_are_independent(new_stack: NewStack) -> None:
    left, right = new_stack("left"), new_stack("right")
    started = {stack: stack.up() for stack in (left, right)}
    assert not set(started[left].ports.values()) & set(started[right].ports.values())
    for stack, run in started.items():
        write(run, stack.folder.name)
    left.down()
    assert read_run_file(right.folder) == started[right]
    assert (records(started[right].kafka), documents(started[right])) == (["right"], ["right"])
    right.down()


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except OSError:
        return False
    return True


def wait_until_accepts(port: int, expected: bool, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while accepts(port) != expected:
        assert time.monotonic() < end
        time.sleep(0.05)


def is_healthy(health: str) -> bool:
    try:
        return requests.get(f"{health}/healthz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def newsflow(folder: Path, *arguments: str) -> str:
    """What the command writes to standard output; its exit status is 0."""
    done = subprocess.run(
        [sys.executable, "-c", "from services.cli.app import main; main()", *arguments],
        env={**os.environ, "NEWSFLOW_RUN_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_command_starts_services_that_are_restarted_when_killed(new_stack: NewStack) -> None:
    stack = new_stack("run")
    servers = json.loads(newsflow(stack.folder, "up", "--servers-only", "--json"))
    assert servers["services"] == []
    run = json.loads(newsflow(stack.folder, "up", "--json"))
    assert (run["kafka"], run["elasticsearch"]) == (servers["kafka"], servers["elasticsearch"])
    assert [service["name"] for service in run["services"]] == ["cleaner", "deduper", "linker", "tagger", "indexer"]
    assert json.loads(newsflow(stack.folder, "up", "--json")) == run

    cleaner = stack.process("services.cleaner", children=False)
    port = int(run["services"][0]["health"].rpartition(":")[2])
    cleaner.kill()
    wait_until_accepts(port, False)
    # It answers before it is healthy: its step is loaded and its group joined first.
    wait_until(lambda: is_healthy(run["services"][0]["health"]), 60, lambda: "the cleaner is not healthy")
    answer = json.loads(newsflow(stack.folder, "doctor", "--json"))
    assert answer["ok"], answer

    newsflow(stack.folder, "down", "--wipe")
    assert find_processes(stack.folder) == []
    assert [path.name for path in stack.folder.iterdir()] == ["lock"]


@pytest.mark.slow
def test_killed_broker_can_be_started_again(tmp_path: Path) -> None:
    ports = choose_ports(["kafka", "controller"], {})
    kafka = KafkaServer(tmp_path / "kafka", ports["kafka"], ports["controller"])
    try:
        kafka.start()
        admin = KafkaAdminClient(bootstrap_servers=kafka.address)
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
        admin.close()
        send(kafka.address, "before")
        pid = kafka.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        kafka.kill()
        kafka.start()
        send(kafka.address, "after")
        assert records(kafka.address) == ["before", "after"]
    finally:
        kafka.stop()


def test_elasticsearch_has_analyzers_that_its_own_jar_lacks(servers: Any) -> None:
    analysis = {
        "normalizer": {"folded": {"type": "custom", "filter": ["lowercase", "asciifolding"]}},
        "filter": {
            "both": {"type": "asciifolding", "preserve_original": True},
            "possessive": {"type": "stemmer", "language": "possessive_english"},
            "names": {"type": "keyword_marker", "keywords": ["reuters"]},
            "english": {"type": "stemmer", "language": "english"},
            "articles": {"type": "elision", "articles": ["l", "d"], "articles_case": True},
        },
        "analyzer": {
            "page": {"tokenizer": "standard", "char_filter": ["html_strip"], "filter": ["lowercase", "both"]},
            "ours": {"tokenizer": "standard", "filter": ["lowercase", "possessive", "names", "english"]},
            "french_names": {"tokenizer": "standard", "filter": ["lowercase", "articles"]},
            "own_stop": {"type": "english", "stopwords": ["news"]},
        },
    }
    texts = {
        ("page", "<p>Café <b>Zürich</b></p>"): ["cafe", "café", "zurich", "zürich"],
        ("ours", "Reuters's stories"): ["reuters", "stori"],
        ("french_names", "L'Union d'Orléans"): ["union", "orléans"],
        ("own_stop", "the news stories"): ["the", "stori"],
        ("english", "the running foxes"): ["run", "fox"],
        ("german", "die Häuser"): ["haus"],
        ("french", "les élections"): ["election"],
        ("folded", "ÉCOLE"): ["ecole"],
    }
    with Elasticsearch(servers.elasticsearch) as client:
        assert client.ping()
        assert client.info()["version"]["number"] == "9.5.3"
        client.indices.create(index="analysis", settings={"analysis": analysis})
        try:
            for (name, text), expected in texts.items():
                kind = "normalizer" if name == "folded" else "analyzer"
                answer = client.indices.analyze(index="analysis", text=text, **{kind: name})  # type: ignore[arg-type]
                assert sorted({token["token"] for token in answer["tokens"]}) == sorted(expected), name
        finally:
            client.indices.delete(index="analysis")
        with pytest.raises(BadRequestError, match="phonetic"):
            client.indices.create(
                index="refused",
                settings={"analysis": {"filter": {"sound": {"type": "phonetic"}}}},
            )
