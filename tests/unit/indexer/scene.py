"""The indexer's loop between stand-ins for Kafka's clients and an index in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from schemas.article import TaggedArticle
from schemas.dead_letter import read_dead_letter
from schemas.reading import write_record
from services.indexer import app
from services.indexer.app import Indexer
from services.indexer.settings import IndexerSettings
from services.runtime import confirmed, group
from tests.unit.indexer.memory_index import MemoryIndex

TOPIC = "night-articles-tagged"

TOPICS = [TOPIC, *(f"night-articles-{name}" for name in ("stories", "retagged", "retracted", "dlq"))]


def place(partition: int) -> TopicPartition:
    return TopicPartition(TOPIC, partition)


def record(
    offset: int,
    value: TaggedArticle | bytes | None,
    partition: int = 0,
    key: bytes | None = b"key",
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Any:
    content = write_record(value) if isinstance(value, TaggedArticle) else value
    return SimpleNamespace(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        value=content,
        key=key,
        headers=list(headers),
        timestamp=1_767_225_600_000,
    )


class Left(BaseException):
    """Stands for the end of the process, with this exit status."""

    def __init__(self, status: int) -> None:
        self.status = status


class Consumer:
    """Stands for `KafkaConsumer`."""

    def __init__(self) -> None:
        self.places = {place(0), place(1)}
        self.paused_: set[TopicPartition] = set()
        self.commits: list[dict[int, int]] = []
        self.sought: list[tuple[int, int]] = []
        self.polled: list[dict[TopicPartition, list[Any]]] = []
        self.while_polling: Callable[[], None] = lambda: None
        self.paused_while_polling: list[set[TopicPartition]] = []
        self.commit_fails: KafkaError | None = None
        self.listener: Any = None
        self.closed: bool | None = None

    def subscribe(self, topics: list[str], listener: Any) -> None:
        assert topics == TOPICS
        self.listener = listener

    def topics(self) -> set[str]:
        return set(TOPICS)

    def assignment(self) -> set[TopicPartition]:
        return set(self.places)

    def poll(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.paused_while_polling.append(set(self.paused_))
        self.while_polling()
        return self.polled.pop(0) if self.polled else {}

    def pause(self, *places: TopicPartition) -> None:
        self.paused_ |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self.paused_ -= set(places)

    def paused(self) -> set[TopicPartition]:
        return set(self.paused_)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.sought.append((where.partition, offset))

    def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        if self.commit_fails:
            raise self.commit_fails
        self.commits.append({where.partition: at.offset for where, at in offsets.items()})

    @property
    def committed(self) -> dict[int, int]:
        """By partition, after all commits: in how many steps is a matter of time."""
        return {partition: offset for commit in self.commits for partition, offset in commit.items()}

    def close(self, autocommit: bool) -> None:
        self.closed = not autocommit


class Queue:
    """Stands for `KafkaProducer`, and for the dead letter queue behind it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.refuses = 0
        self.on_send: Callable[[], None] = lambda: None

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        assert topic == "night-articles-dlq"
        self.on_send()
        self.refuses -= 1
        if self.refuses >= 0:
            raise KafkaTimeoutError
        self.sent.append(SimpleNamespace(letter=read_dead_letter(headers), key=key, value=value, headers=headers))
        return SimpleNamespace(get=lambda timeout: None)

    def close(self) -> None:
        """Nothing is open."""


class Scene:
    """An indexer and what it stands between."""

    def __init__(self, **settings: Any) -> None:
        self.consumer, self.queue = Consumer(), Queue()
        self.index, self.stories, self.letters = MemoryIndex(), MemoryIndex(), MemoryIndex()
        self.settings = IndexerSettings(
            kafka_bootstrap_servers="127.0.0.1:1",
            elasticsearch_url="http://127.0.0.1:1",
            newsflow_prefix="night-",
            backoff_max_seconds=0.001,
            deliver_limit_seconds=0.01,
            **settings,
        )

    def start(self) -> None:
        self.indexer = Indexer(self.settings, self.index, self.stories, self.letters)
        self.indexer.health.green("start")
        self.indexer.partitions.on_partitions_assigned(self.consumer.places)

    def hold(self, *records: Any) -> None:
        """Put records in hand, as if they had just been read and had had their time to fill a request."""
        for record in records:
            self.indexer.hand.add(record, self.indexer.writing.prepare(record))
        self.indexer.fills_until = 0

    def step(self) -> None:
        """One round of the loop."""
        self.indexer._step()

    def settle(self, *records: Any) -> None:
        """Until nothing is in hand any more."""
        self.hold(*records)
        while len(self.indexer.hand) and not self.indexer.stopping:
            self.step()
        self.indexer._leave_off()

    @property
    def dead(self) -> list[str]:
        return [sent.letter.id.split("/", 1)[1] + " " + sent.letter.reason for sent in self.queue.sent]


Make = Callable[..., Scene]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def leave(status: int) -> None:
        raise Left(status)

    def call(**settings: Any) -> Scene:
        scene = Scene(**settings)
        monkeypatch.setattr(group, "KafkaConsumer", lambda **_: scene.consumer)
        monkeypatch.setattr(confirmed, "KafkaProducer", lambda **_: scene.queue)
        monkeypatch.setattr(app, "os", SimpleNamespace(_exit=leave))
        monkeypatch.setattr(app, "logging", SimpleNamespace(shutdown=lambda: None))
        monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
        scene.start()
        return scene

    return call


@pytest.fixture
def scene(make: Make) -> Scene:
    return make()
