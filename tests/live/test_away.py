"""Elasticsearch is away for longer than any time-out, while articles keep coming."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers
from tests.live.test_indexer import lag, send, tagged

AWAY_SECONDS = float(os.environ.get("NEWSFLOW_TEST_AWAY_SECONDS", "310"))
"""Above max.poll.interval.ms (300 s): a consumer that did not poll meanwhile has lost its partitions by then."""

BACK_SECONDS = 5.0
"""From Elasticsearch's return to the first bulk that it takes: what `backoff_max_seconds` is for."""

GROWTH = 1.05
"""By what factor the memory may be larger at the end than it was after a minute."""

EVERY_SECONDS = 1.0
PER_LOOK = 20


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def members(pipeline: Pipeline) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    try:
        (found,) = admin.describe_groups([pipeline.name("indexer")]).values()
        return {each["member_id"] for each in found["members"]}
    finally:
        admin.close()


@pytest.mark.timeout(AWAY_SECONDS + 400)
def test_an_elasticsearch_that_is_away_for_long(pipeline: Pipeline, servers: Servers) -> None:
    """A third of the time its port is closed, a third it answers 503, a third it answers nothing.

    Break: leave out the polling while it waits (`_pause`), or let `backoff_max_seconds` be 30.
    """
    proxy = FaultProxy(servers.elasticsearch)
    pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    port = int(proxy.url.rsplit(":", 1)[1])
    pipeline.start("indexer", INDEXER_BULK_TIMEOUT_SECONDS="10")
    send(pipeline, [tagged("first")])
    pipeline.wait_idle(groups=["indexer"])
    before = members(pipeline)
    pid = pipeline.running["indexer"].pid

    proxy.fault = lambda _: NO_ANSWER  # for the connections that are open; no other can be made
    proxy.close()
    names: list[str] = []
    memory: list[float] = []
    began = time.monotonic()

    def passed(share: float) -> bool:
        return time.monotonic() - began > AWAY_SECONDS * share

    away: FaultProxy | None = None
    stop = threading.Event()
    while not passed(1):
        if away is None and passed(1 / 3):
            away = FaultProxy(servers.elasticsearch, port)
            away.fault = lambda _: error(503, "unavailable_shards_exception")
        if away is not None and passed(2 / 3):
            away.fault = lambda _: NO_ANSWER
        some = [f"article-{len(names) + number:06}" for number in range(PER_LOOK)]
        send(pipeline, [tagged(name, "word " * 300) for name in some])
        names += some
        memory.append(resident_mb(pid))
        stop.wait(EVERY_SECONDS)
    assert away is not None

    assert members(pipeline) == before, "the group was rebalanced"
    assert lag(pipeline) == len(names), "nothing is committed that is not there"
    assert pipeline.dead() == []
    after_a_minute = max(memory[len(memory) // 5 : len(memory) // 3])
    print(
        f"\nmemory: {after_a_minute:.0f} MB after a minute, {max(memory):.0f} MB at the most in {AWAY_SECONDS:g} s"
    )
    assert max(memory) <= after_a_minute * GROWTH, memory

    taken: list[float] = []

    def take(request: Request) -> Reply | None:
        if not request.is_bulk:
            return None
        reply = away.forward(request)
        if reply.status == 200:
            taken.append(time.monotonic())
        return reply

    away.fault = take
    back = time.monotonic()
    wait_until(lambda: bool(taken), 60, pipeline.tails, every=0.05)
    print(f"the first bulk came {taken[0] - back:.1f} s after its return")
    assert taken[0] - back <= BACK_SECONDS
    pipeline.wait_idle(200, groups=["indexer"])
    assert pipeline.documents().keys() == {"first", *names}
    assert pipeline.dead() == []
    assert members(pipeline) == before
    away.close()


def test_a_partition_is_not_fetched_while_it_waits(pipeline: Pipeline, servers: Servers) -> None:
    """Break: leave out `self.consumer.pause` in `_pause`: what is fetched meanwhile piles up, or is passed over."""
    proxy = FaultProxy(servers.elasticsearch)
    pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    gate = threading.Event()
    proxy.fault = lambda request: error(429, "busy") if request.is_bulk and not gate.is_set() else None
    send(pipeline, [tagged("first")])
    pipeline.start("indexer", wait=False)
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer"), 30, pipeline.tails)
    names = [f"article-{number:04}" for number in range(300)]
    for start in range(0, len(names), 50):
        send(pipeline, [tagged(name) for name in names[start : start + 50]])
    seen: set[Any] = {action["_id"] for bulk in proxy.bulks for action, _ in bulk.documents}
    assert seen == {"first"}
    gate.set()
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == {"first", *names}
    proxy.close()
