from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from schemas.dead_letter import PREFIX, REPLAYED, dead_letter_headers
from services.cli import dlq
from services.cli.kafka_admin import DeadRecord, _take
from services.runtime import confirmed
from tests.unit.cli.conftest import Newsflow

KEYS = {"id", "topic", "partition", "offset", "stage", "reason", "error", "time", "attempt"}


def failed(
    offset: int, value: bytes | None = b"{", own: list[tuple[str, bytes]] | None = None, **other: Any
) -> Any:
    """A dead letter as a Kafka client gives it."""
    said: dict[str, Any] = {
        "topic": "night-articles-raw",
        "partition": 2,
        "offset": offset,
        "stage": "cleaner",
        "reason": "invalid_json",
        "error": "EOF while parsing",
    }
    headers = dead_letter_headers(headers=own or [], null=value is None, **(said | other))
    return SimpleNamespace(headers=headers, key=b"key-%d" % offset, value=value or b"")


def replayed(offset: int) -> Any:
    return SimpleNamespace(headers=[(REPLAYED, f"night-articles-raw/2/{offset}".encode())], key=b"k", value=b"")


def fold(*records: Any) -> list[DeadRecord]:
    found: dict[str, DeadRecord] = {}
    for record in records:
        _take(found, record)
    return list(found.values())


def offsets(*records: Any) -> list[int]:
    return [each.letter.offset for each in fold(*records)]


# ---------------------------------------------------------------- folding


def test_a_redelivered_record_is_one_dead_letter_its_latest() -> None:
    folded = fold(failed(1, error="first"), failed(2), failed(1, error="second"))
    assert [(each.letter.offset, each.letter.error) for each in folded] == [
        (2, "EOF while parsing"),
        (1, "second"),
    ]


def test_the_same_offset_elsewhere_is_another_dead_letter() -> None:
    assert len(fold(failed(1), failed(1, partition=3), failed(1, topic="night-articles-clean"))) == 3


def test_a_replayed_one_is_gone() -> None:
    assert offsets(failed(1), failed(2), replayed(1)) == [2]
    assert offsets(replayed(1)) == []


def test_one_that_fails_again_after_its_replay_is_back_with_its_attempt() -> None:
    (back,) = fold(failed(1), replayed(1), failed(9, own=[(f"{PREFIX}attempt", b"1")]))
    assert (back.letter.offset, back.letter.attempt) == (9, 2)


def test_one_that_is_redelivered_after_its_replay_is_back() -> None:
    assert offsets(failed(1), replayed(1), failed(1)) == [1]


def test_no_value_and_an_empty_one_are_told_apart() -> None:
    assert [each.value for each in fold(failed(1, None), failed(2, b""), failed(3, b"\xff\x00"))] == [
        None,
        b"",
        b"\xff\x00",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("trace", b"1")],
        [("trace", None)],
        [(f"{PREFIX}topic", b"articles-raw")],
        [(name, b"soon" if name == f"{PREFIX}offset" else value) for name, value in failed(1).headers],
        [(REPLAYED, b"\xff")],
    ],
)
def test_what_others_wrote_into_the_queue_is_passed_over(headers: list[tuple[str, bytes | None]]) -> None:
    assert offsets(failed(1), SimpleNamespace(headers=headers, key=None, value=b"x"), failed(2)) == [1, 2]


