"""The indexer's loop, with what Kafka's clients do played by small stand-ins and an index in memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaConnectionError, KafkaError, KafkaTimeoutError

from schemas.article import TaggedArticle
from schemas.dead_letter import read_dead_letter
from schemas.reading import write_record
from services.indexer import app
from services.indexer.app import EXIT_FORBIDDEN, EXIT_UNDELIVERABLE, FIELDS, Indexer
from services.indexer.index import Forbidden, Outcome, TooLarge, Unavailable, Verdict, Write
from services.indexer.settings import IndexerSettings
from services.indexer.writing import Pending, Writing
from services.runtime import confirmed, group
from services.runtime.watchdog import Watchdog
from tests.unit.indexer.articles import tagged
from tests.unit.indexer.memory_index import MemoryIndex

TOPIC = "night-articles-tagged"

TOPICS = [TOPIC, *(f"night-articles-{name}" for name in ("stories", "retagged", "retracted", "dlq"))]


FULL = "word " * 180
"""Fills a request of 1,024 bytes, the smallest that can be set; beside a short one there is room in the hand."""


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
        return {partition: offset for each in self.commits for partition, offset in each.items()}

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
        for each in records:
            self.indexer.hand.add(each, self.indexer.writing.prepare(each))
        self.indexer.fills_until = 0

    def settle(self, *records: Any) -> None:
        """Until nothing is in hand any more."""
        self.hold(*records)
        while len(self.indexer.hand) and not self.indexer.stopping:
            self.indexer._step()
        self.indexer._leave_off()

    @property
    def dead(self) -> list[str]:
        return [each.letter.id.split("/", 1)[1] + " " + each.letter.reason for each in self.queue.sent]


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


# ---------------------------------------------------------------- every record to its end, then the commit


def test_a_batch_is_written_in_one_request_and_committed_by_partition(scene: Scene) -> None:
    scene.settle(record(4, tagged("a")), record(5, tagged("b", revision=9)), record(90, tagged("c"), partition=1))
    assert scene.index.requests == [["a", "b", "c"]]
    assert scene.index.documents["b"][0] == 9
    assert scene.index.documents["b"][1]["body"] == "A text."
    assert scene.consumer.committed == {0: 6, 1: 91}
    assert scene.indexer.health.reason is None


def test_fields_without_a_value_are_left_out(scene: Scene) -> None:
    scene.settle(record(0, tagged("a")))
    source = scene.index.documents["a"][1]
    assert "@timestamp" in source
    assert "headline" not in source


def test_what_is_pending_is_written_again_until_it_is_there(scene: Scene) -> None:
    tries: Counter[str] = Counter()

    def busy(names: list[str]) -> dict[str, Outcome]:
        committed = max((each[0] for each in scene.consumer.commits), default=0)
        assert committed <= "abcd".index(names[0]), "nothing is committed before all up to it is written"
        tries.update(names)
        return {
            name: Outcome(Verdict.AGAIN, "429") for name in names if tries[name] < {"b": 3, "d": 6}.get(name, 0)
        }

    scene.index.fault = busy
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate("abcd")])
    assert scene.index.documents.keys() == set("abcd")
    assert scene.index.requests[:2] == [list("abcd"), ["b", "d"]], "only the busy ones are sent again"
    assert scene.index.requests[-1] == ["d"]
    assert scene.consumer.committed == {0: 4}
    assert scene.dead == []


def test_an_index_that_takes_nothing_is_waited_for_without_limit(scene: Scene) -> None:
    reasons = []

    def away(names: list[str]) -> dict[str, Outcome]:
        reasons.append(scene.indexer.health.reason)
        if len(reasons) < 60:
            raise Unavailable("503 unavailable_shards_exception")
        return {}

    scene.index.fault = away
    scene.settle(record(0, tagged("a")), record(1, tagged("b")))
    assert scene.index.documents.keys() == {"a", "b"}
    assert reasons[0] is None
    assert all("Elasticsearch" in str(each) and "503" in str(each) for each in reasons[1:])
    assert scene.indexer.health.reason is None
    assert scene.consumer.committed == {0: 2}
    assert scene.dead == []


def test_an_older_revision_is_done_with(scene: Scene) -> None:
    scene.settle(record(0, tagged("a", "corrected", revision=5)), record(1, tagged("a", "first", revision=4)))
    assert scene.index.documents["a"][1]["body"] == "corrected"
    assert scene.consumer.committed == {0: 2}
    assert scene.dead == []


def test_what_the_index_refuses_is_a_dead_letter_with_its_original_bytes(scene: Scene) -> None:
    scene.index.fault = lambda names: {"b": Outcome(Verdict.REFUSED, "400 document_parsing_exception")}
    refused = record(7, tagged("b"), key=None, headers=[("trace", b"17"), ("empty", None)])
    scene.settle(record(6, tagged("a")), refused, record(8, tagged("c")))
    assert scene.index.documents.keys() == {"a", "c"}
    (dead,) = scene.queue.sent
    assert (dead.letter.stage, dead.letter.reason) == ("indexer", "refused_by_index")
    assert "document_parsing_exception" in dead.letter.error
    assert dead.value == refused.value
    assert dead.key == f"{TOPIC}/0/7".encode(), "where it had none, the dead letter's id"
    assert dead.headers[:2] == [("trace", b"17"), ("empty", b"")]
    assert scene.consumer.committed == {0: 9}


def test_what_does_not_decode_is_a_dead_letter_and_holds_up_no_other(scene: Scene) -> None:
    bad_url = tagged("d").model_copy(update={"url": "http://["})
    scene.settle(
        record(0, b"{"),
        record(1, tagged("a")),
        record(2, b'{"id": "b"}'),
        record(3, None),
        record(4, bad_url),  # whatever raises, it is one record's failure
        record(5, tagged("c")),
    )
    assert scene.index.documents.keys() == {"a", "c"}
    assert scene.dead == ["0/0 invalid_json", "0/2 invalid_record", "0/3 empty", "0/4 failed"]
    assert scene.consumer.committed == {0: 6}


def test_a_batch_of_dead_letters_is_committed_without_a_request(scene: Scene) -> None:
    scene.settle(record(0, b"{"), record(1, b"["))
    assert scene.index.requests == []
    assert scene.consumer.committed == {0: 2}


def test_the_dead_letter_is_there_before_the_commit(scene: Scene) -> None:
    def on_send() -> None:
        assert scene.consumer.commits == []

    scene.queue.on_send = on_send
    scene.queue.refuses = 2
    scene.settle(record(0, b"{"))
    assert scene.dead == ["0/0 invalid_json"]
    assert scene.consumer.committed == {0: 1}


def test_an_answer_with_a_verdict_too_few_commits_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.index, "write", lambda documents: [Outcome(Verdict.WRITTEN)])
    with pytest.raises(ValueError, match="shorter"):
        scene.settle(record(0, tagged("a")), record(1, tagged("b")))
    assert scene.consumer.commits == []


# ---------------------------------------------------------------- requests and their size


def size(item: Pending) -> int:
    return len(item.write.source or b"")


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=30))
def test_requests_keep_the_order_and_the_bound(sizes: list[int]) -> None:
    writing = Writing.__new__(Writing)
    writing.settings = IndexerSettings(
        kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1", bulk_bytes=2_048
    )
    pending = [Pending(None, tagged("a"), Write(str(number), 1, b"x" * each)) for number, each in enumerate(sizes)]
    requests = list(writing._requests(pending))
    assert [item for request in requests for item in request] == pending
    totals = [sum(map(size, request)) for request in requests]
    assert all(total <= 2_048 or len(request) == 1 for total, request in zip(totals, requests, strict=True))
    # No request could have taken the first document of the next one.
    first = [size(request[0]) for request in requests[1:]]
    assert all(total + more > 2_048 for total, more in zip(totals, first, strict=False))


def test_a_request_that_is_too_large_is_halved(scene: Scene) -> None:
    def limit(names: list[str]) -> dict[str, Outcome]:
        if len(names) > 2 or "giant" in names:
            raise TooLarge("413 content_too_long")
        return {}

    scene.index.fault = limit
    names = ["a", "b", "c", "giant", "d", "e", "f"]
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate(names)])
    assert scene.index.documents.keys() == set(names) - {"giant"}
    assert scene.dead == ["0/3 refused_by_index"]
    assert "413" in scene.queue.sent[0].letter.error
    assert scene.consumer.committed == {0: 7}
    assert max(Counter(name for each in scene.index.requests for name in each).values()) <= 4


def test_what_is_busy_in_one_half_is_tried_again(scene: Scene) -> None:
    tries: Counter[str] = Counter()

    def fault(names: list[str]) -> dict[str, Outcome]:
        if len(names) > 2:
            raise TooLarge("413")
        tries.update(names)
        return {name: Outcome(Verdict.AGAIN) for name in names if tries[name] < 2}

    scene.index.fault = fault
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate("abcd")])
    assert scene.index.documents.keys() == set("abcd")
    assert scene.consumer.committed == {0: 4}


def test_a_verdict_stands_while_another_request_has_none(make: Make) -> None:
    """Else a refused document is a dead letter once more with every try, however long the index is away."""
    scene = make(bulk_bytes=1_024, bulk_in_flight=1)
    slow = 0

    def fault(names: list[str]) -> dict[str, Outcome]:
        nonlocal slow
        if "slow" in names:
            slow += 1
            if slow < 5:
                raise Unavailable("ConnectionTimeout")
        return {name: Outcome(Verdict.REFUSED, "400") for name in names if name == "refused"}

    scene.index.fault = fault
    text = "word " * 200
    scene.settle(record(0, tagged("refused", text)), record(1, tagged("slow", text)))
    assert scene.index.documents.keys() == {"slow"}
    assert scene.consumer.committed == {0: 2}
    assert scene.dead == ["0/0 refused_by_index"]


def test_after_a_request_without_an_answer_the_others_wait(make: Make) -> None:
    """Each would wait out its own half minute, and Kafka for the next poll."""
    scene = make(bulk_bytes=1_024, bulk_in_flight=1)
    scene.indexer.settings = scene.settings.model_copy(update={"backoff_max_seconds": 30.0})

    def away(names: list[str]) -> dict[str, Outcome]:
        if not any(scene.consumer.paused_while_polling):
            raise Unavailable("ConnectionTimeout")
        return {}

    scene.index.fault = away
    # The second one's turn comes while the client waits for records.
    scene.consumer.while_polling = lambda: time.sleep(0.05)
    scene.settle(record(0, tagged("a")), record(1, tagged("b", FULL)))
    assert len(scene.index.requests) == 1 + 2, "one in vain before the pause"
    assert scene.index.documents.keys() == {"a", "b"}
    assert scene.consumer.committed == {0: 2}


def test_after_a_half_without_an_answer_the_other_half_waits(scene: Scene) -> None:
    answered = False

    def fault(names: list[str]) -> dict[str, Outcome]:
        nonlocal answered
        if len(names) > 2:
            raise TooLarge("413")
        if not answered:
            answered = True
            raise Unavailable("ConnectionTimeout")
        return {}

    scene.index.fault = fault
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate("abcd")])
    whole, first, second = list("abcd"), ["a", "b"], ["c", "d"]
    assert scene.index.requests == [whole, first, whole, first, second]
    assert scene.consumer.committed == {0: 4}


# ---------------------------------------------------------------- partitions that go away


def away_until(scene: Scene, polled: Callable[[], None]) -> None:
    """The first request has no answer; then `polled` is called in the next poll, once."""

    def away(names: list[str]) -> dict[str, Outcome]:
        scene.index.fault = lambda _: {}
        raise Unavailable("503")

    def poll() -> None:
        if scene.index.requests and not scene.indexer.work:
            scene.consumer.while_polling = lambda: None
            polled()

    # The pause that follows lasts until the next poll.
    scene.indexer.settings = scene.settings.model_copy(update={"backoff_max_seconds": 30.0})
    scene.index.fault = away
    scene.consumer.while_polling = poll


def test_what_was_revoked_is_not_committed(scene: Scene) -> None:
    def revoke() -> None:
        scene.consumer.places = {place(0)}
        scene.indexer.partitions.on_partitions_revoked([place(1)])

    away_until(scene, revoke)
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1))
    assert scene.index.requests == [["a", "b"], ["a"]], "the other half belongs to another process now"
    assert scene.consumer.committed == {0: 1}
    assert scene.consumer.sought == []
    assert scene.indexer.partitions.assigned == {place(0)}


def test_what_was_revoked_and_came_back_is_read_again(scene: Scene) -> None:
    def rebalance() -> None:
        scene.indexer.partitions.on_partitions_revoked([place(1)])
        scene.indexer.partitions.on_partitions_assigned([place(1)])

    away_until(scene, rebalance)
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1), record(51, tagged("c"), partition=1))
    assert scene.consumer.committed == {0: 1}
    assert scene.consumer.sought == [(1, 50)], "from the first one in hand"
    assert scene.indexer.partitions.assigned == {place(0), place(1)}


def test_when_all_was_revoked_there_is_nothing_to_write_or_commit(scene: Scene) -> None:
    def revoke() -> None:
        scene.consumer.places = set()
        scene.indexer.partitions.on_partitions_revoked([place(0), place(1)])

    away_until(scene, revoke)
    scene.settle(record(0, tagged("a")))
    assert len(scene.index.requests) == 1
    assert scene.consumer.commits == []
    scene.indexer._step()
    assert scene.indexer.health.reason is None


@pytest.mark.parametrize("error", [CommitFailedError(), KafkaConnectionError()])
def test_a_commit_that_fails_ends_nothing(scene: Scene, error: KafkaError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.group.COMMIT_LIMIT_SECONDS", 0)
    scene.consumer.commit_fails = error
    scene.settle(record(0, tagged("a")))
    scene.consumer.commit_fails = None
    scene.settle(record(1, tagged("b")))
    assert scene.consumer.committed == {0: 2}


def test_a_commit_is_tried_again_while_the_broker_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record may come after these, and then no later commit covers them."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            scene.consumer.commit_fails = None

    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=sleep))
    scene.consumer.commit_fails = KafkaConnectionError()
    scene.settle(record(0, tagged("a")))
    assert scene.consumer.committed == {0: 1}
    assert len(waited) == 3


# ---------------------------------------------------------------- waiting


def test_while_it_waits_all_is_paused_and_the_membership_kept(scene: Scene) -> None:
    late = record(70, tagged("late"), partition=1)
    scene.consumer.polled = [{}, {place(1): [late, record(71, tagged("later"), partition=1)]}]
    scene.indexer.pause_ends = float("inf")
    while not scene.consumer.sought:
        scene.indexer._step()
    assert scene.consumer.paused_while_polling
    assert all(paused == scene.consumer.places for paused in scene.consumer.paused_while_polling)
    # A partition that has just come may bring records all the same: they are read again.
    assert scene.consumer.sought == [(1, 70)]
    assert len(scene.indexer.hand) == 0
    scene.indexer.pause_ends = 0
    scene.indexer._step()
    assert scene.consumer.paused_ == set(), "and on it goes"


def test_while_something_is_tried_again_no_more_is_taken(scene: Scene) -> None:
    """Each try would add to what is in hand, for as long as Elasticsearch is away."""
    tries = 0

    def away(names: list[str]) -> dict[str, Outcome]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise Unavailable("503")
        time.sleep(0.2)  # the last try takes a while
        return {}

    def poll() -> None:
        assert not scene.indexer.hand.again or scene.consumer.paused_ == scene.consumer.places

    scene.index.fault = away
    scene.consumer.while_polling = poll
    scene.settle(record(0, tagged("a")))
    assert scene.index.requests == [["a"]] * 4
    assert scene.consumer.committed == {0: 1}


def test_told_to_stop_while_it_waits_it_commits_what_is_done(scene: Scene) -> None:
    def stop(names: list[str]) -> dict[str, Outcome]:
        scene.indexer.stopping = True
        return {"b": Outcome(Verdict.AGAIN, "429")}

    scene.index.fault = stop
    scene.settle(record(0, tagged("a")), record(1, tagged("b")), record(2, tagged("c")))
    assert scene.index.documents.keys() == {"a", "c"}
    assert scene.consumer.committed == {0: 1}


def test_waiting_for_the_index_is_no_stall(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0

    def record_done() -> None:
        nonlocal done
        done += 1

    for watchdog in scene.indexer.watchdogs:
        monkeypatch.setattr(watchdog, "record_done", record_done)
    scene.indexer.pause_ends = float("inf")
    scene.indexer._step()
    assert done == len(TOPICS)


# ---------------------------------------------------------------- leaving


def test_an_index_that_does_not_know_us_ends_it_with_nothing_committed(scene: Scene) -> None:
    def forbid(names: list[str]) -> dict[str, Outcome]:
        raise Forbidden("403 security_exception")

    scene.index.fault = forbid
    with pytest.raises(Left) as left:
        scene.settle(record(0, tagged("a")))
    assert left.value.status == EXIT_FORBIDDEN == 77
    assert scene.consumer.commits == []
    assert scene.dead == []


def test_a_queue_that_takes_no_dead_letter_ends_it_with_nothing_committed(scene: Scene) -> None:
    scene.queue.refuses = 10**9
    with pytest.raises(Left) as left:
        scene.settle(record(0, tagged("a")), record(1, b"{"))
    assert left.value.status == EXIT_UNDELIVERABLE == 70
    assert scene.consumer.commits == []


# ---------------------------------------------------------------- the loop around it


def test_it_works_until_told_to_stop(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make(bulk_wait_seconds=0)
    started: list[Watchdog] = []

    def start(watchdog: Watchdog) -> None:
        started.append(watchdog)

    monkeypatch.setattr(Watchdog, "start", start)
    # Revoked before this batch was polled: that is over, and its records are ours.
    scene.indexer.partitions.gone = {place(0)}
    scene.consumer.polled = [{}, {place(0): [record(3, tagged("a"))], place(1): [record(8, tagged("b"), 1)]}]

    def stop_when_empty() -> None:
        if scene.consumer.commits:
            scene.indexer.stopping = True

    scene.consumer.while_polling = stop_when_empty
    scene.indexer.run()
    assert scene.consumer.committed == {0: 4, 1: 9}
    assert scene.consumer.listener is scene.indexer.partitions
    assert scene.consumer.closed is True, "without a commit of what was only polled"
    assert len(started) == len(TOPICS), "one for each topic"
    assert scene.indexer.health.reason is None


def test_a_bulk_fills_up_while_more_comes(make: Make) -> None:
    scene = make(bulk_records=4, bulk_wait_seconds=30)
    scene.consumer.polled = [
        {place(0): [record(0, tagged("a")), record(1, tagged("b"))]},
        {},
        {place(1): [record(7, tagged("c"), 1), record(8, tagged("d"), 1)]},
        {place(1): [record(9, tagged("e"), 1)]},
    ]
    while len(scene.consumer.commits) < 1:
        assert scene.index.requests == []
        scene.indexer._step()
        wait(scene.indexer.work)
    assert scene.index.requests == [list("abcd")], "full, without waiting any longer"


def test_a_bulk_does_not_wait_for_ever(make: Make) -> None:
    scene = make(bulk_wait_seconds=0.01)
    scene.consumer.polled = [{place(0): [record(0, tagged("a"))]}]
    scene.indexer._step()
    scene.settle()
    assert scene.index.requests == [["a"]]


def test_what_is_revoked_while_a_bulk_fills_up_is_not_committed(make: Make) -> None:
    scene = make(bulk_wait_seconds=0.05)
    scene.consumer.polled = [{place(1): [record(7, tagged("a"), 1)]}, {place(0): [record(0, tagged("b"))]}]

    def revoke() -> None:
        if len(scene.consumer.polled) == 1:
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])

    scene.consumer.while_polling = revoke
    while not scene.consumer.commits:
        scene.indexer._step()
    assert scene.consumer.committed == {0: 1}
    assert scene.index.documents.keys() == {"b"}, "the other is another process's now"


def test_the_indexer_and_a_stage_can_be_imported_together() -> None:
    """Tests, a tool that reads the metrics' names, and whoever runs all in one process do."""
    code = "import services.runtime.stage, services.indexer.app"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_broker_that_goes_away_while_polling_ends_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watchdog, "start", lambda _: None)
    scene = make(bulk_wait_seconds=0)
    scene.consumer.polled = [{place(0): [record(0, tagged("a"))]}]
    polls = 0

    def break_twice() -> None:
        nonlocal polls
        polls += 1
        if polls <= 2:
            raise KafkaConnectionError("socket disconnected")
        if scene.consumer.commits:
            scene.indexer.stopping = True

    scene.consumer.while_polling = break_twice
    scene.indexer.run()
    assert scene.index.documents.keys() == {"a"}


