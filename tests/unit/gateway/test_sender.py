from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from services.gateway import sender as module
from services.gateway.core import Record
from services.gateway.sender import Batch
from services.runtime import confirmed
from tests.unit.gateway.driving import Broker, Rig, rig, running

RECORDS = [Record("1", b"one"), Record("2", b"two"), Record("3", b"three")]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    with rig(monkeypatch, confirm_seconds=1) as found:
        found.health.green("start")
        yield found


class Outcome:
    def __init__(self) -> None:
        self.told: list[bool] = []
        self.ended = threading.Event()

    def __call__(self, confirmed: bool) -> None:
        self.told.append(confirmed)
        self.ended.set()

    @property
    def confirmed(self) -> bool:
        assert self.ended.wait(30)
        return self.told[0]


def send(made: Rig, records: list[Record] = RECORDS, seconds: float = 60) -> Outcome:
    outcome = Outcome()
    made.sender.send(Batch(records, time.monotonic() + seconds, outcome))
    return outcome


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_records_are_sent_in_order_and_confirmed_once(made: Rig) -> None:
    outcome = send(made)
    assert outcome.confirmed
    assert made.broker.stored == [("night-articles-raw", each.id.encode(), each.value) for each in RECORDS]
    assert outcome.told == [True]
    assert made.health.reason is None
    assert made.broker.options["acks"] == "all"
    assert made.broker.options["allow_auto_create_topics"] is False


def test_nothing_is_confirmed_before_kafka_has_all(made: Rig) -> None:
    made.broker.holds = True
    outcome = send(made)
    wait_until(lambda: len(made.broker.held) == 3)
    last = made.broker.held.pop()
    made.broker.confirm()
    assert not outcome.told
    last.success(None)
    assert outcome.told == [True]


def test_one_record_that_fails_fails_the_request(made: Rig) -> None:
    made.broker.holds = True
    outcome = send(made)
    wait_until(lambda: len(made.broker.held) == 3)
    made.broker.held.pop(1).failure(KafkaTimeoutError())
    assert not outcome.told, "the others may still be on their way: their room is not free"
    made.broker.confirm()
    assert outcome.told == [False]


def test_a_send_that_raises_fails_the_request_and_not_the_next(made: Rig) -> None:
    made.broker.raises = KafkaTimeoutError("no metadata")
    assert not send(made).confirmed
    made.broker.raises = None
    assert send(made).confirmed


def test_what_nobody_waits_for_any_more_is_not_sent(made: Rig) -> None:
    assert not send(made, seconds=-1).confirmed
    assert made.broker.stored == []


def test_after_a_failure_kafka_is_reached_anew_even_when_nobody_sends(made: Rig) -> None:
    made.broker.fails = KafkaTimeoutError("expired")
    made.broker.refuses = KafkaError("away")
    assert not send(made).confirmed
    wait_until(lambda: "away" in str(made.health.reason))
    made.broker.fails = made.broker.refuses = None
    wait_until(lambda: made.health.reason is None)
    assert send(made).confirmed


def test_a_client_that_goes_on_confirming_is_kept(made: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60)
    made.broker.fails = KafkaTimeoutError("expired")
    assert not send(made).confirmed
    assert "expired" in str(made.health.reason)
    made.broker.fails = None
    assert send(made).confirmed
    assert made.health.reason is None
    assert (made.broker.connections, made.broker.abandoned) == (1, 0)


def test_a_client_that_stands_still_is_replaced(made: Rig) -> None:
    """One record fails, others confirm, and then nothing more comes, neither way."""
    made.broker.holds = True
    outcome = send(made)
    wait_until(lambda: len(made.broker.held) == 3)
    made.broker.held.pop().failure(KafkaTimeoutError())
    made.broker.held.pop().success(None)
    assert not outcome.confirmed
    assert made.broker.abandoned == 1
    made.broker.holds = False
    wait_until(lambda: made.broker.connections == 2)
    assert send(made).confirmed
    assert made.health.reason is None


def test_a_client_that_will_take_nothing_more_is_replaced(made: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60)
    made.broker.fails = TopicAuthorizationFailedError()
    assert not send(made).confirmed
    wait_until(lambda: made.broker.connections == 2)
    assert made.broker.abandoned == 1


def test_a_broker_that_is_away_at_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    broker.refuses = KafkaError("away")
    monkeypatch.setattr(confirmed, "KafkaProducer", broker.connect)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with running(broker) as made:
        made.health.green("start")
        assert not send(made).confirmed
        assert "away" in str(made.health.reason)
        broker.refuses = None
        wait_until(lambda: made.health.reason is None)
        assert send(made).confirmed


def test_all_who_wait_are_told_when_the_broker_turns_out_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    broker.refuses = KafkaError("away")
    broker.answers.clear()
    monkeypatch.setattr(confirmed, "KafkaProducer", broker.connect)
    monkeypatch.setattr(module, "LOOK_SECONDS", 60)
    with running(broker) as made:
        wait_until(lambda: broker.tries == 1)
        outcomes = [send(made) for _ in range(3)]
        broker.answers.set()
        assert [outcome.confirmed for outcome in outcomes] == [False] * 3
        assert broker.tries == 1


def test_what_is_in_hand_is_sent_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(monkeypatch) as made:
        outcomes = [send(made) for _ in range(20)]
    assert [outcome.told for outcome in outcomes] == [[True]] * 20
    assert made.broker.closed == 1
