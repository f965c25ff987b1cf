"""Confirmed delivery to `articles-raw`: an article counts as sent when Kafka says that it has it.

`SourceRun` follows what a source gives: out of range or too large, sent and confirmed, counted, and only then
does the checkpoint move.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from schemas.article import RawArticle
from schemas.reading import Refused, write_record
from schemas.source import SourceState
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES, SOURCE_STATES
from services.producer.core import Found, Item, RawRecord, Reached, Skipped, Trouble, Unusable, to_record
from services.producer.settings import ProducerSettings
from services.producer.source import ArticleSource, Run
from services.producer.states import States, silent_since
from services.runtime.confirmed import abandon, confirming_producer

log = structlog.get_logger(__name__)

SENT = Metric("newsflow_source_articles", "Articles that Kafka confirmed", ["source"])
NOT_SENT = Metric("newsflow_source_not_sent", "What was found and not sent, by reason", ["source", "reason"])
TROUBLE = Gauge("newsflow_source_trouble", "1 while a part of a source cannot be read", ["source", "part"])
SILENT = Gauge("newsflow_source_silent", "1 while a part is silent, against its own usual", ["source", "part"])
LAST_ARTICLE = Gauge("newsflow_source_last_article_seconds", "Time of the last article (Unix)", ["source", "part"])

CONNECT_PAUSE_SECONDS = 1.0
"""Between two tries to reach a broker that is away."""

NAMED_FAILURES = 1_000
"""Articles not sent that the report names; the others are in its counts."""


@dataclass
class Report:
    """What became of what a source found: how many articles Kafka confirmed, and the others by reason.

    `failed` names the first ones of what was not sent, `troubles` the parts that could not be read at the end.
    """

    confirmed: int = 0
    failed: list[Unusable] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unconfirmed: int = 0
    troubles: dict[str, str] = field(default_factory=dict)

    @property
    def not_sent(self) -> int:
        """Articles refused or not confirmed."""
        return self.refused.total() + self.unconfirmed

    @property
    def ended(self) -> int:
        """All that has come to its end."""
        return self.confirmed + self.not_sent + self.skipped.total()

    def note(self, item: Item, confirmed: bool, why: str) -> None:
        """An item has come to its end."""
        if isinstance(item, Trouble):
            self.troubles[item.part] = item.error
            return
        self.troubles.pop(item.part, None)
        if isinstance(item, Found) and confirmed:
            self.confirmed += 1
        elif isinstance(item, Found):
            self.unconfirmed += 1
            self._name(Unusable(item.origin, why, item.part, reason="not_confirmed"))
        elif isinstance(item, Unusable):
            self.refused[item.reason] += 1
            self._name(item)
        elif isinstance(item, Skipped):
            self.skipped[item.reason] += 1

    def _name(self, failed: Unusable) -> None:
        if len(self.failed) < NAMED_FAILURES:
            self.failed.append(failed)


@dataclass
class _Waiting:
    item: Item
    record: RawRecord | None = None
    future: Any = None
    tries: int = 1


class Publisher:
    """Sends articles and waits for each confirmation; items come to their end in the order in which they came.

    `ended` is told of each item, whether Kafka has it, and why not. What was not confirmed is sent once more, with
    all that came after it under its key, so that a correction stays behind what it corrects; with `patient` it is
    sent until Kafka takes it or `give_up` says True. Sending twice is harmless, since the article id is the same.
    """

    def __init__(
        self,
        settings: ProducerSettings,
        ended: Callable[[Item, bool, str], None],
        *,
        patient: bool = False,
        give_up: Callable[[], bool] = lambda: False,
        away: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`away` is told whether Kafka is, when articles have to be sent again and when they are confirmed."""
        self.settings = settings
        self._ended = ended
        self._patient = patient
        self._give_up = give_up
        self._away = away
        self._waiting: deque[_Waiting] = deque()
        self.producer: KafkaProducer | None = self._connect()

    def _connect(self) -> KafkaProducer:
        timeout = self.settings.delivery_timeout_seconds
        return confirming_producer(
            self.settings,
            MAX_RAW_BYTES,
            compression_type="lz4",
            linger_ms=20,
            delivery_timeout_ms=int(timeout * 1000),
            request_timeout_ms=int(min(30.0, timeout / 2) * 1000),
            max_block_ms=int(timeout * 1000),
        )

    def take(self, item: Item) -> None:
        """Send an article, or note what is none in its turn."""
        record = None
        if isinstance(item, Found):
            try:
                record = to_record(item.article)
            except Refused as refused:
                item = Unusable(item.origin, refused.error, item.part, item.checkpoint, refused.reason)
        waiting = _Waiting(item, record)
        self._send(waiting)
        self._waiting.append(waiting)
        while len(self._waiting) >= self.settings.in_flight_records:
            self._conclude()

    def conclude_confirmed(self) -> None:
        """Bring to their end those of which Kafka has said so by now, without waiting for it."""
        while self._waiting and self._is_over(self._waiting[0]):
            self._conclude()

    def drain(self) -> None:
        """Return when everything has come to its end."""
        if self.producer is not None:
            with suppress(KafkaError):
                self.producer.flush()
        while self._waiting:
            self._conclude()

    def close(self) -> None:
        """Give up the connection; what is under way is not waited for."""
        if self.producer is not None:
            self.producer.close(timeout=5)

    def _is_over(self, waiting: _Waiting) -> bool:
        return waiting.record is None or waiting.future is None or waiting.future.is_done

    def _send(self, waiting: _Waiting) -> None:
        waiting.future = None
        if waiting.record is None or self.producer is None:
            return
        try:
            name = self.settings.name(ARTICLES_RAW.name)
            waiting.future = self.producer.send(name, key=waiting.record.key, value=waiting.record.value)
        except KafkaError:
            return  # its turn comes in order, like that of the others

    def _confirmed(self, waiting: _Waiting) -> bool:
        if waiting.future is None:
            return False
        try:
            waiting.future.get(timeout=self.settings.delivery_timeout_seconds + 5)
        except KafkaError:
            return False
        return True

    def _conclude(self) -> None:
        first = self._waiting[0]
        if first.record is None or self._confirmed(first):
            self._waiting.popleft()
            if first.record is not None:
                self._away(False)
            self._ended(first.item, True, "")
        elif first.tries > 1 and (not self._patient or self._give_up()):
            self._waiting.popleft()
            seconds = self.settings.delivery_timeout_seconds
            self._ended(first.item, False, f"Kafka did not confirm it in {seconds:g} s")
        else:
            self._send_again()

    def _send_again(self) -> None:
        """All that wait are settled; those not confirmed, and what came after them under their keys, go again."""
        behind: set[bytes] = set()
        again = []
        for waiting in self._waiting:
            if waiting.record is None or (waiting.record.key not in behind and self._confirmed(waiting)):
                continue
            behind.add(waiting.record.key)
            again.append(waiting)
        self.connect_anew()
        for waiting in again:
            waiting.tries += 1
            self._send(waiting)

    def connect_anew(self) -> None:
        """Be with another client: one that waited for an answer in vain may send nothing more, ever (`abandon`).

        What it had under way has failed, and is sent again in its turn.
        """
        self._away(True)
        if self.producer is not None:
            abandon(self.producer)
            self.producer = None
        while self.producer is None:
            try:
                self.producer = self._connect()
            except KafkaError:
                if not self._patient or self._give_up():
                    return
                time.sleep(CONNECT_PAUSE_SECONDS)


