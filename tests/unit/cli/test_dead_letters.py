from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError
from rich.console import Console

from schemas.dead_letter import (
    MAX_OWN_HEADER_BYTES,
    PREFIX,
    PURGED,
    REPLAYED,
    dead_letter_headers,
    read_dead_letter,
)
from services.cli import dlq
from services.cli.kafka_admin import DeadRecord, Waiting, _dead_record, _open
from services.runtime import confirmed
from tests.unit.cli.conftest import Newsflow

KEYS = {"id", "topic", "partition", "offset", "stage", "reason", "error", "time", "attempt"}
STORED = 1_700_000_000_000
"""When Kafka stored the failed records, in milliseconds."""


def failed(
    offset: int,
    value: bytes | None = b"{",
    own: list[tuple[str, bytes]] | None = None,
    time: str | None = None,
    **other: Any,
) -> Any:
    """A dead letter as a Kafka client gives it."""
    said: dict[str, Any] = {
        "topic": "night-articles-raw",
        "partition": 2,
        "offset": offset,
        "stage": "cleaner",
        "reason": "invalid_json",
        "error": "EOF while parsing",
        "timestamp": STORED,
    }
    headers = dead_letter_headers(headers=own or [], null=value is None, **(said | other))
    if time:
        headers = [(name, time.encode() if name == f"{PREFIX}time" else text) for name, text in headers]
    return SimpleNamespace(headers=headers, key=b"key-%d" % offset, value=value or b"")


def closed(offset: int, marker: str = REPLAYED) -> Any:
    return SimpleNamespace(headers=[(marker, f"night-articles-raw/2/{offset}".encode())], key=b"k", value=b"")


def replayed(offset: int) -> Any:
    return closed(offset)


def placed(records: tuple[Any, ...]) -> list[Any]:
    """The records with their offsets in the queue."""
    return [SimpleNamespace(**{**vars(record), "offset": place}) for place, record in enumerate(records)]


def fold(*records: Any) -> list[Waiting]:
    return _open(placed(records), lambda _: True)


def values(*records: Any) -> list[bytes | None]:
    found = [_dead_record(record) for record in placed(records)]
    return [each.value for each in found if each]


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


@pytest.mark.parametrize("marker", [REPLAYED, PURGED])
def test_a_closed_one_is_gone(marker: str) -> None:
    assert offsets(failed(1), failed(2), closed(1, marker)) == [2]
    assert offsets(closed(1, marker)) == []


def test_what_is_not_wanted_closes_and_replaces_all_the_same() -> None:
    """The latest of a record counts, whether it is the one that is looked for or not."""
    records = placed(
        (failed(1, reason="memory"), failed(2, reason="memory"), failed(1, reason="timeout"), closed(2))
    )
    assert _open(records, lambda each: each.letter.reason == "memory") == []


def test_one_that_fails_again_after_its_replay_is_back_with_its_attempt() -> None:
    (back,) = fold(failed(1), replayed(1), failed(9, own=[(f"{PREFIX}attempt", b"1")]))
    assert (back.letter.offset, back.letter.attempt) == (9, 2)


def test_one_that_is_redelivered_after_its_replay_is_back() -> None:
    assert offsets(failed(1), replayed(1), failed(1)) == [1]


def test_no_value_and_an_empty_one_are_told_apart() -> None:
    assert values(failed(1, None), failed(2, b""), failed(3, b"\xff\x00")) == [None, b"", b"\xff\x00"]


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


class Queue(list[Any]):
    """What lies in the queue; a test adds to it."""

    shrunk = 0

    def waiting(self, _: object, wanted: Any) -> list[Waiting]:
        return _open(placed(tuple(self)), wanted)

    def records_of(self, _: object, chosen: list[Waiting]) -> list[DeadRecord]:
        records = placed(tuple(self))
        found = [_dead_record(records[each.place]) for each in chosen]
        return [each for each in found if each]

    def shrink(self, _: object) -> int:
        self.shrunk += 1
        return 0


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    for name in ("waiting", "records_of", "shrink"):
        monkeypatch.setattr(dlq, name, getattr(queue, name))
    return queue