def test_of_two_records_of_an_article_in_one_batch_the_later_one_counts(scene: Scene) -> None:
    """Tried again one by one, the earlier one could come last."""
    scene.settle(
        record(0, tagged("a", revision=5)),
        record(1, tagged("a", "again", revision=5)),
        record(2, tagged("a", revision=4)),
    )
    assert scene.index.requests == [["a"]]
    assert scene.index.documents["a"][1]["body"] == "again"
    assert scene.consumer.committed == {0: 3}


# ---------------------------------------------------------------- more than one request at once


def test_full_requests_are_written_at_once_and_an_article_by_one_thread(make: Make) -> None:
    scene = make(bulk_records=2, bulk_in_flight=2)
    together = threading.Barrier(2, timeout=10)

    def both(names: list[str]) -> dict[str, Outcome]:
        together.wait()  # broken where one waits for the other
        return {}

    scene.index.fault = both
    scene.settle(
        record(0, tagged("a")),
        record(1, tagged("b")),
        record(2, tagged("c")),
        record(3, tagged("a", "new", revision=2)),
    )
    assert sorted(scene.index.requests) == [["a"], ["b", "c"]]
    assert scene.index.documents["a"][1]["body"] == "new"
    assert scene.consumer.committed == {0: 4}


def test_what_fills_no_request_is_not_torn_apart(make: Make) -> None:
    """Each request costs the index a write to disk."""
    scene = make(bulk_records=10, bulk_in_flight=4)
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate("abcdef")])
    assert scene.index.requests == [list("abcdef")]


