"""The ten rules of services/runtime/stage.py, each seen to hold on the real Kafka.

Each test names the line that breaks its rule; `make faults` breaks it and sees the test fail. Rule 10 is held by
import-linter (`make lint`).
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, ARTICLES_RAW
from services.embedded.servers import KafkaServer
from tests.live.harness import Pipeline, wait_until

FAULTY = "tests.live.stages"


def articles(bodies: list[str], publisher: str = "p.example") -> list[RawArticle]:
    return [RawArticle(publisher=publisher, id=str(index), body=body) for index, body in enumerate(bodies)]


@pytest.fixture
def stage(module_pipeline: Pipeline) -> Pipeline:
    """One process of the stage with its usual settings, for tests that leave it running."""
    if "cleaner" not in module_pipeline.running:
        module_pipeline.start("cleaner", module=FAULTY)
    module_pipeline.wait_healthy("cleaner")
    return module_pipeline


def results(pipeline: Pipeline) -> dict[str, str]:
    """What came out: the body of each article in `articles-clean`, by its key."""
    found: dict[str, str] = {}
    name = pipeline.name(ARTICLES_CLEAN.name)
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None, enable_auto_commit=False)
    places = [TopicPartition(name, number) for number in range(ARTICLES_CLEAN.partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=1000).values():
            found |= {record.key.decode(): json.loads(record.value)["kept"][0]["text"] for record in records}
    consumer.close()
    return found


def run_to_end(pipeline: Pipeline, seconds: float = 60, **environment: str) -> None:
    pipeline.environment |= environment
    pipeline.start("cleaner", module=FAULTY)
    pipeline.wait_idle(seconds, ["cleaner"])


POISON: dict[str, bytes | None] = {
    "invalid_json": b'{"publisher": "p.example", "body": ',
    "invalid_json utf-8": b'{"publisher": "p.example", "body": "\xff\xfe"}',
    "invalid_json surrogate": b'{"publisher": "p.example", "body": "\\ud800"}',
    "invalid_json deep": b"[" * 10_000 + b"]" * 10_000,
    "empty": b"",
    "empty null": None,
    "invalid_record no fields": b"{}",
    "invalid_record list": b"[1, 2]",
    "invalid_record unknown": b'{"publisher": "p.example", "body": "x", "hedline": "y"}',
    "invalid_record twice": b'{"publisher": "p.example", "body": "x", "body": "y"}',
}


def test_rule_1_undecodable_record_is_a_dead_letter(stage: Pipeline) -> None:
    """Break: decode in Faust (`value_serializer="raw"` -> `"json"` for the source topic)."""
    good = articles([f"text {index}" for index in range(20)], "decode.example")
    places = stage.send([*good[:10], *POISON.values(), *good[10:]])
    stage.wait_idle(groups=["cleaner"])
    assert results(stage).keys() >= {article_id(article) for article in good}
    dead = stage.dead(places)
    assert sorted((record.letter.reason, record.value) for record in dead if record.value is not None) == sorted(
        (name.split()[0], value) for name, value in POISON.items() if value is not None
    )
    assert [record.letter.reason for record in dead if record.value is None] == ["empty"]
    assert "hedline" in next(record.letter.error for record in dead if b"hedline" in (record.value or b""))
    assert stage.running["cleaner"].poll() is None


def test_rule_2_bug_costs_one_record(stage: Pipeline) -> None:
    """Break: let `_run_step` raise (its `except Exception` -> `except ZeroDivisionError`)."""
    sent = articles(["raise" if index % 25 == 7 else f"text {index}" for index in range(100)], "bug.example")
    places = stage.send(sent)
    stage.wait_idle(groups=["cleaner"])
    ids = {article_id(article) for article in sent}
    assert results(stage).keys() & ids == {article_id(article) for article in sent if article.body != "raise"}
    dead = stage.dead(places)
    assert [record.letter.reason for record in dead] == ["failed"] * 4
    assert all(
        "a bug nobody thought of" in record.letter.error and "stages.py:" in record.letter.error for record in dead
    )


@pytest.mark.parametrize("seconds", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_rule_3_broker_outage_loses_nothing(broker_pipeline: Pipeline, broker: KafkaServer, seconds: int) -> None:
    """T11. Break: do not wait for the broker (`await (await topic.send(...))` -> `await topic.send(...)`)."""
    sent = articles([f"text {index}" for index in range(300)])
    broker_pipeline.send(sent)
    broker_pipeline.start("cleaner", module=FAULTY, FAULTY_SECONDS="0.02", FAULTY_PRODUCER_TIMEOUT_SECONDS="4")
    wait_until(lambda: len(results(broker_pipeline)) > 30, 30, lambda: broker_pipeline.log("cleaner"))
    broker.kill()
    time.sleep(seconds)  # the fault itself: so long is the broker away
    broker.start()
    broker_pipeline.wait_idle(90, ["cleaner"])
    assert results(broker_pipeline).keys() == {article_id(article) for article in sent}
    assert broker_pipeline.dead() == []


def test_rule_3_result_that_is_too_large_is_a_dead_letter(stage: Pipeline) -> None:
    """Break: `_result` without its limit, and a bare send: the record is lost with its offset committed."""
    sent = articles(["text 0", "grow", "text 2"], "large.example")
    places = stage.send(sent)
    stage.wait_idle(groups=["cleaner"])
    ids = {article_id(article) for article in sent}
    assert sorted(body for name, body in results(stage).items() if name in ids) == ["text 0", "text 2"]
    assert [record.letter.reason for record in stage.dead(places)] == ["result_too_large"]


def test_rule_4_stop_amid_a_batch_loses_nothing(pipeline: Pipeline) -> None:
    """Break: `stream_wait_empty=True` -> `False` with the `except BaseException` of `_work` taken out."""
    sent = articles([f"text {index}" for index in range(200)])
    pipeline.send(sent)
    for _ in range(3):
        pipeline.start("cleaner", module=FAULTY, FAULTY_SECONDS="0.02", FAULTY_BATCH_RECORDS="32")
        more = len(results(pipeline)) + 1
        wait_until(lambda more=more: len(results(pipeline)) >= more, 30, lambda: pipeline.log("cleaner"))  # type: ignore[misc]
        assert pipeline.terminate("cleaner") == 0
    run_to_end(pipeline)
    assert results(pipeline).keys() == {article_id(article) for article in sent}


def test_rule_5_undeliverable_record_commits_nothing(pipeline: Pipeline) -> None:
    """T5. Break: in `_conclude` go on instead of `leave` when the dead letter queue refuses."""
    sent = articles([f"text {index} " + "long " * 200 for index in range(40)])
    _limit_records(pipeline, "200")
    pipeline.send(sent)
    pipeline.start("cleaner", module=FAULTY, wait=False)
    assert pipeline.wait_exit("cleaner", 60) == 70
    assert list(pipeline.lags(["cleaner"]).values()) == [40]
    _limit_records(pipeline, "4000000")
    run_to_end(pipeline)
    assert results(pipeline).keys() == {article_id(article) for article in sent}
    assert pipeline.dead() == []


def _limit_records(pipeline: Pipeline, size: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    admin.alter_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, pipeline.name(topic.name), {"max.message.bytes": size})
            for topic in (ARTICLES_CLEAN, ARTICLES_DLQ)
        ]
    )
    admin.close()


def test_rule_6_document_that_hangs_or_kills_its_process_is_a_dead_letter(pipeline: Pipeline) -> None:
    """T17. Break: run without the limit (`timeout=limit` -> `timeout=None` in `ChildProcesses.run`)."""
    sent = articles(["hang" if index == 20 else "die" if index == 50 else f"text {index}" for index in range(80)])
    pipeline.send(sent)
    run_to_end(pipeline, 120, FAULTY_DOCUMENT_LIMIT_SECONDS="2")
    good = {article_id(article) for article in sent if (article.body or "").startswith("text")}
    assert results(pipeline).keys() == good
    assert sorted(record.letter.reason for record in pipeline.dead()) == ["crashed", "timeout"]
    assert pipeline.running["cleaner"].poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="no other system ends it")
def test_rule_6_killed_worker_leaves_no_process_behind(pipeline: Pipeline) -> None:
    """Break: leave out `end_with_parent()` of `start_child`."""
    pipeline.send(articles(["spin"]))
    pipeline.start("cleaner", module=FAULTY, FAULTY_DOCUMENT_LIMIT_SECONDS="600")
    children = psutil.Process(pipeline.running["cleaner"].pid).children(recursive=True)
    used = {child: child.cpu_times().user for child in children}
    wait_until(lambda: any(child.cpu_times().user > used[child] + 1 for child in children), 30, pipeline.tails)
    pipeline.kill("cleaner")
    left = psutil.wait_procs(children, timeout=10)[1]
    for child in left:
        child.kill()
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the fork server")
def test_rule_6_killed_fork_server_is_replaced_and_costs_no_record(pipeline: Pipeline) -> None:
    """Break: in `start_fork_server` delete the variable again when the fork server runs."""
    sent = articles(["spin", *(f"text {index}" for index in range(9))])
    pipeline.send(sent)
    pipeline.start("cleaner", module=FAULTY, FAULTY_DOCUMENT_LIMIT_SECONDS="8")
    worker = psutil.Process(pipeline.running["cleaner"].pid)
    wait_until(lambda: any(child.cpu_times().user > 1 for child in grandchildren(worker)), 30, pipeline.tails)
    (server,) = [child for child in worker.children() if child.children()]
    server.kill()
    pipeline.wait_idle(60, ["cleaner"])
    assert results(pipeline).keys() == {article_id(article) for article in sent[1:]}
    assert [record.letter.reason for record in pipeline.dead()] == ["timeout"]
    assert pipeline.running["cleaner"].poll() is None


def grandchildren(worker: psutil.Process) -> list[psutil.Process]:
    """What the fork server has forked."""
    return [child for server in worker.children() for child in server.children()]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system holds the limit")
def test_rule_6_document_that_needs_too_much_memory_is_a_dead_letter(pipeline: Pipeline) -> None:
    """Break: run without the limit (leave out `limit_memory` of `start_child`)."""
    faults = {20: "fill", 50: "deep fill", 53: "die"}
    sent = articles([faults.get(index, f"text {index}") for index in range(80)])
    pipeline.send(sent)
    run_to_end(pipeline, 120, FAULTY_CHILD_MEMORY_MB="256")
    good = {article_id(article) for article in sent if (article.body or "").startswith("text")}
    assert results(pipeline).keys() == good
    dead = sorted((record.letter.reason, json.loads(record.value or b"")["body"]) for record in pipeline.dead())
    assert dead == [("crashed", "die"), ("memory", "deep fill"), ("memory", "fill")]
    assert pipeline.running["cleaner"].poll() is None


def test_child_process_is_replaced_after_its_records(pipeline: Pipeline) -> None:
    """Break: leave out `max_tasks` of the pool."""
    sent = articles([f"pid {index}" for index in range(96)])
    pipeline.send(sent)
    run_to_end(pipeline, 60, FAULTY_CHILD_MAX_RECORDS="20", FAULTY_CHUNK_RECORDS="8")
    found = results(pipeline)
    assert found.keys() == {article_id(article) for article in sent}
    # 20 records are 3 chunks of 8 at most, so at most 24 records a process.
    assert max(Counter(found.values()).values()) <= 24


def test_rule_7_topic_that_was_recreated_ends_the_worker(pipeline: Pipeline) -> None:
    """T20: Faust goes on and reads nothing. Break: leave out `self.watchdog.start()`."""
    pipeline.send(articles(["text before"]))
    run_to_end(pipeline, STALL_LIMIT_SECONDS="8")
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    name = pipeline.name(ARTICLES_RAW.name)
    admin.delete_topics([name])
    wait_until(lambda: name not in [topic["name"] for topic in admin.describe_topics()], 20, lambda: "still there")
    admin.create_topics([NewTopic(name, ARTICLES_RAW.partitions, 1)])
    admin.wait_for_topics([name])
    admin.close()
    sent = articles([f"text {index}" for index in range(20)])
    pipeline.send(sent)
    reason = ""

    def red() -> bool:
        nonlocal reason
        health = pipeline.health_of("cleaner")
        reason = (health and health["reason"]) or reason
        return pipeline.running["cleaner"].poll() is not None or "wait" in reason or "does not exist" in reason

    wait_until(red, 60, lambda: pipeline.log("cleaner")[-2000:])
    assert reason, "the process left before its health was red"
    assert pipeline.wait_exit("cleaner", 30) == 70
    run_to_end(pipeline)
    assert {article_id(article) for article in sent} <= results(pipeline).keys()


def test_rule_8_killed_process_blocks_its_group_for_seconds(pipeline: Pipeline) -> None:
    """Break: leave out `broker_session_timeout` (the client's default is 60 s)."""
    pipeline.start("cleaner#1", "cleaner#2", module=FAULTY)
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    group = pipeline.name("cleaner")

    def shared() -> bool:
        state = admin.describe_groups([group])[group]
        return state["group_state"] == "Stable" and len(state["members"]) == 2

    # Only a process that holds partitions holds anything up.
    wait_until(shared, 30, lambda: str(admin.describe_groups([group])))
    admin.close()
    pipeline.kill("cleaner#1")
    sent = articles([f"text {index}" for index in range(100)])
    pipeline.send(sent)
    # 6 s of session, then a rebalance; with the default the group stands still for a minute.
    pipeline.wait_idle(30, ["cleaner"])
    assert results(pipeline).keys() == {article_id(article) for article in sent}


def test_rule_8_only_the_health_endpoint_listens(stage: Pipeline) -> None:
    """Break: `web_enabled=False` -> `True`: Faust serves its own pages on every interface."""
    pid = stage.running["cleaner"].pid
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1])
    assert len(listening) == 1, listening
    assert listening[0].startswith("0100007F:"), "only loopback"


def test_rule_9_missing_codec_is_named_at_the_start(pipeline: Pipeline, tmp_path: Path) -> None:
    """T13. Break: leave out `check_codecs()`."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['cramjam'] = None\n")
    path = os.pathsep.join([str(hidden), *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else [])])
    pipeline.send(articles(["text"]), codec="zstd")
    pipeline.start("cleaner", module=FAULTY, wait=False, PYTHONPATH=path)
    assert pipeline.wait_exit("cleaner", 30) == 1
    # Before the semicolon: behind it stands what to install, which names them all.
    assert re.search(r"codec missing: [^;]*zstd", pipeline.log("cleaner"))
    assert list(pipeline.lags(["cleaner"]).values()) == [1]
    run_to_end(pipeline)
    assert len(results(pipeline)) == 1


def test_stage_without_settings_names_the_variable(pipeline: Pipeline) -> None:
    pipeline.kafka, kafka = "", pipeline.kafka
    pipeline.start("cleaner", module=FAULTY, wait=False)
    assert pipeline.wait_exit("cleaner", 30) == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in pipeline.log("cleaner")
    pipeline.kafka = kafka
