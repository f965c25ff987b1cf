from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from structlog.testing import capture_logs

from services.runtime.health import Health
from services.runtime.settings import ServiceSettings
from services.runtime.watchdog import DEAD_LETTERS_WAITING, GRACE, LAG, DeadLetterQueue, Watchdog

TOPIC = "articles-raw"
QUEUE = "articles-dlq"
LIMIT = 100.0
LATER = LIMIT * (1 + GRACE)


class Left(BaseException):
    """Stands for the end of the process, which nothing can catch."""


class Broker:
    """What a Kafka client would be told: ends, begins and commits by partition."""

    def __init__(self) -> None:
        self.ends = {0: 0, 1: 0}
        self.begins = {0: 0, 1: 0}
        self.committed_: dict[int, int] = {}
        self.fails: Exception | None = None
        self.queue: tuple[int, int] | None = (0, 0)
        """Begin and end of the dead letter queue; none where it is missing."""
        self.asked = 0

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        if self.fails:
            raise self.fails
        if topic == QUEUE:
            return {0} if self.queue else None
        assert topic == TOPIC
        return set(self.ends) or None

    def end_offsets(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {each: self._ends(each)[1] for each in partitions}

    def beginning_offsets(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {each: self._ends(each)[0] for each in partitions}

    def _ends(self, place: TopicPartition) -> tuple[int, int]:
        if place.topic == QUEUE:
            self.asked += 1
            assert self.queue
            return self.queue
        return self.begins[place.partition], self.ends[place.partition]

    def committed(self, partition: TopicPartition, timeout_ms: int) -> int | None:
        return self.committed_.get(partition.partition)

    def close(self, autocommit: bool, timeout_ms: int) -> None:
        """Nothing to close."""


class Scene:
    """A watchdog, the broker that it asks, and the clock."""

    def __init__(self) -> None:
        self.now = 5_000.0
        self.broker = Broker()
        self.assigned = {0, 1}
        self.health = Health("cleaner")
        self.health.green("start")
        self.left: list[str] = []

    def start(self) -> None:
        self.queue = DeadLetterQueue()
        self.settings = ServiceSettings(
            kafka_bootstrap_servers="127.0.0.1:1",
            stall_limit_seconds=LIMIT,
            dlq_alarm_records=10,
            dlq_limit_records=20,
        )
        self.watchdog = Watchdog(
            self.health, self.settings, "cleaner", TOPIC, lambda: self.assigned, self.leave, self.queue
        )

    def look_at_queue(self, begin: int, end: int, after: float = 10.0) -> None:
        self.now += after
        self.broker.queue = (begin, end)
        self.queue.look(self.broker, self.settings)

    def leave(self, why: str) -> NoReturn:
        self.left.append(why)
        raise Left

    def look(self, after: float) -> str | None:
        """The health's reason after one look, `after` seconds later."""
        self.now += after
        self.watchdog._look(self.broker)
        return self.health.reason

    def looks(self, seconds: float, every: float = 2.0) -> str | None:
        """The same after looks as often as in a service."""
        reason = self.health.reason
        for _ in range(round(seconds / every)):
            reason = self.look(every)
        return reason


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene()
    clock = SimpleNamespace(monotonic=lambda: scene.now, sleep=lambda _: None)
    monkeypatch.setattr("services.runtime.watchdog.time", clock)
    scene.start()
    yield scene
    LAG.clear()


def lag() -> float:
    ((sample),) = [each for each in next(iter(LAG.collect())).samples if each.labels["topic"] == TOPIC]
    return float(sample.value)


def test_an_idle_group_is_well_for_ever(scene: Scene) -> None:
    scene.broker.ends = scene.broker.begins = {0: 7, 1: 0}
    assert scene.looks(10 * LIMIT) is None
    assert lag() == 0


def test_a_group_that_moves_is_well_however_long_it_takes(scene: Scene) -> None:
    scene.broker.ends = {0: 1_000, 1: 1_000}
    for committed in range(1, 20):
        scene.broker.committed_ = {1: committed}
        assert scene.look(LIMIT * 0.9) is None
        assert lag() == 2_000 - committed


def test_a_group_that_stands_still_turns_red_and_leaves_later(scene: Scene) -> None:
    scene.broker.ends = {0: 10, 1: 0}
    scene.broker.committed_ = {0: 4}
    assert scene.looks(LIMIT) is None
    reason = scene.look(4)
    assert reason is not None
    assert "6 records wait in articles-raw" in reason
    assert scene.left == []
    scene.looks(LATER - LIMIT - 6)
    assert scene.left == [], "an operator has time to see why"
    with pytest.raises(Left):
        scene.looks(10)
    assert "6 records wait" in scene.left[0]


def test_one_commit_makes_it_well_again(scene: Scene) -> None:
    scene.broker.ends = {0: 10, 1: 0}
    assert scene.looks(LIMIT + 6) is not None
    scene.broker.committed_ = {0: 1}
    assert scene.look(2) is None
    assert scene.looks(LIMIT) is None, "the clock begins anew"


def test_records_that_come_after_a_long_silence_are_no_stall(scene: Scene) -> None:
    scene.looks(10 * LIMIT)
    scene.broker.ends = {0: 50, 1: 0}
    assert scene.looks(LIMIT * 0.9) is None


def test_a_partition_without_a_commit_counts_from_its_beginning(scene: Scene) -> None:
    """Retention has deleted what was never read: that is no lag."""
    scene.broker.ends = {0: 900, 1: 500}
    scene.broker.begins = {0: 900, 1: 490}
    scene.broker.committed_ = {0: 20}
    scene.look(2)
    assert lag() == 10


def test_a_commit_beyond_the_end_is_no_lag_of_another_partition(scene: Scene) -> None:
    """A topic made anew ends before the old commits: they must not make up for what waits elsewhere."""
    scene.broker.ends = {0: 5, 1: 5}
    scene.broker.committed_ = {0: 90, 1: 0}
    scene.look(2)
    assert lag() == 5


# ---------------------------------------------------------------- slow work


def test_a_slow_first_batch_is_no_stall_while_its_records_come_to_an_end(scene: Scene) -> None:
    scene.broker.ends = {0: 64, 1: 0}
    scene.look(2)
    scene.watchdog.batch_begins()
    for _ in range(20):
        assert scene.looks(LIMIT * 0.8) is None
        scene.watchdog.record_done()
    assert scene.looks(LIMIT + 4) is not None, "until none does any more"


def test_records_of_later_batches_do_not_hide_that_nothing_is_committed(scene: Scene) -> None:
    scene.broker.ends = {0: 1_000, 1: 0}
    scene.look(2)

    def work_on() -> None:
        for _ in range(20):
            scene.watchdog.batch_begins()
            scene.watchdog.record_done()
            scene.looks(LIMIT * 0.2)

    with pytest.raises(Left):
        work_on()
    assert scene.health.reason is not None


def test_after_a_commit_the_next_batch_is_the_first_one_again(scene: Scene) -> None:
    scene.broker.ends = {0: 1_000, 1: 0}
    for committed in range(1, 6):
        for _ in range(2):
            scene.watchdog.batch_begins()
            scene.watchdog.record_done()
            assert scene.looks(LIMIT * 0.4) is None
        scene.broker.committed_ = {0: committed}
        assert scene.look(2) is None
    scene.watchdog.batch_begins()
    for _ in range(5):
        assert scene.looks(LIMIT * 0.8) is None
        scene.watchdog.record_done()


# ---------------------------------------------------------------- whose partitions


def test_only_the_partitions_of_this_process_are_its_concern(scene: Scene) -> None:
    scene.assigned = {1}
    scene.broker.ends = {0: 500, 1: 8}
    scene.broker.committed_ = {1: 8}
    assert scene.looks(3 * LIMIT) is None
    assert lag() == 0


def test_without_a_partition_the_whole_group_is_its_concern(scene: Scene) -> None:
    scene.assigned = set()
    scene.broker.ends = {0: 500, 1: 8}
    scene.broker.committed_ = {1: 8}
    reason = scene.looks(LIMIT + 6)
    assert reason is not None
    assert "500 records wait" in reason


def test_a_reserve_is_well_while_others_work(scene: Scene) -> None:
    scene.assigned = set()
    scene.broker.ends = {0: 500, 1: 0}
    for committed in range(1, 6):
        scene.broker.committed_ = {0: committed}
        assert scene.looks(LIMIT * 0.9) is None


# ---------------------------------------------------------------- the topic, the broker


def test_a_missing_topic_is_a_stall_of_its_own(scene: Scene) -> None:
    scene.look(2)
    scene.broker.ends = {}
    assert scene.looks(LIMIT) is None
    reason = scene.look(4)
    assert reason is not None
    assert "articles-raw does not exist" in reason
    assert "newsflow setup" in reason
    with pytest.raises(Left):
        scene.looks(LATER)


def test_a_topic_that_is_back_is_well(scene: Scene) -> None:
    ends, scene.broker.ends = scene.broker.ends, {}
    assert scene.looks(LIMIT + 6) is not None
    scene.broker.ends = ends
    assert scene.look(2) is None


class Enough(BaseException):
    """Ends the watchdog's endless loop."""


def run(scene: Scene, monkeypatch: pytest.MonkeyPatch, looks: dict[int, Exception | None], until: int) -> None:
    """The watchdog's own loop for `until` looks of 2 s; `looks` says from which on the broker fails, and how."""
    count = 0

    def sleep(seconds: float) -> None:
        nonlocal count
        count += 1
        scene.now += seconds
        scene.broker.fails = looks.get(count, scene.broker.fails)
        if count > until:
            raise Enough

    clock = SimpleNamespace(monotonic=lambda: scene.now, sleep=sleep)
    monkeypatch.setattr("services.runtime.watchdog.time", clock)

    def connect(**_: Any) -> Broker:
        return scene.broker

    monkeypatch.setattr("services.runtime.watchdog.KafkaConsumer", connect)
    with pytest.raises(Enough):
        scene.watchdog._run()


def test_a_broker_that_cannot_be_asked_is_red_and_proves_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.broker.ends = {0: 10, 1: 0}
    away: dict[int, Exception | None] = {3: KafkaTimeoutError()}
    run(scene, monkeypatch, away, until=round(3 * LIMIT))
    assert scene.health.reason == "Kafka does not answer: KafkaTimeoutError"
    assert scene.left == []


def test_the_clock_begins_anew_when_the_broker_answers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.broker.ends = {0: 10, 1: 0}
    away_and_back: dict[int, Exception | None] = {3: KafkaError(), 200: None}
    run(scene, monkeypatch, away_and_back, until=200 + round(LIMIT / 2 * 0.9))
    assert scene.health.reason is None


def test_no_error_ends_the_watch(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partitions are read while another thread changes them: `Set changed size during iteration`."""
    broken: dict[int, Exception | None] = {3: RuntimeError("Set changed size during iteration"), 4: None}
    run(scene, monkeypatch, broken, until=10)
    assert scene.health.reason is None


# ---------------------------------------------------------------- the dead letter queue


def waiting() -> float:
    ((sample),) = next(iter(DEAD_LETTERS_WAITING.collect())).samples
    return float(sample.value)


def test_what_lies_in_the_queue_is_a_metric(scene: Scene) -> None:
    scene.look_at_queue(100, 107)
    assert waiting() == 7


def test_each_look_of_the_watchdog_is_one_at_the_queue_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.broker.queue = (0, 3)
    run(scene, monkeypatch, {}, until=2)
    assert waiting() == 3


def test_several_watchdogs_look_at_the_queue_as_often_as_one(scene: Scene) -> None:
    scene.look_at_queue(0, 1)
    asked = scene.broker.asked
    for _ in range(4):
        scene.look_at_queue(0, 2, after=1)
    assert (scene.broker.asked, waiting()) == (asked, 1)
    scene.look_at_queue(0, 2, after=1)
    assert waiting() == 2


def test_a_missing_queue_is_an_empty_one(scene: Scene) -> None:
    scene.broker.queue = None
    scene.queue.look(scene.broker, scene.settings)
    assert waiting() == 0


def warnings(capture: list[Any]) -> list[int]:
    return [each["at_most"] for each in capture if each["log_level"] == "warning"]


def test_too_many_are_said_once_a_minute(scene: Scene) -> None:
    with capture_logs() as logged:
        scene.look_at_queue(0, 10)
        assert warnings(logged) == []
        for end in (11, 12, 13, 14, 15):
            scene.look_at_queue(0, end, after=10)
        assert warnings(logged) == [11]
        scene.look_at_queue(0, 16, after=20)
        assert warnings(logged) == [11, 16]
        scene.look_at_queue(10, 16, after=100)
        assert warnings(logged) == [11, 16]


def test_at_the_limit_there_is_no_room_and_it_is_said_what_to_do(scene: Scene) -> None:
    scene.look_at_queue(100, 119)
    assert scene.queue.take_room() is None
    why = scene.queue.take_room()
    assert why is not None, "the one before was counted, though nobody has looked again"
    for text in (
        "20 records",
        "DLQ_LIMIT_RECORDS",
        "newsflow dlq list",
        "newsflow dlq replay",
        "newsflow dlq purge",
    ):
        assert text in why
    scene.look_at_queue(110, 120)
    assert [scene.queue.take_room() is None for _ in range(11)] == [True] * 10 + [False]


def test_without_a_limit_there_is_always_room(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"dlq_limit_records": 0})
    scene.look_at_queue(0, 10_000_000)
    assert scene.queue.take_room() is None


def test_nobody_writes_before_the_first_look(scene: Scene) -> None:
    """A process that starts again and again would else write some records each time."""
    scene.queue.watched()
    found: list[str | None] = []
    writer = threading.Thread(target=lambda: found.append(scene.queue.take_room()), daemon=True)
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    scene.look_at_queue(0, 20)
    writer.join(10)
    assert len(found) == 1
    assert "20 records" in (found[0] or "")


def test_threads_take_no_more_room_than_there_is(scene: Scene) -> None:
    scene.look_at_queue(0, 0)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: scene.queue.take_room(), range(200)))
    assert taken.count(None) == 20