def test_the_next_records_are_read_and_written_while_others_are_written(scene: Scene) -> None:
    scene.consumer.polled = [{}, {place(0): [record(1, tagged("b"))], place(1): [record(7, tagged("c"), 1)]}]
    written = threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        if "a" in names:
            assert written.wait(10)
            assert 0 not in scene.consumer.committed, "what is behind it is not committed"
        else:
            written.set()
        return {}

    scene.index.fault = slow
    scene.settle(record(0, tagged("a")))
    assert scene.index.requests == [["a"], ["b", "c"]]
    assert scene.consumer.committed == {0: 2, 1: 8}


def test_an_article_is_in_one_request_at_a_time(make: Make) -> None:
    """Read, changed and written by two threads at once, one change is lost."""
    scene = make(bulk_records=1)
    scene.consumer.polled = [{place(0): [record(1, tagged("a", "new", revision=2)), record(2, tagged("b"))]}]
    b_written = threading.Event()
    order: list[str] = []

    def slow(names: list[str]) -> dict[str, Outcome]:
        if order.count("a") == 0 and "a" in names:
            assert b_written.wait(10)
        order.extend(names)
        if "b" in names:
            b_written.set()
        return {}

    scene.index.fault = slow
    scene.settle(record(0, tagged("a")))
    assert order == ["b", "a", "a"]
    assert scene.index.documents["a"][1]["body"] == "new"
    assert [each["body"] for each in scene.index.documents["a"][1]["history"]] == ["A text."]


