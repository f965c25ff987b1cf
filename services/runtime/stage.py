"""A stage: one step between two topics, on Faust, losing nothing.

Faust 0.15.3 acknowledges a record when the agent asks for the next one, whatever became of it: an exception, a
send that failed later, a value that does not decode, each loses records while the worker looks well. Ten rules
close these gaps. They stand in this file and nowhere else, each marked `Rule n` where it is kept:

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

A record's way through this file: `_work` takes a batch, `ChildProcesses.run` has a child process work on each chunk
of it (`_run_chunk`), `_conclude` delivers each result or dead letter, and only then Faust may commit the batch.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import TimeoutError as PoolTimeout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

import aiokafka.codec
import faust
import structlog
import tenacity
from aiokafka import errors as kafka_errors
from pebble import ProcessExpired, ProcessPool
from prometheus_client import Counter as Metric
from prometheus_client import Histogram
from pydantic import BaseModel

from schemas.cloudevents import Header, packing_headers, unwrap
from schemas.dead_letter import NO_TIMESTAMP, dead_letter_headers, dead_letter_id, original_timestamp_ms
from schemas.reading import Refused, read_record, write_record
from schemas.retraction import BY_PRODUCER, Retraction, is_article_id
from schemas.topics import ARTICLES_DLQ, ARTICLES_RAW, MAX_INNER_BYTES, Topic, publisher_partition
from services.runtime.child import end_with_parent, limit_memory
from services.runtime.codecs import check_codecs
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging
from services.runtime.metrics import DEAD_LETTERS, RECORDS
from services.runtime.remembering import PartitionMemories, Record, Remembering
from services.runtime.settings import RememberingSettings, StageSettings
from services.runtime.watchdog import DEAD_LETTER_QUEUE, Watchdog

log = structlog.get_logger(__name__)

EXIT_UNDELIVERABLE = 70
"""Exit status when nothing more can be done here and nothing was committed (EX_SOFTWARE of sysexits.h)."""

EXIT_MEMORY = 71
"""Exit status of a child process that may have no more memory (EX_OSERR of sysexits.h)."""

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)


@dataclass(frozen=True)
class Received(Generic[In]):
    """A decoded record and the time at which Kafka stored it."""

    article: In
    time: datetime


@dataclass(frozen=True)
class Noted:
    """A result, and what the stage's memory is to be told about it."""

    article: BaseModel
    note: Any


Step = Callable[[Sequence[Received[Any]]], Sequence[BaseModel | Noted]]
"""A pure function from records to as many results, in the same order. What it raises about a chunk is tried
again record by record; what it raises about one record becomes that record's dead letter."""


@dataclass(frozen=True)
class Stage:
    """A step between two topics. `load_step` is a module-level function, called once in each child process."""

    name: str
    source: Topic
    target: Topic
    load_step: Callable[[Any], Step]
    remembering: Remembering | None = None
    """For a stage whose results depend on earlier records of the same partition; its step returns `Noted`."""
    outcome: Callable[[Any], str] | None = None
    """What became of a result, in a word: counted by language in `newsflow_outcomes_total`."""
    tombstones: Topic | None = None
    """Where it is told that an article was taken out: by a record without a value, whose key is the article id.
    For a stage that remembers nothing."""


@dataclass(frozen=True)
class Result:
    """What a record became on the target topic; its partition is given where the key does not pick it."""

    key: bytes
    value: bytes
    partition: int | None = None
    note: Any = None
    outcome: tuple[str, str] | None = None
    """Language and what became of it, for the metric."""
    tombstone: bool = False
    """It goes to the stage's `tombstones`, not to its target."""


@dataclass(frozen=True)
class Failure:
    """Why a record became nothing."""

    reason: str
    error: str


Verdict = Result | Failure
Task = tuple[bytes | None, float, *tuple[Header, ...]]
"""What a child process is given of a record: its value, its Kafka timestamp in seconds, and behind these those of
its headers that say how its article is packed."""

RESULTS = Metric("newsflow_results", "Records delivered to the target topic", ["stage"])
TOMBSTONES = Metric("newsflow_tombstones", "Tombstones passed on", ["stage"])
OUTCOMES = Metric("newsflow_outcomes", "Results by what became of them", ["stage", "language", "outcome"])
BATCH_SECONDS = Histogram("newsflow_batch_seconds", "From a batch in hand to all of it delivered", ["stage"])

# ---------------------------------------------------------------- in the child process

_loaded: tuple[Stage, Step] | None = None
"""The step of this child process, loaded once (a model takes seconds); None in the parent."""


def _start_child(stage: Stage, settings: StageSettings) -> None:
    global _loaded  # noqa: PLW0603 - a pool has no other place for what its children load
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent()  # Rule 6: a killed parent can end no process that hangs
    set_up_logging(settings.log_level, settings.log_format, stage.name)
    _loaded = (stage, stage.load_step(settings))
    gc.freeze()  # a model is a million objects that live as long as the process: not to be looked through again
    limit_memory(settings.child_memory_mb)  # Rule 6


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory is what was missing. lxml says so in its log of errors, and not by the class of the error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may be its own cause
        seen.add(id(error))
        entries = getattr(error, "error_log", None)
        numbers = [getattr(each, "type", None) for each in entries] if isinstance(entries, Iterable) else []
        if isinstance(error, MemoryError) or not _NO_MEMORY.isdisjoint(numbers):
            return True
        error = error.__cause__ or error.__context__
    return False


_NO_MEMORY = frozenset({2, 1215})
"""XML_ERR_NO_MEMORY and XPATH_MEMORY_ERROR of libxml2, which not every stage has at hand."""


