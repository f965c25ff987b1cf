from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaError

from schemas.article import RawArticle
from schemas.topics import MAX_RAW_BYTES
from services.producer import app
from services.producer.app import Report, publish
from services.producer.core import Found, Unusable
from services.producer.settings import ProducerSettings
from services.runtime import confirmed
from tests.unit.producer.broker import Broker, broker

__all__ = ["broker"]


class Calls:
    """What `done` is told: how many articles have come to their end."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def __call__(self, report: Report) -> None:
        self.ended.append(report.confirmed + len(report.failed))


def settings(in_flight: int = 500) -> ProducerSettings:
    return ProducerSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        newsflow_prefix="night-",
        in_flight_records=in_flight,
        delivery_timeout_seconds=7,
    )


def found(bodies: Iterable[str]) -> Iterator[Found]:
    return (Found(f"file:{body}", RawArticle(publisher="harbour-post.example", body=body)) for body in bodies)


TEXTS = [f"text {number}" for number in range(20)]


def test_every_send_is_confirmed(broker: Broker) -> None:
    calls = Calls()
    report = publish(settings(), found(TEXTS), calls)
    assert (report.confirmed, report.failed) == (20, [])
    assert broker.bodies == TEXTS
    assert {topic for topic, _ in broker.keys} == {"night-articles-raw"}
    assert broker.asked == 20
    assert broker.closed
    assert calls.ended == list(range(1, 21)), "once for each article"


def test_a_send_that_was_not_confirmed_is_tried_once_more(broker: Broker) -> None:
    broker.unconfirmed = {"text 3": 1}
    broker.unsendable = {"text 5": 1}
    calls = Calls()
    report = publish(settings(), found(TEXTS), calls)
    assert (report.confirmed, report.failed) == (20, [])
    assert sorted(broker.bodies, key=str) == sorted(TEXTS)
    assert sum(broker.tries.values()) == 22
    assert calls.ended == list(range(1, 21))


def test_what_is_never_confirmed_is_reported_and_holds_up_no_other(broker: Broker) -> None:
    broker.unconfirmed = {"text 3": 99}
    broker.unsendable = {"text 5": 99}
    calls = Calls()
    report = publish(settings(), found(TEXTS), calls)
    assert report.confirmed == 18
    assert sorted(failed.origin for failed in report.failed) == ["file:text 3", "file:text 5"]
    assert all("7 s" in failed.error for failed in report.failed)
    assert broker.tries["text 3"] == broker.tries["text 5"] == 2
    assert calls.ended == list(range(1, 21))


def test_what_cannot_be_sent_is_reported_with_its_reason(broker: Broker) -> None:
    large = Found("file:large", RawArticle(publisher="harbour-post.example", body="x" * MAX_RAW_BYTES))
    broken = Unusable("file:broken", "it is not UTF-8")
    calls = Calls()
    report = publish(settings(), [broken, *found(TEXTS[:2]), large, *found(TEXTS[2:4])], calls)
    assert report.confirmed == 4
    assert report.failed[0] == broken
    assert report.failed[1].origin == "file:large"
    assert str(MAX_RAW_BYTES) in report.failed[1].error
    assert broker.bodies == TEXTS[:4]
    assert sorted(calls.ended) == list(range(1, 7))


@pytest.mark.parametrize("bound", [1, 7])
def test_no_more_than_the_bound_is_in_flight(broker: Broker, bound: int) -> None:
    broker.unconfirmed = {"text 3": 1}
    assert publish(settings(bound), found(TEXTS)).confirmed == 20
    assert broker.most_in_flight == bound


def test_articles_are_taken_as_they_are_sent(broker: Broker) -> None:
    """A source may be larger than the memory, or never end."""
    taken = 0

    def source() -> Iterator[Found]:
        nonlocal taken
        for article in found(TEXTS):
            taken += 1
            assert taken - broker.asked <= 4
            yield article

    assert publish(settings(3), source()).confirmed == 20


def test_a_correction_stays_behind_what_it_corrects(broker: Broker) -> None:
    """The later of two records of one id wins in the index, when neither states a revision."""
    versions = [
        Found(f"file:{body}", RawArticle(publisher="harbour-post.example", id="17", body=body))
        for body in ("at nine", "corrected: at ten")
    ]
    broker.unconfirmed = {"at nine": 1}
    assert publish(settings(), versions).failed == []
    assert broker.bodies[-1] == "corrected: at ten"


def test_a_correction_that_could_not_be_sent_stays_behind_what_it_corrects(broker: Broker) -> None:
    versions = [
        Found(f"file:{body}", RawArticle(publisher="harbour-post.example", id="17", body=body))
        for body in ("at nine", "corrected: at ten")
    ]
    broker.unconfirmed = {"at nine": 1}
    broker.unsendable = {"corrected: at ten": 1}
    assert publish(settings(), versions).failed == []
    assert broker.bodies == ["at nine", "corrected: at ten"]


def test_the_client_waits_for_all_replicas_and_repeats_nothing_twice(broker: Broker) -> None:
    publish(settings(), [])
    assert broker.options["acks"] == "all"
    assert broker.options["enable_idempotence"] is True
    assert broker.options["delivery_timeout_ms"] == 7_000
    assert broker.options["request_timeout_ms"] < 7_000
    # The key, the headers and the envelope go on top of the largest value.
    assert broker.options["max_request_size"] > MAX_RAW_BYTES


def test_no_broker_at_all_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> Broker:
        raise KafkaConnectionError

    monkeypatch.setattr(confirmed, "KafkaProducer", refuse)
    with pytest.raises(KafkaError):
        publish(settings(), found(TEXTS))


def test_the_connection_is_closed_when_a_source_breaks(broker: Broker) -> None:
    def source() -> Iterator[Found]:
        yield from found(TEXTS[:2])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        publish(settings(), source())
    assert broker.closed


def test_a_client_that_had_no_answer_is_given_up_for_another_one(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-python 3.0.12 may send nothing more after a record's time was up, and says nothing of it."""
    given_up: list[Broker] = []
    clients: list[int] = []

    def connect(**_: Any) -> Broker:
        clients.append(len(given_up))
        return broker

    monkeypatch.setattr(confirmed, "KafkaProducer", connect)
    monkeypatch.setattr(app, "abandon", given_up.append)
    broker.unconfirmed = {"text 3": 1}
    assert publish(settings(), found(TEXTS)).confirmed == 20
    assert clients == [0, 1], "the second one only when the first is given up"


def test_a_broker_that_is_away_at_the_second_try_too_is_reported(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = iter([broker])

    def connect(**_: Any) -> Broker:
        try:
            return next(clients)
        except StopIteration:
            raise KafkaConnectionError from None

    monkeypatch.setattr(confirmed, "KafkaProducer", connect)
    broker.unconfirmed = {"text 3": 99}
    report = publish(settings(), found(TEXTS))
    assert (report.confirmed, [failed.origin for failed in report.failed]) == (19, ["file:text 3"])
