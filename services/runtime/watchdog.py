"""The watchdog: sees from outside whether a consumer group moves, with a Kafka client of its own.

A consumer that stopped fetching still believes that it has nothing to do, so its own counters cannot be asked.
The watchdog asks the broker, from a thread that the work cannot block: what is the end, what is committed?
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NoReturn

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from prometheus_client import Gauge

from schemas.topics import ARTICLES_DLQ
from services.runtime.health import Health
from services.runtime.settings import ServiceSettings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""How often it looks, at the most."""

GRACE = 0.25
"""Health is red for this share of the stall limit before the process exits, so that an operator can see why."""

LAG = Gauge(
    "newsflow_lag",
    "Records not yet committed in the partitions of this process, or of all if it has none",
    ["topic"],
)

DEAD_LETTERS_WAITING = Gauge(
    "newsflow_dead_letters_waiting",
    "Records in the dead letter queue: at most so many dead letters wait. Those replayed or purged count, with "
    "their markers, until the queue is shrunk",
)

QUEUE_LOOK_SECONDS = 5.0
"""Between two looks at the dead letter queue."""

QUEUE_WARNING_SECONDS = 60.0
"""Between two lines in the log about too many dead letters."""

FIRST_LOOK_SECONDS = 60.0
"""How long a dead letter waits for the first look at the queue; a Kafka that is away so long takes none either."""


class DeadLetterQueue:
    """How full the dead letter queue is, for all watchdogs of a process and for whoever writes into it.

    Between two looks what this process writes is counted; what others write meanwhile comes on top of the limit.
    """

    def __init__(self) -> None:
        self._found = self._limit = self._written = self._written_before = 0
        self._due = self._warned = float("-inf")
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._known.set()  # where nobody watches there is nothing to wait for

    def watched(self) -> None:
        """Somebody looks from now on: a process that starts anew again and again must not write before it knows."""
        if self._due == float("-inf"):
            self._known.clear()

    def look(self, consumer: KafkaConsumer, settings: ServiceSettings) -> None:
        """Ask how full it is, if that is due; raises `KafkaError`."""
        now = time.monotonic()
        if now < self._due:
            return
        before = self._written
        place = TopicPartition(settings.name(ARTICLES_DLQ.name), 0)
        found = 0
        if consumer.partitions_for_topic(place.topic):
            ends = consumer.end_offsets([place], timeout_ms=10_000)
            found = ends[place] - consumer.beginning_offsets([place], timeout_ms=10_000)[place]
        with self._lock:
            self._found, self._written_before, self._limit = found, before, settings.dlq_limit_records
        self._due = now + QUEUE_LOOK_SECONDS
        self._known.set()
        DEAD_LETTERS_WAITING.set(found)
        if found > settings.dlq_alarm_records and now >= self._warned + QUEUE_WARNING_SECONDS:
            self._warned = now
            log.warning("many dead letters wait: newsflow dlq list", at_most=found, limit=self._limit or None)

    def take_room(self) -> str | None:
        """Room for one more dead letter; where there is none, why and what to do. Waits for the first look."""
        self._known.wait(FIRST_LOOK_SECONDS)
        with self._lock:
            records = self._found + self._written - self._written_before
            if not self._limit or records < self._limit:
                self._written += 1
                return None
        return (
            f"the dead letter queue holds {records} records and DLQ_LIMIT_RECORDS allows {self._limit}: see "
            "`newsflow dlq list`, then `newsflow dlq replay` or `newsflow dlq purge`"
        )


DEAD_LETTER_QUEUE = DeadLetterQueue()
"""That of this process."""


