"""The way to Kafka: one thread that sends, so that the web server never waits for a broker."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from kafka import KafkaProducer
from kafka.errors import RetriableError

from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES
from services.gateway.core import Record
from services.gateway.settings import GatewaySettings
from services.runtime.confirmed import abandon, confirming_producer
from services.runtime.health import Health

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
"""A broker that has not answered for so long is away; it is tried again and again."""

LOOK_SECONDS = 0.5
"""Pause between two looks at a quiet queue, and between two tries to reach a broker that is away."""

CLOSE_SECONDS = 5.0
"""For what nobody waits for any more, at the end."""

PATIENCE_SECONDS = 2.0
"""After a failure the client has so long to confirm something, and records so long over their time to fail.

kafka-python 3.0.12 stops for good, without a word, when a batch that it had sent once runs out of time: it forgets
its producer id and never asks for another, so that it sends and fails nothing more. Only a new client helps.
"""

LINGER_MS = 5
"""Records that come in so shortly after another share a request to Kafka."""


class Batch:
    """The records of one request. `done` is called once, when Kafka has all of them or not all of them.

    It is called by whatever thread learns it. After `deadline` (of `time.monotonic`) nobody waits for it.
    """

    def __init__(self, records: Sequence[Record], deadline: float, done: Callable[[bool], None]) -> None:
        self.records = records
        self.deadline = deadline
        self._done = done
        self._left = len(records)
        self._failed = False
        self._lock = threading.Lock()

    def settle(self, count: int, *, failed: bool) -> bool:
        """So many records have come to their end; whether all have now."""
        with self._lock:
            self._left -= count
            self._failed = self._failed or failed
            last = not self._left
        if last:
            self._done(not self._failed)
        return last


class Sender:
    """Sends batches in order; each is confirmed or has failed soon after its deadline at the latest."""

    def __init__(self, settings: GatewaySettings, health: Health) -> None:
        self._settings = settings
        self._health = health
        self._topic = settings.name(ARTICLES_RAW.name)
        # Bounded by the records that may be in flight (services/gateway/app.py).
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._producer: KafkaProducer | None = None
        self._broken = False
        self._trouble_since: float | None = None
        """When something failed and nothing was confirmed after it (of `time.monotonic`)."""
        self._under_way: dict[Batch, float] = {}
        """What the client has, in order, and when it should have come to its end."""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        health.red("kafka", "Kafka has not answered yet")

    def start(self) -> None:
        """Reach Kafka, and send from now on."""
        self._thread.start()

    def send(self, batch: Batch) -> None:
        """Take a batch on its way; returns at once."""
        self._queue.put(batch)

    def close(self) -> None:
        """Send what is in hand, and end."""
        self._queue.put(None)
        self._thread.join(CONNECT_SECONDS + 2 * CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            if self._producer is None:
                self._connect()
            try:
                batch = self._queue.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                pass
            else:
                if batch is None:
                    self._close()
                    return
                self._send(batch)
            if self._has_stopped():
                self._abandon()

    def _has_stopped(self) -> bool:
        """Whether the client will do nothing more, as far as anybody can tell."""
        now = time.monotonic()
        with self._lock:
            oldest = next(iter(self._under_way.values()), now)
        since = self._trouble_since
        quiet = since is not None and now > since + PATIENCE_SECONDS
        return self._broken or quiet or now > oldest + PATIENCE_SECONDS

    def _connect(self) -> None:
        timeout_ms = int(self._settings.confirm_seconds * 1000)
        try:
            producer = confirming_producer(
                self._settings,
                MAX_RAW_BYTES,
                compression_type="lz4",
                linger_ms=LINGER_MS,
                delivery_timeout_ms=timeout_ms,
                request_timeout_ms=timeout_ms // 2,
                max_block_ms=int(CONNECT_SECONDS * 1000),
                bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
                # A topic made so would not have the partitions and the clock that set-up gives it.
                allow_auto_create_topics=False,
            )
            self._producer = producer
            producer.partitions_for(self._topic)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._abandon()
            self._health.red("kafka", f"no {self._topic} on Kafka can be reached: {_text(error)}")
            while not self._queue.empty():
                batch = self._queue.get()
                if batch is None:
                    self._queue.put(None)
                    return
                self._settle(batch, len(batch.records), failed=True)
        else:
            self._broken, self._trouble_since = False, None
            self._health.green("kafka")

    def _abandon(self) -> None:
        """Fail what the client has, and be without one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            abandon(producer)

    def _close(self) -> None:
        """Send what is left, as far as Kafka takes it."""
        if self._producer is not None:
            _quietly_close(self._producer, CLOSE_SECONDS)

    def _send(self, batch: Batch) -> None:
        if self._producer is None or time.monotonic() > batch.deadline:
            self._settle(batch, len(batch.records), failed=True)
            return
        with self._lock:
            self._under_way[batch] = time.monotonic() + self._settings.confirm_seconds
        for number, record in enumerate(batch.records):
            try:
                future = self._producer.send(self._topic, key=record.id.encode(), value=record.value)
            except Exception as error:  # noqa: BLE001 - whatever it is, the sender is told to try again
                self._trouble(error)
                self._settle(batch, len(batch.records) - number, failed=True)
                return
            future.add_callback(partial(self._confirmed, batch))
            future.add_errback(partial(self._failed, batch))

    def _confirmed(self, batch: Batch, _: object) -> None:
        if self._trouble_since is not None:
            self._trouble_since = None
            self._health.green("kafka")
        self._settle(batch, 1)

    def _failed(self, batch: Batch, error: Exception) -> None:
        # A client that is given up fails what it has: that says nothing of Kafka.
        if self._producer is not None:
            self._trouble(error)
        self._settle(batch, 1, failed=True)

    def _trouble(self, error: Exception) -> None:
        if self._trouble_since is None:
            self._trouble_since = time.monotonic()
        # After some errors the client takes nothing more, ever.
        self._broken = self._broken or not isinstance(error, RetriableError)
        self._health.red("kafka", f"Kafka did not confirm: {_text(error)}")

    def _settle(self, batch: Batch, count: int, *, failed: bool = False) -> None:
        if batch.settle(count, failed=failed):
            with self._lock:
                self._under_way.pop(batch, None)


def _quietly_close(producer: KafkaProducer, seconds: float) -> None:
    try:
        producer.close(timeout=seconds)
    except Exception as error:  # noqa: BLE001 - it is given up in any case
        log.warning("the connection to Kafka did not end well", error=_text(error))


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
