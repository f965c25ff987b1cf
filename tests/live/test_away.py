"""Elasticsearch is away for longer than the poll interval of the indexer, while articles keep coming."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from tests.live.articles import indexer_lag, new_ids, send_tagged, tagged
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers

LONGEST_SECONDS = 310.0

BACKOFF_SECONDS = 1.0
"""The longest pause between two tries (`backoff_max_seconds`)."""

BACK_SECONDS = 4.0
"""From Elasticsearch's return to the first bulk that it takes: what `backoff_max_seconds` is for."""

MEMORY_SECONDS = 60.0
"""Memory is judged from here on: it grows while the first records come."""

GROWTH = 1.05
"""By what factor the memory may be larger at the end than it was after `MEMORY_SECONDS`."""

EVERY_SECONDS = 1.0
ARTICLES = 20
"""Sent every `EVERY_SECONDS`."""


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def members(pipeline: Pipeline) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    try:
        (found,) = admin.describe_groups([pipeline.name("indexer")]).values()
        return {member["member_id"] for member in found["members"]}
    finally:
        admin.close()


@pytest.mark.timeout(LONGEST_SECONDS + 400)
@pytest.mark.parametrize(
    ("outage_seconds", "poll_interval_seconds"),
    [pytest.param(24.0, 10.0, id="24s"), pytest.param(LONGEST_SECONDS, 300.0, id="310s", marks=pytest.mark.slow)],
)
def test_outage_longer_than_poll_interval_keeps_membership_and_loses_nothing(
    pipeline: Pipeline, servers: Servers, outage_seconds: float, poll_interval_seconds: float
) -> None:
    """A third of the time its port is closed, a third it answers 503, a third it answers nothing.

    Break: leave out the polling while it waits (`_pause`), or the limit `backoff_max_seconds`.
    """
    proxy = FaultProxy(servers.elasticsearch)
    pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    port = int(proxy.url.rsplit(":", 1)[1])
    pipeline.start(
        "indexer",
        INDEXER_BULK_TIMEOUT_SECONDS="10",
        INDEXER_BACKOFF_MAX_SECONDS=str(BACKOFF_SECONDS),
        KAFKA_MAX_POLL_INTERVAL_SECONDS=str(poll_interval_seconds),
    )
    ids = new_ids(1)
    send_tagged(pipeline, [tagged(ids[0])])
    pipeline.wait_idle(groups=["indexer"])
    before = members(pipeline)
    pid = pipeline.running["indexer"].pid

    proxy.fault = lambda _: NO_ANSWER  # for the connections that are open; no other can be made
    proxy.close()
    memory: list[tuple[float, float]] = []
    began = time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - began

    returned: FaultProxy | None = None
    pause = threading.Event()
    while elapsed() < outage_seconds:
        if returned is None and elapsed() > outage_seconds / 3:
            returned = FaultProxy(servers.elasticsearch, port)
            returned.fault = lambda _: error(503, "unavailable_shards_exception")
        if returned is not None and elapsed() > outage_seconds * 2 / 3:
            returned.fault = lambda _: NO_ANSWER
        more = new_ids(ARTICLES)
        send_tagged(pipeline, [tagged(name, "word " * 300) for name in more])
        ids += more
        memory.append((elapsed(), resident_mb(pid)))
        pause.wait(EVERY_SECONDS)
    assert returned is not None

    assert members(pipeline) == before, "the group was rebalanced"
    assert indexer_lag(pipeline) == len(ids) - 1, "nothing is committed that is not indexed"
    assert pipeline.dead() == []
    early = [mb for seconds, mb in memory if MEMORY_SECONDS < seconds < MEMORY_SECONDS * 5 / 3]
    if early:
        assert max(mb for _, mb in memory) <= max(early) * GROWTH, memory

    accepted: list[float] = []

    def note_first(request: Request) -> Reply | None:
        if not request.is_bulk:
            return None
        reply = returned.forward(request)
        if reply.status == 200:
            accepted.append(time.monotonic())
        return reply

    returned.fault = note_first
    back = time.monotonic()
    wait_until(lambda: bool(accepted), 60, pipeline.tails, every=0.05)
    assert accepted[0] - back <= BACK_SECONDS
    pipeline.wait_idle(200, groups=["indexer"])
    assert pipeline.documents().keys() == set(ids)
    assert pipeline.dead() == []
    assert members(pipeline) == before
    returned.close()