def publish(
    settings: ProducerSettings, items: Iterable[Item], done: Callable[[Report], None] = lambda _: None
) -> Report:
    """Send all articles and wait for each confirmation; `done` is called after each one.

    Nothing is raised for one article: what cannot be read, sent or confirmed is in the report.
    """
    report = Report()

    def ended(item: Item, confirmed: bool, why: str) -> None:
        report.note(item, confirmed, why)
        done(report)

    publisher = Publisher(settings, ended)
    try:
        for item in items:
            publisher.take(item)
        publisher.drain()
    finally:
        publisher.close()
    return report


class SourceRun:
    """One run of a source: its articles delivered, its checkpoints written, its health watched."""

    def __init__(
        self,
        settings: ProducerSettings,
        name: str,
        source: ArticleSource,
        run: Run,
        known: Iterable[SourceState] = (),
        *,
        rate: float | None = None,
        away: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`known` are the states of this source's parts, `rate` is the most articles a second."""
        self.settings = settings
        self.name = name
        self.source = source
        self.report = Report()
        self.states = States(name, known, settings.lives_seconds if run.follow else None)
        self.keeps_state: bool = getattr(source, "keeps_state", True)
        self.run = run
        self.rate = rate
        self.away = away
        self._publisher: Publisher | None = None
        self._saved = self._lived = 0.0
        self._next_send = 0.0
        self._silent: set[str] = set()

    def deliver(self, done: Callable[[Report], None] = lambda _: None) -> Report:
        """Run the source to its end; `done` is called after each item and now and then while it waits."""

        def ended(item: Item, confirmed: bool, why: str) -> None:
            self._note(item, confirmed, why)
            done(self.report)

        publisher = self._publisher = Publisher(
            self.settings, ended, patient=self.run.follow, give_up=self.run.stopping, away=self.away
        )

        def idle() -> None:
            publisher.conclude_confirmed()
            self._save_when_due()
            done(self.report)

        self.run.idle = idle
        try:
            while True:
                for item in self._items():
                    publisher.take(item)
                    self._save_when_due()
                publisher.drain()
                self._save()
                if not self.run.follow or getattr(self.source, "follows", False):
                    break
                if not self.run.wait(self.run.every):
                    break
                self.run.checkpoints = self.states.checkpoints
        finally:
            publisher.close()
        return self.report

    def _items(self) -> Iterator[Item]:
        """What the source gives, ready to be sent. Whatever it raises ends this look and no more."""
        troubled = False
        try:
            for item in self._given():
                troubled = troubled or (isinstance(item, Trouble) and not item.part)
                yield item
        except Exception as error:
            log.warning("source failed", source=self.name, exc_info=True)
            yield Trouble("", f"the source failed: {type(error).__name__}: {error}")
            return
        whole = self.states.parts.get("")
        if whole is not None and whole.error is not None and not troubled:
            yield Reached("")  # an earlier look failed as a whole, this one did not

    def _given(self) -> Iterator[Item]:
        for given in self.source.articles(self.run):
            item = Found(given.url or given.id or "article", given) if isinstance(given, RawArticle) else given
            if not isinstance(item, Item):
                raise TypeError(f"it gave a {type(given).__name__}, which is no RawArticle")
            if isinstance(item, Found):
                item = self._in_range(item)
            if isinstance(item, Found):
                self._pace()
                if item.article.producer is None:
                    item = replace(item, article=item.article.model_copy(update={"producer": self.name}))
            yield item
            if self.run.stopping():
                return

    def _in_range(self, item: Found) -> Item:
        if self.run.since is None and self.run.until is None:
            return item
        when = item.article.published or item.time or item.article.modified
        if when is None:
            return Skipped(item.origin, "undated", item.part, item.checkpoint)
        return item if self.run.wanted(when) else Skipped(item.origin, "out_of_range", item.part, item.checkpoint)

    def _pace(self) -> None:
        if self.rate is None:
            return
        now = time.monotonic()
        if self._next_send > now:
            self.run.wait(self._next_send - now)
        self._next_send = max(self._next_send, now) + 1 / self.rate

    def _note(self, item: Item, confirmed: bool, why: str) -> None:
        self.report.note(item, confirmed, why)
        self.states.note(item, confirmed, datetime.now(UTC))
        if isinstance(item, Found) and confirmed:
            SENT.labels(self.name).inc()
            LAST_ARTICLE.labels(self.name, item.part).set_to_current_time()
        elif isinstance(item, Found | Unusable | Skipped):
            NOT_SENT.labels(self.name, getattr(item, "reason", "not_confirmed")).inc()
        if isinstance(item, Trouble):
            TROUBLE.labels(self.name, item.part).set(1)
            log.warning("source cannot be read", source=self.name, part=item.part, error=item.error)
        else:
            TROUBLE.labels(self.name, item.part).set(0)

    def _save_when_due(self) -> None:
        now = time.monotonic()
        if now - self._lived >= self.settings.lives_seconds and self.run.follow:
            self._lived = now
            self.states.lives(datetime.now(UTC))
            self._look_for_silence()
        if now - self._saved >= self.settings.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        self._saved = time.monotonic()
        changed = self.states.take_changed()
        publisher = self._publisher
        if not self.keeps_state or not changed or publisher is None:
            return
        if publisher.producer is None:
            self.states.put_back(changed)
            return
        topic = self.settings.name(SOURCE_STATES.name)
        try:
            futures = [
                publisher.producer.send(topic, key=state.key.encode(), value=write_record(state))
                for state in changed
            ]
            for future in futures:
                future.get(timeout=self.settings.delivery_timeout_seconds + 5)
        except KafkaError as error:
            # The articles are safe: after a kill some are sent twice, which is harmless.
            self.states.put_back(changed)
            log.warning("checkpoints not written, tried again", source=self.name, error=str(error))
            publisher.connect_anew()

    def _look_for_silence(self) -> None:
        now = datetime.now(UTC)
        for part, state in self.states.parts.items():
            since = silent_since(state, now, self.settings.silent_factor, self.settings.silent_least_seconds)
            SILENT.labels(self.name, part).set(since is not None)
            if since is not None and part not in self._silent:
                self._silent.add(part)
                log.warning("source is silent", source=self.name, part=part, last_article=since.isoformat())
            elif since is None:
                self._silent.discard(part)