class Watchdog:
    """Turns health red, then calls `leave`, when records wait and the committed offset does not move.

    A broker that cannot be asked proves nothing: health goes red, and the clock starts anew when it answers.
    """

    def __init__(
        self,
        health: Health,
        settings: ServiceSettings,
        group: str,
        topic: str,
        assigned: Callable[[], set[int]],
        leave: Callable[[str], NoReturn],
        queue: DeadLetterQueue = DEAD_LETTER_QUEUE,
    ) -> None:
        self.queue = queue
        self.health, self.settings, self.group, self.topic = health, settings, group, topic
        self.assigned, self.leave = assigned, leave
        self._moved = time.monotonic()
        self._committed: dict[int, int] = {}
        self._done = self._going = self._moved
        self._batches = 0

    def start(self) -> None:
        """Look from now on, in a daemon thread."""
        self.queue.watched()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def batch_begins(self) -> None:
        """A batch is in hand from now on."""
        self._batches += 1

    def record_done(self) -> None:
        """A record of the batch in hand has its verdict: slow work, but no stall."""
        self._done = time.monotonic()

    def goes_on(self) -> None:
        """Records are read again to make a memory, which no commit shows: slow, but no stall."""
        self._going = time.monotonic()

    def _run(self) -> None:
        consumer: KafkaConsumer | None = None
        while True:
            try:
                if consumer is None:
                    consumer = KafkaConsumer(
                        bootstrap_servers=self.settings.servers,
                        group_id=self.group,
                        enable_auto_commit=False,
                        reconnect_backoff_max_ms=1_000,
                        request_timeout_ms=10_000,
                        metadata_max_age_ms=5_000,
                    )
                self.queue.look(consumer, self.settings)
                self._look(consumer)
                self.health.green("kafka")
                self.health.green("watchdog")
            except KafkaError as error:
                self.health.red("kafka", f"Kafka does not answer: {type(error).__name__}")
                self._moved = time.monotonic()
                if consumer is not None:
                    consumer.close(autocommit=False, timeout_ms=0)
                    consumer = None
            except Exception as error:
                # The work changes what is read here while it is read. A watchdog that died would see nothing.
                log.exception("the watchdog could not look")
                self.health.red("watchdog", f"the watchdog cannot look: {type(error).__name__}")
            time.sleep(min(LOOK_SECONDS, self.settings.stall_limit_seconds / 8))

    def _look(self, consumer: KafkaConsumer) -> None:
        now = time.monotonic()
        known = consumer.partitions_for_topic(self.topic)
        if not known:
            self._judge(now, f"topic {self.topic} does not exist: newsflow setup creates it")
            return
        # A process without a partition is a reserve while others work; but when a topic is made anew under a
        # group, Faust leaves every process without one and reads nothing. So the whole topic is its concern.
        partitions = [TopicPartition(self.topic, partition) for partition in sorted(self.assigned() or known)]
        ends = consumer.end_offsets(partitions, timeout_ms=10_000)
        begins = consumer.beginning_offsets(partitions, timeout_ms=10_000)
        committed = {tp.partition: consumer.committed(tp, timeout_ms=10_000) for tp in partitions}
        at = {tp.partition: max(committed[tp.partition] or 0, begins[tp]) for tp in partitions}
        lag = sum(max(0, ends[tp] - at[tp.partition]) for tp in partitions)
        LAG.labels(self.topic).set(lag)
        if lag == 0 or any(at[p] != self._committed.get(p) for p in at):
            self._committed, self._batches, self._moved = at, 0, now
            self._well(lag)
            return
        # The first batch since the last commit may take long as long as its records come to an end.
        if self._batches <= 1:
            self._moved = max(self._moved, self._done)
        self._moved = max(self._moved, self._going)
        self._judge(now, f"{lag} records wait in {self.topic} and the committed offset does not move")

    def _well(self, lag: int) -> None:
        self.health.green(f"stall {self.topic}")
        LAG.labels(self.topic).set(lag)

    def _judge(self, now: float, reason: str) -> None:
        limit = self.settings.stall_limit_seconds
        still = now - self._moved
        if still <= limit:
            self.health.green(f"stall {self.topic}")
        else:
            self.health.red(f"stall {self.topic}", f"{reason} for {still:.0f} s")
        if still > limit * (1 + GRACE):
            self.leave(f"{reason} for {still:.0f} s")