def _end_full_process() -> NoReturn:
    """Nothing that this process still holds can be told from what the record needed: the next one starts empty."""
    os._exit(EXIT_MEMORY)


def _run_chunk(tasks: Sequence[Task]) -> list[Verdict]:
    """A verdict for each task, in order; never raises for what a record holds.

    Where memory runs out it does not return: the process ends with `EXIT_MEMORY`.
    """
    if _loaded is None:
        raise RuntimeError("the child process has not loaded its step")
    stage, step = _loaded
    verdicts: dict[int, Verdict] = {}
    records: dict[int, Received[Any]] = {}
    for index, (value, seconds, *headers) in enumerate(tasks):
        try:  # Rule 1: the bytes are decoded here, where a failure is one record's verdict.
            article = read_record(stage.source, unwrap(value, headers) if stage.source == ARTICLES_RAW else value)
            records[index] = Received(article, datetime.fromtimestamp(seconds, UTC))
        except Refused as refused:
            verdicts[index] = Failure(refused.reason, refused.error)
        except Exception as error:  # noqa: BLE001 - Rule 2
            if _out_of_memory(error):
                _end_full_process()
            verdicts[index] = _failed(error)
    verdicts |= _run_step(stage, step, records)
    return [verdicts[index] for index in range(len(tasks))]


def _run_step(stage: Stage, step: Step, records: dict[int, Received[Any]]) -> dict[int, Verdict]:
    if not records:
        return {}
    try:
        results = step(list(records.values()))
        return {index: _result(stage, result) for index, result in zip(records, results, strict=True)}
    except Exception as error:  # noqa: BLE001 - Rule 2: whatever a step raises is a verdict
        if _out_of_memory(error):
            _end_full_process()
        if len(records) == 1:
            return {index: _failed(error) for index in records}
    alone = [_run_step(stage, step, {index: record}) for index, record in records.items()]
    return {index: verdict for verdicts in alone for index, verdict in verdicts.items()}


def _result(stage: Stage, result: Any) -> Verdict:
    noted = result if isinstance(result, Noted) else Noted(result, None)
    article: Any = noted.article
    value = write_record(article)
    if len(value) > MAX_INNER_BYTES:
        return Failure("result_too_large", f"the result has {len(value)} bytes, over {MAX_INNER_BYTES}")
    by_publisher = stage.target.partition_by == "publisher"
    partition = publisher_partition(article.publisher, stage.target.partitions) if by_publisher else None
    outcome = (_subtag(article.language), stage.outcome(article)) if stage.outcome else None
    return Result(article.id.encode(), value, partition, noted.note, outcome)


def _subtag(language: str) -> str:
    """The primary subtag of a language, as a label of a metric: whatever producers state, there are not many."""
    subtag = language.split("-", maxsplit=1)[0].lower()
    return subtag if len(subtag) <= LONGEST_CODE else "other"


LONGEST_CODE = 3
"""Letters of a language's code in ISO 639."""


def _failed(error: Exception) -> Failure:
    # An error of a step that has a reason of its own is a verdict on the article, not a bug.
    reason: str | None = getattr(error, "dead_letter", None)
    if reason is not None:
        return Failure(reason, str(error))
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})" if place else ""
    return Failure("failed", f"{type(error).__name__}: {error}{where}")


# ---------------------------------------------------------------- in the parent process

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


class ChildProcesses:
    """Rule 6: the processes that run a stage's step, each with the step loaded once."""

    def __init__(self, stage: Stage, settings: StageSettings, progress: Callable[[], None] = lambda: None) -> None:
        """`progress` is told of each try that ended a process: that takes long and is no standstill."""
        self.stage = stage
        self.settings = settings
        self.progress = progress
        self.pool = ProcessPool(
            max_workers=settings.processes,
            max_tasks=settings.child_chunks,
            initializer=_start_child,
            initargs=(stage, settings),
            # A forked child would share the parent's Kafka sockets and threads.
            context=multiprocessing.get_context("spawn"),
        )

    def start(self) -> None:
        """Return when all have loaded the step (a model takes seconds); raises what a step raises at that."""
        for ready in [self.pool.schedule(_run_chunk, args=[[]]) for _ in range(self.settings.processes)]:
            ready.result()

    def stop(self) -> None:
        """End them, with whatever they have in hand."""
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()

    async def run(self, tasks: list[Task], again: bool = False) -> list[Verdict]:
        """Rule 6: a verdict for each task. A chunk that hangs or kills its child is tried record by record.

        A record alone for which there was no memory is tried once more (`again`): its process was not empty.
        """
        limit = self.settings.document_limit_seconds
        try:
            # The limit is one document's even for a chunk: 16 normal ones take a second together.
            work = self.pool.schedule(_run_chunk, args=[tasks], timeout=limit)
            return await asyncio.wrap_future(work)
        except PoolTimeout:
            failure = Failure("timeout", f"it took longer than {limit:g} s and its process was ended")
        except ProcessExpired as expired:
            if expired.exitcode == EXIT_MEMORY:
                failure = Failure(
                    "memory", f"no memory is left for it (child_memory_mb={self.settings.child_memory_mb})"
                )
            else:
                failure = Failure("crashed", f"its process died with exit status {expired.exitcode}")
        self.progress()
        if len(tasks) == 1 and (again or failure.reason != "memory"):
            log.warning("record ended its process", stage=self.stage.name, reason=failure.reason)
            return [failure]
        return [verdict for task in tasks for verdict in await self.run([task], again=True)]


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
        worker = faust.Worker(
            self.app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel=self.settings.log_level
        )
        self.watchdog.start()
        worker.execute_from_commandline()
        sys.exit(0)

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
        return _failed(error)
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