class Producer:
    """Stands for `KafkaProducer`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]] = []
        self.partitions: list[int | None] = []
        self.refused: dict[bytes, Exception] = {}
        self.unconfirmed: dict[bytes, Exception] = {}
        self.events: list[str] = []
        self._sender = SimpleNamespace(force_close=lambda: None, join=lambda _: None)

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> Any:
        if key in self.refused:
            raise self.refused[key]
        self.sent.append((topic, key, value, headers))
        self.partitions.append(partition)
        self.events.append("sent")
        return SimpleNamespace(get=lambda timeout: self.answer(key))

    def answer(self, key: bytes) -> None:
        self.events.append("confirmed")
        if key in self.unconfirmed:
            raise self.unconfirmed[key]

    def close(self, timeout: float) -> None:
        """Nothing is open."""


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    producer = Producer()
    monkeypatch.setattr(confirmed, "KafkaProducer", lambda **_: producer)
    return producer


def test_list_is_an_object_a_line(newsflow: Newsflow, queue: Queue) -> None:
    queue += [failed(1), failed(2, error="a “quoted”\nerror")]
    said = newsflow("dlq", "list", "--json")
    assert said.status == 0
    first, second = map(json.loads, said.out.splitlines())
    assert first.keys() >= KEYS
    assert first.pop("time").startswith("20")
    assert first.pop("first_time").startswith("20")
    assert first == {
        "id": "night-articles-raw/2/1",
        "topic": "night-articles-raw",
        "partition": 2,
        "offset": 1,
        "stage": "cleaner",
        "reason": "invalid_json",
        "error": "EOF while parsing",
        "attempt": 1,
        "timestamp": STORED,
        "publisher": None,
    }
    assert second["error"] == "a “quoted”\nerror"


def test_an_empty_queue_lists_nothing(newsflow: Newsflow, queue: Queue) -> None:
    assert queue == []
    said = newsflow("dlq", "list", "--json")
    assert (said.status, said.out) == (0, "")


def test_list_shows_people_where_and_why(newsflow: Newsflow, queue: Queue) -> None:
    queue.append(failed(1))
    said = newsflow("dlq", "list")
    assert said.status == 0
    for text in ("night-articles-raw/2/1", "cleaner", "invalid_json", "EOF while parsing"):
        assert text in said.out


@pytest.mark.parametrize("value", [b"\xff\x00\r\n{", b"no newline", b"", None])
def test_show_raw_is_the_original_bytes(newsflow: Newsflow, queue: Queue, value: bytes | None) -> None:
    queue += [failed(1, b"another"), failed(2, value)]
    said = newsflow("dlq", "show", "night-articles-raw/2/2", "--raw")
    assert (said.status, said.out.encode("utf-8", "surrogateescape")) == (0, value or b"")


def test_show_tells_the_headers_and_the_value(newsflow: Newsflow, queue: Queue) -> None:
    queue.append(failed(1, b'{"publisher": "[bold]x[/bold]", \xff'))
    said = newsflow("dlq", "show", "night-articles-raw/2/1")
    assert said.status == 0
    assert "reason: invalid_json" in said.out
    assert '{"publisher": "[bold]x[/bold]", \\xff' in said.out


def test_an_unknown_id_is_told(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
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
    newsflow: Newsflow, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise KafkaConnectionError("refused")

    monkeypatch.setattr(dlq, "waiting", away)
    said = newsflow("dlq", "list", "--json")
    assert (said.status, said.out) == (1, "")
    assert "refused" in said.told


def test_replay_publishes_the_record_where_it_failed_and_marks_it(
    newsflow: Newsflow, queue: Queue, producer: Producer
) -> None:
    queue += [failed(1, b"\xff", own=[("trace", b"17"), (f"{PREFIX}attempt", b"3")]), failed(2)]
    said = newsflow("dlq", "replay", "night-articles-raw/2/1")
    assert said.status == 0
    (topic, key, value, headers), marker = producer.sent
    assert (topic, key, value) == ("night-articles-raw", b"key-1", b"\xff")
    assert producer.partitions[0] == 2, "where it failed, whatever the key says"
    first_time = dict(headers).pop(f"{PREFIX}first-time")
    assert dict(headers) == {
        "trace": b"17",
        f"{PREFIX}attempt": b"4",
        f"{PREFIX}timestamp": str(STORED).encode(),
        f"{PREFIX}first-time": first_time,
    }, "what it carried, how often it failed, and its first times"
    assert marker == ("night-articles-dlq", b"key-1", b"", [(REPLAYED, b"night-articles-raw/2/1")])
    assert queue.shrunk == 1


def test_all_records_of_a_window_are_sent_before_the_first_is_waited_for(
    newsflow: Newsflow, queue: Queue, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "WINDOW_RECORDS", 3)
    queue += [failed(number) for number in range(5)]
    said = newsflow("dlq", "replay", "--all", "--json")
    assert (said.status, json.loads(said.out)) == (0, {"replayed": 5, "failed": 0})
    three, two = ["sent"] * 3 + ["confirmed"] * 3, ["sent"] * 2 + ["confirmed"] * 2
    assert producer.events == three + three + two + two, "and all of them before the first marker"


def test_a_window_holds_no_more_bytes_than_it_may(
    newsflow: Newsflow, queue: Queue, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "WINDOW_BYTES", 100)
    queue += [failed(number, b"x" * 60) for number in range(4)]
    assert newsflow("dlq", "replay", "--all").status == 0
    two = ["sent"] * 2 + ["confirmed"] * 2
    assert producer.events == two * 4


def test_replay_of_a_record_without_a_value_sends_none(
    newsflow: Newsflow, queue: Queue, producer: Producer
) -> None:
    queue.append(failed(1, None))
    assert newsflow("dlq", "replay", "--all").status == 0
    assert producer.sent[0][2] is None


def test_one_that_cannot_be_replayed_holds_up_no_other(
    newsflow: Newsflow, queue: Queue, producer: Producer
) -> None:
    queue += [failed(1), failed(2), failed(3), failed(4, partition=17)]
    producer.refused = {b"key-2": MessageSizeTooLargeError(), b"key-4": ValueError("Unrecognized partition 17")}
    said = newsflow("dlq", "replay", "--all")
    assert said.status == 1
    assert "2 dead letters published again, 2 not" in said.out
    assert "night-articles-raw/2/2" in said.told
    assert "Unrecognized partition 17" in said.told
    assert [key for _, key, _, _ in producer.sent] == [b"key-1", b"key-3", b"key-1", b"key-3"]


def test_one_that_was_not_confirmed_is_not_marked(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
    queue += [failed(1), failed(2)]
    producer.unconfirmed = {b"key-1": MessageSizeTooLargeError()}
    said = newsflow("dlq", "replay", "--all", "--json")
    assert (said.status, json.loads(said.out)) == (1, {"replayed": 1, "failed": 1})
    assert [(topic, key) for topic, key, _, _ in producer.sent][2:] == [("night-articles-dlq", b"key-2")]


@pytest.mark.parametrize("when", ["refused", "unconfirmed"])
def test_a_kafka_that_does_not_answer_is_not_asked_a_thousand_times(
    newsflow: Newsflow, queue: Queue, producer: Producer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(dlq, "WINDOW_RECORDS", 2)
    queue += [failed(number) for number in range(100)]
    setattr(producer, when, {b"key-1": KafkaTimeoutError("not within 60 s")})
    said = newsflow("dlq", "replay", "--all", "--json")
    assert (said.status, json.loads(said.out)) == (1, {"replayed": 1, "failed": 99})
    assert "the rest was not tried" in said.told
    assert len(producer.sent) <= 3
    assert queue.shrunk == 0


def test_no_foreign_topic_is_written_to(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
    """Whoever may write into the queue may name any topic."""
    queue += [failed(1, topic="payroll"), failed(2, topic="night-articles-dlq"), failed(3)]
    said = newsflow("dlq", "replay", "--all")
    assert said.status == 1
    assert "payroll is no topic of this pipeline" in said.told
    assert [topic for topic, *_ in producer.sent] == ["night-articles-raw", "night-articles-dlq"]


def test_fifty_rounds_leave_a_record_its_size(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
    """Headers are replaced and never appended."""
    own = [("trace", b"17"), ("big", b"x" * 40_000), *(("more", b"y" * 900) for _ in range(60))]
    sizes = []
    for round_ in range(50):
        letter = failed(7, b"value", own, timestamp=STORED + round_)
        queue[:] = [letter]
        sizes.append(sum(len(name) + len(text) for name, text in letter.headers))
        assert newsflow("dlq", "replay", "--all").status == 0
        *_, (_, _, value, own), _ = producer.sent
        assert value == b"value"
    assert max(sizes[1:]) - sizes[1] <= 1, "the attempt has another digit"
    assert sizes[0] < MAX_OWN_HEADER_BYTES + 10_000
    read = read_dead_letter(letter.headers)
    assert (read.attempt, read.timestamp) == (50, STORED)


# ---------------------------------------------------------------- purge


def test_purge_writes_markers_and_no_record(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
    queue += [failed(1), failed(2)]
    said = newsflow("dlq", "purge", "night-articles-raw/2/2", "--yes", "--json")
    assert (said.status, json.loads(said.out)) == (0, {"purged": 1, "failed": 0})
    assert producer.sent == [("night-articles-dlq", b"key-2", b"", [(PURGED, b"night-articles-raw/2/2")])]
    assert queue.shrunk == 1


def test_purge_without_a_terminal_needs_a_yes(newsflow: Newsflow, queue: Queue, producer: Producer) -> None:
    queue.append(failed(1))
    said = newsflow("dlq", "purge", "--all")
    assert said.status == 2
    assert "give --yes" in said.told
    assert producer.sent == []


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "status", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 1), (b"", 1, 1)])
def test_purge_asks_on_a_terminal(
    newsflow: Newsflow,
    queue: Queue,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    status: int,
    left: int,
) -> None:
    queue.append(failed(1))
    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    said = newsflow("dlq", "purge", "--all", "--json", stdin=answer)
    assert said.status == status
    assert "Give up 1 dead letters for good?" in said.told
    assert len(producer.sent) == 1 - left
    assert said.out == ("" if left else '{"purged": 1, "failed": 0}\n')


# ---------------------------------------------------------------- which ones


NIGHT = [
    failed(1, b'{"publisher": "a.example", "body": 3}', reason="invalid_record", time="2026-01-31T23:59:59+00:00"),
    failed(2, b'{"publisher": "b.example"}', stage="tagger", reason="memory", time="2026-02-01T00:00:00+00:00"),
    failed(3, b'{"specversion": "1.0", "data": {"publisher": "b.example"}}', time="2026-02-02T12:00:00+00:00"),
    failed(4, b"\xff", stage="indexer", reason="refused_by_index", time="2026-02-03T00:00:00+00:00"),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], [1, 2, 3, 4]),
        (["--stage", "tagger"], [2]),
        (["--stage", "tagger", "--stage", "indexer"], [2, 4]),
        (["--reason", "invalid_json", "--reason", "memory"], [2, 3]),
        (["--publisher", "b.example"], [2, 3]),
        (["--publisher", "b.example", "--stage", "cleaner"], [3]),
        (["--since", "2026-02-01"], [2, 3, 4]),
        (["--until", "2026-02-01T00:00:00Z"], [1]),
        (["--since", "2026-02-01T01:00:00+01:00", "--until", "2026-02-03"], [2, 3]),
        (["--publisher", "nobody.example"], []),
    ],
)
def test_only_those_that_are_meant(
    newsflow: Newsflow, queue: Queue, producer: Producer, words: list[str], found: list[int]
) -> None:
    queue += NIGHT
    said = newsflow("dlq", "list", "--json", *words)
    assert said.status == 0
    assert [json.loads(line)["offset"] for line in said.out.splitlines()] == found
    for verb in (["replay"], ["purge", "--yes"]):
        producer.sent.clear()
        assert newsflow("dlq", *verb, *(words or ["--all"])).status == 0
        ids = [headers[0][1].decode() for *_, headers in producer.sent if headers[0][0] in (REPLAYED, PURGED)]
        assert ids == [f"night-articles-raw/2/{offset}" for offset in found]


@pytest.mark.parametrize("verb", [["list"], ["replay"], ["purge", "--yes"]])
@pytest.mark.parametrize("time", ["yesterday", "2026-02-30", "1769904000", "0001-01-01T00:00:00+14:00", ""])
def test_what_is_no_time_is_refused(
    newsflow: Newsflow, queue: Queue, producer: Producer, verb: list[str], time: str
) -> None:
    queue += NIGHT
    for option in ("--since", "--until"):
        said = newsflow("dlq", *verb, option, time)
        assert (said.status, said.out) == (2, "")
        assert option in said.told
        assert "ISO 8601" in said.told
    assert producer.sent == []


@pytest.mark.parametrize(
    "words", [[], ["night-articles-raw/2/1", "--all"], ["night-articles-raw/2/1", "--stage", "cleaner"]]
)
@pytest.mark.parametrize("verb", [["replay"], ["purge", "--yes"]])
def test_it_is_said_which_ones(
    newsflow: Newsflow, queue: Queue, producer: Producer, verb: list[str], words: list[str]
) -> None:
    queue.append(failed(1))
    said = newsflow("dlq", *verb, *words)
    assert said.status == 2
    assert "give ids, or --all" in said.told
    assert producer.sent == []


def test_list_names_the_publisher(newsflow: Newsflow, queue: Queue) -> None:
    queue += NIGHT
    said = newsflow("dlq", "list", "--json", "--stage", "tagger")
    assert json.loads(said.out)["publisher"] == "b.example"
    assert "b.example" in newsflow("dlq", "list").out


# ---------------------------------------------------------------- show


def test_show_tells_where_it_came_from(newsflow: Newsflow, queue: Queue) -> None:
    queue.append(failed(2, b'{"publisher": "a.example"}', own=[("trace", b"\x1b[2J"), ("big", b"z" * 500)]))
    said = newsflow("dlq", "show", "night-articles-raw/2/2")
    assert said.status == 0
    for line in (
        "topic: night-articles-raw",
        "partition: 2",
        "offset: 2",
        "stored: 2023-11-14T22:13:20+00:00",
        "publisher: a.example",
        "key: key-2",
        "header trace: \ufffd[2J",
        f"header big: {'z' * 200}… (500 bytes)",
        '  "publisher": "a.example"',
    ):
        assert line in said.out


def test_show_as_json(newsflow: Newsflow, queue: Queue) -> None:
    queue.append(failed(2, b'{"publisher": "a.example"}\xff', own=[("trace", b"17")]))
    said = newsflow("dlq", "show", "night-articles-raw/2/2", "--json")
    assert said.status == 0
    told = json.loads(said.out)
    assert told.keys() > KEYS
    assert (told["key"], told["headers"]) == ("key-2", [{"name": "trace", "value": "17"}])
    assert told["value"] == '{"publisher": "a.example"}\\xff'
    assert (told["publisher"], told["timestamp"]) == (None, STORED)


def test_show_takes_one_form(newsflow: Newsflow, queue: Queue) -> None:
    queue.append(failed(2))
    assert newsflow("dlq", "show", "night-articles-raw/2/2", "--json", "--raw").status == 2


@pytest.mark.parametrize(
    "value",
    [
        b'{"publisher": "a", "publisher": "b"}',
        b'{"n": NaN}x',
        b"[" * 100_000,
        b"[" * 10_000 + b"]" * 10_000,
        b"9" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_show_changes_nothing_that_pretty_json_would_lose(newsflow: Newsflow, queue: Queue, value: bytes) -> None:
    queue.append(failed(2, value))
    said = newsflow("dlq", "show", "night-articles-raw/2/2")
    assert said.status == 0
    assert value.decode() in said.out.replace("\n", "")


def test_half_of_a_surrogate_pair_can_be_shown(newsflow: Newsflow, queue: Queue) -> None:
    value = b'{"body": "kite \\ud83e", "publisher": "kite \\ud83e"}'
    assert b"kite" in dlq._pretty(value).encode(), "as a terminal writes it"
    queue.append(failed(2, value))
    said = newsflow("dlq", "list", "--json")
    assert json.loads(said.out)["publisher"] == "kite ?"


@pytest.mark.parametrize("text", ["one line " * 2_000, "line\n" * 2_000, "short"])
def test_a_terminal_is_not_flooded(text: str) -> None:
    console = Console(force_terminal=True, width=80, height=40, file=io.StringIO())
    shown, left = dlq._bounded(text, console)
    rows = sum(max(1, -(-len(line) // 80)) for line in shown.split("\n"))
    assert rows <= 20
    assert text.startswith(shown)
    assert len(text) - len(shown) - left in (0, 1), "all of it is accounted for"
    assert (left == 0) == (text == "short")


def test_what_is_left_out_is_told(newsflow: Newsflow, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.append(failed(2, b"x" * 1_000_000))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("LINES", "40")
    said = newsflow("dlq", "show", "night-articles-raw/2/2")
    assert re.search(r"and 99\d,\d{3} more characters: --raw writes all", said.out)
    monkeypatch.delenv("FORCE_COLOR")
    assert newsflow("dlq", "show", "night-articles-raw/2/2").out.count("x") >= 1_000_000


@pytest.mark.parametrize("text", ["unknown field [bold]", "unknown field [/b]"])
def test_brackets_in_an_error_are_text(newsflow: Newsflow, queue: Queue, text: str) -> None:
    queue.append(failed(1, error=text))
    said = newsflow("dlq", "list")
    assert said.status == 0
    assert text in said.out


@pytest.mark.parametrize("words", [["list"], ["show", "night-articles-raw/2/1"]])
def test_a_record_commands_no_terminal(newsflow: Newsflow, queue: Queue, words: list[str]) -> None:
    """A field's name is the producer's text, and the error quotes it."""
    queue.append(failed(1, b"\x1b]0;owned\x07", error="\x1b[2J: unknown field"))
    said = newsflow("dlq", *words)
    assert said.status == 0
    assert "\x1b" not in said.out
