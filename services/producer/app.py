"""Confirmed delivery to `articles-raw`: an article counts as sent when Kafka says that it has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.reading import Refused
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES
from services.producer.core import Found, RawRecord, Unusable, to_record
from services.producer.settings import ProducerSettings
from services.runtime.confirmed import confirming_producer


@dataclass
class Report:
    """What became of the articles: how many Kafka confirmed, and those it did not with the reason."""

    confirmed: int = 0
    failed: list[Unusable] = field(default_factory=list)


def publish(
    settings: ProducerSettings,
    articles: Iterable[Found | Unusable],
    done: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Send all articles and wait for each confirmation; `done` is called after each one.

    Nothing is raised for one article: what cannot be read, sent or confirmed is in the report. Sending again is
    harmless, since the article id is the same. A send that failed is tried once more at the end, since the
    client gives up a whole batch when its connection to the broker begins anew.
    """
    report = Report()
    again: list[tuple[str, RawRecord]] = []
    producer = confirming_producer(
        settings,
        MAX_RAW_BYTES,
        compression_type="lz4",
        linger_ms=20,
        delivery_timeout_ms=int(settings.delivery_timeout_seconds * 1000),
        request_timeout_ms=int(min(30.0, settings.delivery_timeout_seconds / 2) * 1000),
        max_block_ms=int(settings.delivery_timeout_seconds * 1000),
    )
    try:
        _send(producer, settings, _records(articles, report, done), report, done, again.append)
        last = list(again)
        again.clear()
        _send(producer, settings, last, report, done, again.append)
    finally:
        producer.close(timeout=5)
    for origin, _ in again:
        report.failed.append(
            Unusable(origin, f"Kafka did not confirm it in {settings.delivery_timeout_seconds:g} s")
        )
        done(report)
    return report


def _records(
    articles: Iterable[Found | Unusable], report: Report, done: Callable[[Report], None]
) -> Iterable[tuple[str, RawRecord]]:
    for article in articles:
        if isinstance(article, Unusable):
            report.failed.append(article)
            done(report)
            continue
        try:
            yield article.origin, to_record(article.article)
        except Refused as refused:
            report.failed.append(Unusable(article.origin, refused.error))
            done(report)


def _send(
    producer: KafkaProducer,
    settings: ProducerSettings,
    records: Iterable[tuple[str, RawRecord]],
    report: Report,
    done: Callable[[Report], None],
    again: Callable[[tuple[str, RawRecord]], None],
) -> None:
    waiting: deque[tuple[str, RawRecord, Any]] = deque()
    failed: set[bytes] = set()

    def conclude() -> None:
        origin, record, future = waiting.popleft()
        try:
            if future is None:
                failed.add(record.key)
            else:
                future.get(timeout=settings.delivery_timeout_seconds + 5)
        except KafkaError:
            failed.add(record.key)
        if record.key in failed:
            # With all that came after it under its key: a correction must stay behind what it corrects.
            again((origin, record))
        else:
            report.confirmed += 1
            done(report)

    for origin, record in records:
        try:
            future = producer.send(settings.name(ARTICLES_RAW.name), key=record.key, value=record.value)
        except KafkaError:
            future = None  # its turn comes in order, like that of the others
        waiting.append((origin, record, future))
        if len(waiting) >= settings.in_flight_records:
            conclude()
    producer.flush()
    while waiting:
        conclude()