def test_a_rebalance_waits_for_what_is_being_written(scene: Scene) -> None:
    """The next owner writes the same documents: read, changed and written by two at once, one change is lost."""
    writes, revoked = threading.Event(), threading.Event()
    order = []

    def slow(names: list[str]) -> dict[str, Outcome]:
        writes.set()
        revoked.wait(0.2)
        order.append("written")
        return {}

    def rebalance() -> None:
        if order == [] and writes.wait(10):
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])
            order.append("revoked")
            revoked.set()

    scene.index.fault = slow
    scene.consumer.while_polling = rebalance
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1))
    assert order == ["written", "revoked"]
    assert scene.consumer.committed == {0: 1}


def test_a_rebalance_does_not_wait_for_what_has_not_begun(make: Make) -> None:
    scene = make(bulk_bytes=1_024, bulk_in_flight=1)
    began, revoked = threading.Event(), threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        began.set()
        revoked.wait(0.2)
        return {}

    def rebalance() -> None:
        if began.wait(10) and not revoked.is_set():
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])
            revoked.set()

    scene.index.fault = slow
    scene.consumer.while_polling = rebalance
    scene.settle(record(0, tagged("a")), record(50, tagged("b", FULL), partition=1))
    assert scene.index.requests == [["a"]], "the other is another process's now"
    assert scene.consumer.committed == {0: 1}