# ---------------------------------------------------------------- the verbs


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What lies in the queue; a test adds to it."""
    records: list[Any] = []
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    monkeypatch.setattr(dlq, "dead_records", lambda settings: iter(fold(*records)))
    return records


class Producer:
    """Stands for `KafkaProducer`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]] = []
        self.refused: set[bytes] = set()

    def send(self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> Any:
        if key in self.refused:
            raise KafkaTimeoutError("not within 60 s")
        self.sent.append((topic, key, value, headers))
        return SimpleNamespace(get=lambda timeout: None)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    producer = Producer()
    monkeypatch.setattr(confirmed, "KafkaProducer", lambda **_: producer)
    return producer


def test_list_is_an_object_a_line(newsflow: Newsflow, queue: list[Any]) -> None:
    queue += [failed(1), failed(2, error="a “quoted”\nerror")]
    said = newsflow("dlq", "list", "--json")
    assert said.status == 0
    first, second = map(json.loads, said.out.splitlines())
    assert first.keys() >= KEYS
    assert first.pop("time").startswith("20")
    assert first == {
        "id": "night-articles-raw/2/1",
        "topic": "night-articles-raw",
        "partition": 2,
        "offset": 1,
        "stage": "cleaner",
        "reason": "invalid_json",
        "error": "EOF while parsing",
        "attempt": 1,
    }
    assert second["error"] == "a “quoted”\nerror"


def test_an_empty_queue_lists_nothing(newsflow: Newsflow, queue: list[Any]) -> None:
    assert queue == []
    said = newsflow("dlq", "list", "--json")
    assert (said.status, said.out) == (0, "")


def test_list_shows_people_where_and_why(newsflow: Newsflow, queue: list[Any]) -> None:
    queue.append(failed(1))
    said = newsflow("dlq", "list")
    assert said.status == 0
    for text in ("night-articles-raw/2/1", "cleaner", "invalid_json", "EOF while parsing"):
        assert text in said.out


@pytest.mark.parametrize("value", [b"\xff\x00\r\n{", b"no newline", b"", None])
def test_show_raw_is_the_original_bytes(newsflow: Newsflow, queue: list[Any], value: bytes | None) -> None:
    queue += [failed(1, b"another"), failed(2, value)]
    said = newsflow("dlq", "show", "night-articles-raw/2/2", "--raw")
    assert (said.status, said.out.encode("utf-8", "surrogateescape")) == (0, value or b"")


def test_show_tells_the_headers_and_the_value(newsflow: Newsflow, queue: list[Any]) -> None:
    queue.append(failed(1, b'{"publisher": "[bold]x[/bold]", \xff'))
    said = newsflow("dlq", "show", "night-articles-raw/2/1")
    assert said.status == 0
    assert "reason: invalid_json" in said.out
    assert '{"publisher": "[bold]x[/bold]", \\xff' in said.out


def test_an_unknown_id_is_told(newsflow: Newsflow, queue: list[Any], producer: Producer) -> None:
    queue.append(failed(1))
    for words in (
        ["show", "night-articles-raw/2/7"],
        ["replay", "night-articles-raw/2/1", "night-articles-raw/2/7"],
    ):
        said = newsflow("dlq", *words)
        assert (said.status, said.out) == (1, "")
        assert "night-articles-raw/2/7" in said.told
        assert "night-articles-raw/2/1" not in said.told
    assert producer.sent == [], "all or nothing"


def test_a_queue_that_cannot_be_read_is_told(
    newsflow: Newsflow, queue: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise KafkaConnectionError("refused")

    monkeypatch.setattr(dlq, "dead_records", away)
    said = newsflow("dlq", "list", "--json")
    assert (said.status, said.out) == (1, "")
    assert "refused" in said.told


def test_replay_publishes_the_record_where_it_failed_and_marks_it(
    newsflow: Newsflow, queue: list[Any], producer: Producer
) -> None:
    queue += [failed(1, b"\xff", own=[("trace", b"17"), (f"{PREFIX}attempt", b"3")]), failed(2)]
    said = newsflow("dlq", "replay", "night-articles-raw/2/1")
    assert said.status == 0
    (topic, key, value, headers), marker = producer.sent
    assert (topic, key, value) == ("night-articles-raw", b"key-1", b"\xff")
    assert headers == [("trace", b"17"), (f"{PREFIX}attempt", b"4")], "what it carried, and how often it failed"
    assert marker == ("night-articles-dlq", b"key-1", b"", [(REPLAYED, b"night-articles-raw/2/1")])


def test_replay_of_a_record_without_a_value_sends_none(
    newsflow: Newsflow, queue: list[Any], producer: Producer
) -> None:
    queue.append(failed(1, None))
    assert newsflow("dlq", "replay", "--all").status == 0
    assert producer.sent[0][2] is None


def test_one_that_cannot_be_replayed_holds_up_no_other(
    newsflow: Newsflow, queue: list[Any], producer: Producer
) -> None:
    queue += [failed(1), failed(2), failed(3)]
    producer.refused = {b"key-2"}
    said = newsflow("dlq", "replay", "--all")
    assert said.status == 1
    assert "2 dead letters published again, 1 not" in said.out
    assert "night-articles-raw/2/2" in said.told
    assert [key for _, key, _, _ in producer.sent] == [b"key-1", b"key-1", b"key-3", b"key-3"]


@pytest.mark.parametrize("text", ["unknown field [bold]", "unknown field [/b]"])
def test_brackets_in_an_error_are_text(newsflow: Newsflow, queue: list[Any], text: str) -> None:
    queue.append(failed(1, error=text))
    said = newsflow("dlq", "list")
    assert said.status == 0
    assert text in said.out


@pytest.mark.parametrize("words", [["list"], ["show", "night-articles-raw/2/1"]])
def test_a_record_commands_no_terminal(newsflow: Newsflow, queue: list[Any], words: list[str]) -> None:
    """A field's name is the producer's text, and the error quotes it."""
    queue.append(failed(1, b"\x1b]0;owned\x07", error="\x1b[2J: unknown field"))
    said = newsflow("dlq", *words)
    assert said.status == 0
    assert "\x1b" not in said.out
