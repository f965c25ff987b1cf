"""A stage: one step between two topics, on Faust, losing nothing.

Faust 0.15.3 acknowledges a record when the agent asks for the next one, whatever became of it: an exception, a
send that failed later, a value that does not decode, each loses records while the worker looks well. Ten rules
close these gaps. They stand in this file and, what of them holds in a child process, in processes.py and step.py
beside it; each is marked `Rule n` where it is kept:

1.  Topics carry raw bytes; decoding happens in our own `try`.
2.  Nothing raises out of the agent; each failure becomes a dead letter.
3.  A result counts when the broker has it, not when it is sent.
4.  One agent at a time; scale by partitions and processes.
5.  If neither result nor dead letter can be delivered, the process exits with nothing committed.
6.  Work runs in child processes, in bounded chunks, with a limit of time and of memory for each document.
7.  A watchdog with a client of its own sees a stall or a missing topic: health goes red, then the process exits.
8.  Short sessions, small buffers, no web server of Faust's, no pickle on any topic.
9.  Every codec is there, or the process does not start.
10. No stage imports Faust: it names its topics and its step.

A record's way: `_work` takes a batch, `ChildProcesses.run` (processes.py) has a child process work on each chunk of
it (`run_chunk` in step.py), `_conclude` delivers each result or dead letter, and only then Faust may commit.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import aiokafka.codec
import faust
import structlog
import tenacity
from aiokafka import errors as kafka_errors
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from prometheus_client import Counter as Metric
from prometheus_client import Histogram

from schemas.cloudevents import packing_headers
from schemas.dead_letter import NO_TIMESTAMP, dead_letter_headers, dead_letter_id, original_timestamp_ms
from schemas.reading import read_record, write_record
from schemas.retraction import BY_PRODUCER, Retraction, is_article_id
from schemas.topics import ARTICLES_DLQ, MAX_INNER_BYTES
from services.runtime.codecs import check_codecs
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging
from services.runtime.metrics import DEAD_LETTERS, RECORDS
from services.runtime.processes import ChildProcesses
from services.runtime.remembering import PartitionMemories, Record
from services.runtime.settings import RememberingSettings, StageSettings
from services.runtime.step import Failure, Result, Stage, Task, Verdict, failed
from services.runtime.watchdog import DEAD_LETTER_QUEUE, Watchdog

log = structlog.get_logger(__name__)

EXIT_UNDELIVERABLE = 70
"""Exit status when nothing more can be done here and nothing was committed (EX_SOFTWARE of sysexits.h)."""

TOPICS_SECONDS = 0.2
"""Between two looks whether the topics are there."""

RESULTS = Metric("newsflow_results", "Records delivered to the target topic", ["stage"])
TOMBSTONES = Metric("newsflow_tombstones", "Tombstones passed on", ["stage"])
OUTCOMES = Metric("newsflow_outcomes", "Results by what became of them", ["stage", "language", "outcome"])
BATCH_SECONDS = Histogram("newsflow_batch_seconds", "From a batch in hand to all of it delivered", ["stage"])

PERMANENT = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTopicError,
    kafka_errors.PolicyViolationError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)
"""Errors of a send that no repetition mends; all others pass when the broker is well again."""


class StageWorker:
    """One process of a stage: the Faust app, its child processes, its watchdog."""

    def __init__(self, stage: Stage, settings: StageSettings) -> None:
        self.stage = stage
        self.settings = settings
        self.health = Health(stage.name)
        self.group = settings.name(stage.name)
        self.app = self._create_app()
        facts = stage.remembering.facts if stage.remembering else None
        topics = {
            # Rule 1: raw bytes in and out. Faust acknowledges an undecodable value before it reports it.
            topic: self.app.topic(
                settings.name(topic.name),
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
            )
            for topic in (stage.source, stage.target, ARTICLES_DLQ, stage.tombstones, facts)
            if topic
        }
        self.topics = list(topics.values())
        self.source, self.target, self.dlq = topics[stage.source], topics[stage.target], topics[ARTICLES_DLQ]
        self.tombstones = topics[stage.tombstones] if stage.tombstones else None
        self.facts = topics[facts] if facts else None
        self.memories = (
            PartitionMemories(stage.source, stage.remembering, settings)
            if stage.remembering and isinstance(settings, RememberingSettings)
            else None
        )
        # Rule 4: Faust commits past records still in hand as soon as there is more than one agent.
        self.app.agent(self.source, name=stage.name, concurrency=1)(self._work)
        self.watchdog = Watchdog(
            self.health, settings, self.group, settings.name(stage.source.name), self._assigned, self.leave
        )
        self.children = ChildProcesses(stage, settings, self.watchdog.record_done)

    def _create_app(self) -> faust.App:
        settings = self.settings
        return faust.App(
            self.group,
            broker=[f"kafka://{server}" for server in settings.servers],
            consumer_auto_offset_reset="earliest",
            broker_commit_interval=1.0,
            # Rule 8: with the client's 60 s a killed process would stop its whole group for a minute.
            broker_session_timeout=settings.session_timeout_seconds,
            broker_heartbeat_interval=settings.session_timeout_seconds / 4,
            broker_rebalance_timeout=settings.document_limit_seconds * 2 + 30,
            broker_max_poll_interval=3600.0,  # the watchdog judges progress; this would evict a busy process
            stream_buffer_maxsize=settings.batch_records,  # records, each up to 900 kB
            consumer_max_fetch_size=2 * MAX_INNER_BYTES,
            # Rule 4: a shutdown or rebalance waits for the batch in hand; without it that batch is lost.
            stream_wait_empty=True,
            producer_acks=-1,
            producer_compression_type="lz4",
            producer_linger=0.0,
            # Looked at before compression. Results have a limit of their own; a dead letter has what came in, which
            # a producer may have packed from far more than a topic takes.
            producer_max_request_size=16 * MAX_INNER_BYTES,
            producer_request_timeout=settings.producer_timeout_seconds,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,  # Rule 8: it would listen on every interface
            store="memory://",
            # Faust makes this folder even where there are no tables; by default in the current one.
            datadir=tempfile.mkdtemp(prefix=f"newsflow-{self.group}-"),
        )

    def run(self) -> NoReturn:
        """Work until told to stop (SIGTERM, SIGINT: exit status 0 after the batch in hand) or until `leave`."""
        check_codecs(aiokafka.codec, "aiokafka")  # Rule 9
        serve_health(self.health, self.settings.health_host, self.settings.health_port)
        try:
            # Before the group is joined: a model takes seconds to load, and no record should wait for it.
            self.children.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, this process cannot work
            self.leave(f"the step cannot be loaded: {type(error).__name__}: {error}")
        self._wait_for_topics()
        worker = faust.Worker(
            self.app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel=self.settings.log_level
        )
        self.watchdog.start()
        worker.execute_from_commandline()
        sys.exit(0)

    def _wait_for_topics(self) -> None:
        """Return when Kafka has all topics of the stage, which Faust needs from its start on.

        After the limit of a stall Faust starts all the same, and what is missing is the watchdog's concern.
        """
        names = [topic.get_topic_name() for topic in self.topics]
        end = time.monotonic() + self.settings.stall_limit_seconds
        while time.monotonic() < end:
            with suppress(KafkaError), closing(self._admin(end)) as admin:
                while time.monotonic() < end:
                    known = {topic["name"] for topic in admin.describe_topics(names) if topic["partitions"]}
                    if known.issuperset(names):
                        return
                    time.sleep(TOPICS_SECONDS)
            time.sleep(TOPICS_SECONDS)
        log.warning("topics are missing", topics=names)

    def _admin(self, end: float) -> KafkaAdminClient:
        return KafkaAdminClient(
            bootstrap_servers=self.settings.servers,
            bootstrap_timeout_ms=max(0, int((end - time.monotonic()) * 1000)),
            reconnect_backoff_max_ms=500,
        )

    def leave(self, why: str) -> NoReturn:
        """Rule 5: stop at once with nothing more committed; the restart begins with the records in hand."""
        log.critical("leaving, nothing in hand is committed", reason=why)
        logging.shutdown()
        os._exit(EXIT_UNDELIVERABLE)

    def _assigned(self) -> set[int]:
        name = self.settings.name(self.stage.source.name)
        return {tp.partition for tp in self.app.consumer.assignment() if tp.topic == name}

    async def _work(self, stream: Any) -> None:
        self.health.green("start")
        settings = self.settings
        async for events in stream.take_events(settings.batch_records, within=settings.batch_wait_seconds):
            try:
                self.watchdog.batch_begins()
                RECORDS.labels(self.stage.name).inc(len(events))
                records = [_record(event.message) for event in events]
                with BATCH_SECONDS.labels(self.stage.name).time():
                    if self.memories:
                        await self._batch_with_memory(self.memories, records)
                    else:
                        for wave in _waves(records):
                            await asyncio.gather(*[self._chunk(chunk) for chunk in self._chunks(wave)])
            except BaseException as error:  # noqa: BLE001
                # Rule 2: leaving this loop, even when cancelled, would commit the whole batch.
                self.leave(f"{type(error).__name__}: {error}")

    def _chunks(self, records: Sequence[Record]) -> list[Sequence[Record]]:
        size = self.settings.chunk_records
        return [records[start : start + size] for start in range(0, len(records), size)]

    async def _chunk(self, records: Sequence[Record]) -> None:
        if self.stage.tombstones:
            null = [record for record in records if record.value is None]
            await asyncio.gather(*[self._conclude(record, _tombstone(record)) for record in null])
            records = [record for record in records if record.value is not None]
        if records:
            pairs = zip(records, await self.children.run(_tasks(records)), strict=True)
            await asyncio.gather(*[self._conclude(record, verdict) for record, verdict in pairs])

    async def _batch_with_memory(self, memories: PartitionMemories, records: Sequence[Record]) -> None:
        """As `_chunk` for a batch, of which each result goes through the memory of its partition, in order.

        What the memory asks for follows, in this order: records that it wants sent again, what it has learned. Only
        then it is saved: after a crash between two of these the batch comes again, and all of it is done again.
        """
        await asyncio.to_thread(memories.listen)
        first: dict[int, int] = {}
        for record in records:
            first.setdefault(record.partition, record.offset)
        for partition, offset in first.items():
            # Records that were never taken here: another process had the partition, or the folder is gone.
            async for missed in memories.catch_up(partition, offset):
                await self._remember(memories, missed, send=False)
                self.watchdog.goes_on()
        await self._remember(memories, records, send=True)

    async def _remember(self, memories: PartitionMemories, records: Sequence[Record], *, send: bool) -> None:
        verdicts = await asyncio.gather(*[self.children.run(_tasks(chunk)) for chunk in self._chunks(records)])
        pairs = list(zip(records, [verdict for each in verdicts for verdict in each], strict=True))
        results, again, facts = self._recall(memories, pairs)
        if send:
            found = {(record.partition, record.offset): verdict for record, verdict in results}
            for wave in _waves(records):
                await asyncio.gather(*[self._conclude(each, found[each.partition, each.offset]) for each in wave])
        for chunk in self._chunks(await asyncio.to_thread(memories.fetch, again)):
            earlier = zip(chunk, await self.children.run(_tasks(chunk)), strict=True)
            results, _, more = self._recall(memories, list(earlier))
            facts += more
            await asyncio.gather(*[self._conclude(record, verdict) for record, verdict in results])
        for partition, fact in facts:
            await self._deliver(self.facts, fact.key.encode(), write_record(fact), [], partition)
        memories.save(records)
        self.watchdog.record_done()

    def _recall(
        self, memories: PartitionMemories, pairs: Sequence[tuple[Record, Verdict]]
    ) -> tuple[list[tuple[Record, Verdict]], list[tuple[int, int]], list[tuple[int, Any]]]:
        """The verdicts as the memory has them, places of records to be sent again, and facts by partition."""
        results: list[tuple[Record, Verdict]] = []
        again: list[tuple[int, int]] = []
        facts: list[tuple[int, Any]] = []
        for record, verdict in pairs:
            if isinstance(verdict, Result):
                read = partial(read_record, self.stage.target, verdict.value)
                taken = memories.of(record.partition).take(verdict.note, record.offset, read)
                if taken.article is not None:
                    verdict = replace(verdict, value=write_record(taken.article))  # noqa: PLW2901
                again += [(record.partition, offset) for offset in taken.again]
                facts += [(record.partition, fact) for fact in taken.facts]
            results.append((record, verdict))
        return results, again, facts

    async def _conclude(self, record: Record, verdict: Verdict) -> None:
        """Rule 3: returns when the broker has the result or the dead letter; there is no third way."""
        if isinstance(verdict, Result):
            try:
                target, count = (self.tombstones, TOMBSTONES) if verdict.tombstone else (self.target, RESULTS)
                await self._deliver(target, verdict.key, verdict.value, [], verdict.partition)
                count.labels(self.stage.name).inc()
                if verdict.outcome:
                    OUTCOMES.labels(self.stage.name, *verdict.outcome).inc()
                self.watchdog.record_done()
                return
            except PERMANENT as error:
                verdict = Failure("result_refused", f"{type(error).__name__}: {error}")
        headers = dead_letter_headers(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=self.stage.name,
            reason=verdict.reason,
            error=verdict.error,
            headers=record.headers,
            null=record.value is None,
            timestamp=_milliseconds(record.seconds),
        )
        if full := await asyncio.to_thread(DEAD_LETTER_QUEUE.take_room):
            self.leave(full)
        # A record without key and value could not be sent: the dead letter's id is its key then.
        place = dead_letter_id(record.topic, record.partition, record.offset)
        try:
            await self._deliver(self.dlq, record.key or place.encode(), record.value or b"", headers)
        except PERMANENT as error:
            self.leave(f"the dead letter queue refuses a record: {type(error).__name__}: {error}")
        DEAD_LETTERS.labels(self.stage.name, verdict.reason).inc()
        self.watchdog.record_done()
        log.warning("dead letter", id=place, reason=verdict.reason, error=verdict.error[:200])

    async def _deliver(
        self, topic: Any, key: bytes, value: bytes, headers: list[tuple[str, bytes]], partition: int | None = None
    ) -> None:
        """Send until the broker confirms; raises only `PERMANENT` errors, leaves when the limit is over."""
        retry = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: not isinstance(error, PERMANENT)),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=5.0),
            stop=tenacity.stop_after_delay(self.settings.deliver_limit_seconds),
            before_sleep=lambda _: self.health.red("deliver", "Kafka does not take records"),
            reraise=True,
        )
        try:
            async for attempt in retry:
                with attempt:
                    # Rule 3: the first await only queues the record, the second one waits for the broker.
                    await (await topic.send(key=key, value=value, headers=headers, partition=partition))
        except PERMANENT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, time is up
            self.leave(f"Kafka did not take a record in time: {type(error).__name__}: {error}")
        self.health.green("deliver")


def _tasks(records: Sequence[Record]) -> list[Task]:
    return [(each.value, each.seconds, *packing_headers(each.headers)) for each in records]


def _tombstone(record: Record) -> Verdict:
    """What a record without a value becomes, at a stage that passes tombstones on."""
    if record.key is None or not is_article_id(record.key):
        return Failure("empty", NO_TOMBSTONE)
    try:
        time = datetime.fromtimestamp(record.seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        return failed(error)
    retraction = Retraction(id=record.key.decode(), time=time, by=BY_PRODUCER)
    return Result(record.key, write_record(retraction), tombstone=True)


NO_TOMBSTONE = (
    "the record has no value, and it is no tombstone: one that takes an article out has the article id as its key, "
    "32 hexadecimal digits in small letters"
)


def _waves(records: Sequence[Record]) -> list[list[Record]]:
    """The records, those of one key in one order: each wave has a key once, and begins when the one before is done.

    Of two results of an article with one revision, the later must stay the later.
    """
    waves: list[list[Record]] = []
    times: Counter[bytes] = Counter()
    for record in records:
        place = times[record.key] if record.key else 0
        if place == len(waves):
            waves.append([])
        waves[place].append(record)
        if record.key:
            times[record.key] += 1
    return waves


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000) if math.isfinite(seconds) else NO_TIMESTAMP


def _record(message: Any) -> Record:
    headers = message.headers or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    own = [(str(name), value or b"") for name, value in pairs]
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        # Published again, an article must not beat a correction that came in between.
        seconds=original_timestamp_ms(own, _milliseconds(message.timestamp)) / 1000,
        headers=own,
    )


def run_stage(stage: Stage, settings: StageSettings) -> NoReturn:
    """Run one process of a stage."""
    set_up_logging(settings.log_level, settings.log_format, stage.name)
    log.info("starting", stage=stage.name, source=stage.source.name, target=stage.target.name)
    started = time.monotonic()
    worker = StageWorker(stage, settings)
    log.info("ready to join", seconds=round(time.monotonic() - started, 1))
    worker.run()