@pytest.mark.parametrize("revoked_and_back", [True, False])
def test_what_was_in_hand_and_then_revoked_is_read_again(scene: Scene, *, revoked_and_back: bool) -> None:
    """Also what the client gives out in the very poll in which the partition goes and comes."""

    def rebalance() -> None:
        scene.consumer.while_polling = lambda: None
        scene.indexer.partitions.on_partitions_revoked([place(1)])
        if revoked_and_back:
            scene.indexer.partitions.on_partitions_assigned([place(1)])
        else:
            scene.consumer.places = {place(0)}

    scene.consumer.while_polling = rebalance
    scene.consumer.polled = [{place(1): [record(70, tagged("b"), partition=1)]}]
    scene.hold(record(60, tagged("c"), partition=1))
    scene.indexer.fills_until = float("inf")
    scene.indexer._step()
    assert len(scene.indexer.hand) == 0
    assert scene.consumer.sought == ([(1, 60)] if revoked_and_back else [])
    assert scene.consumer.commits == []


def test_no_more_bytes_are_in_hand_than_said(make: Make) -> None:
    scene = make(bulk_bytes=1_024, bulk_in_flight=1, bulk_wait_seconds=30)
    large = "word " * 200
    full = threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        assert full.wait(10)
        return {}

    scene.index.fault = slow
    scene.consumer.polled = [{place(0): [record(number, tagged(str(number), large))]} for number in range(9)]
    for _ in range(4):
        scene.indexer._step()
    assert len(scene.consumer.polled) == 7
    full.set()
    while scene.consumer.polled or len(scene.indexer.hand):
        scene.indexer._step()
        scene.indexer.fills_until = 0
    assert scene.consumer.committed == {0: 9}


# ---------------------------------------------------------------- before the first record


def test_it_joins_no_group_before_the_index_can_take_a_document(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each document would be refused, and the whole stream become dead letters."""
    monkeypatch.setattr(Watchdog, "start", lambda _: None)
    scene = make()
    scene.index.missing = [["history", "retracted"], ["history"]]
    reasons = []

    def sleep(seconds: float) -> None:
        assert scene.consumer.listener is None
        reasons.append(scene.indexer.health.reason)

    monkeypatch.setattr("services.indexer.app.time.sleep", sleep)

    def stop() -> None:
        scene.indexer.stopping = True

    scene.consumer.while_polling = stop
    scene.indexer.run()
    assert [str(each).split(": ")[-1] for each in reasons] == ["run newsflow setup"] * 2
    assert scene.indexer.health.reason is None
    assert scene.consumer.listener is not None


def test_the_index_must_know_every_field_that_is_written() -> None:
    assert {"@timestamp", "history", "retracted", "pipeline"} <= set(FIELDS)
    assert "timestamp" not in FIELDS
