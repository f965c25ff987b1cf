"""The indexer's loop: verdicts, dead letters, commits and pauses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import wait
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CommitFailedError, KafkaConnectionError, KafkaError

from services.indexer.app import FIELDS
from services.indexer.index import Outcome, TooLarge, Unavailable, Verdict, Write
from services.indexer.settings import IndexerSettings
from services.indexer.writing import Pending, Writing
from services.runtime.watchdog import Watchdog
from tests.unit.indexer.articles import tagged
from tests.unit.indexer.scene import TOPIC, TOPICS, Make, Scene, make, place, record, scene

__all__ = ["make", "scene"]  # fixtures

FULL = "word " * 180
"""Fills a request of 1,024 bytes, the smallest that can be set; beside a short one there is room in the hand."""


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


def test_whatever_a_record_raises_is_its_own_failure(scene: Scene) -> None:
    bad_url = tagged("b").model_copy(update={"url": "http://["})
    scene.settle(record(0, tagged("a")), record(1, bad_url), record(2, tagged("c")))
    assert scene.index.documents.keys() == {"a", "c"}
    assert scene.dead == ["0/1 failed"]
    assert scene.consumer.committed == {0: 3}


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


# ---------------------------------------------------------------- commits that fail


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
        scene.step()
    assert scene.consumer.paused_while_polling
    assert all(paused == scene.consumer.places for paused in scene.consumer.paused_while_polling)
    # A partition that has just come may bring records all the same: they are read again.
    assert scene.consumer.sought == [(1, 70)]
    assert len(scene.indexer.hand) == 0
    scene.indexer.pause_ends = 0
    scene.step()
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
    scene.step()
    assert done == len(TOPICS)


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
        scene.step()
        wait(scene.indexer.work)
    assert scene.index.requests == [list("abcd")], "full, without waiting any longer"


def test_a_bulk_does_not_wait_for_ever(make: Make) -> None:
    scene = make(bulk_wait_seconds=0.01)
    scene.consumer.polled = [{place(0): [record(0, tagged("a"))]}]
    scene.step()
    scene.settle()
    assert scene.index.requests == [["a"]]


def test_the_indexer_and_a_stage_can_be_imported_together() -> None:
    """Tests, a tool that reads the metrics' names, and whoever runs all in one process do."""
    code = "import services.runtime.stage, services.indexer.app"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


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


# ---------------------------------------------------------------- before the first record


def test_the_index_must_know_every_field_that_is_written() -> None:
    assert {"@timestamp", "history", "retracted", "pipeline"} <= set(FIELDS)
    assert "timestamp" not in FIELDS
