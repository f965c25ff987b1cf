from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from services.runtime.logging import NOISY, REPEAT_SECONDS, HoldBackRepeats, set_up_logging

OURS = ("services.runtime.stage", "services.indexer.app", "schemas.reading")
CHANGED_LEVELS = ("", "kafka", "elastic_transport", "trafilatura")

# ---------------------------------------------------------------- repeats


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("services.runtime.logging.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def record(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None)


@pytest.mark.parametrize("library", NOISY)
def test_repeats_of_a_client_library_are_held_back_and_counted(clock: Clock, library: str) -> None:
    held = HoldBackRepeats()
    name = f"{library}.conn"
    first = record(name, "no connection to %s", "broker.example")
    assert held.filter(first)
    assert first.getMessage() == "no connection to broker.example"
    for _ in range(1_777):
        clock.now += 0.005
        assert not held.filter(record(name, "no connection to %s", "broker.example"))
    clock.now += REPEAT_SECONDS
    again = record(name, "no connection to %s", "broker.example")
    assert held.filter(again)
    message = again.getMessage()
    assert message.startswith("no connection to broker.example (1777 more like this in the last ")
    clock.now += 1
    assert not held.filter(record(name, "no connection to %s", "broker.example"))
    clock.now += REPEAT_SECONDS
    last = record(name, "no connection to %s", "broker.example")
    assert held.filter(last)
    assert "(1 more " in last.getMessage(), "the count begins anew"


@pytest.mark.usefixtures("clock")
def test_only_the_same_message_of_the_same_logger_is_a_repeat() -> None:
    held = HoldBackRepeats()
    assert held.filter(record("kafka.conn", "no connection"))
    assert held.filter(record("kafka.conn", "no answer"))
    assert held.filter(record("aiokafka.conn", "no connection"))
    # What differs in the arguments only is the same message: a port, an attempt.
    assert held.filter(record("kafka.conn", "attempt %d", 1))
    assert not held.filter(record("kafka.conn", "attempt %d", 2))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", OURS)
def test_ours_are_never_held_back(name: str) -> None:
    held = HoldBackRepeats()
    assert all(held.filter(record(name, "dead letter")) for _ in range(100))


def test_a_message_that_does_not_come_back_soon_is_no_repeat(clock: Clock) -> None:
    held = HoldBackRepeats()
    for _ in range(3):
        each = record("kafka.conn", "no connection")
        assert held.filter(each)
        assert each.getMessage() == "no connection"
        clock.now += REPEAT_SECONDS


# ---------------------------------------------------------------- the form

SetUp = Callable[..., None]


@pytest.fixture
def set_up() -> Iterator[SetUp]:
    """`set_up_logging`, undone afterwards."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in CHANGED_LEVELS}
    structlog.contextvars.clear_contextvars()

    def call(log_format: str, level: str = "INFO") -> None:
        set_up_logging(level, log_format, "cleaner")

    yield call
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = capsys.readouterr()
    assert said.out == "", "standard output is for results"
    return [json.loads(line) for line in said.err.splitlines()]


def fail_with_a_secret() -> None:
    password = "hunter2"
    raise KeyError("a bug nobody thought of", len(password))


def test_json_is_one_object_a_line(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json")
    structlog.get_logger("services.ours").info("two\nlines “here”", count=3, what=object)
    logging.getLogger("faust.theirs").warning("no connection to %s", "broker.example")
    try:
        fail_with_a_secret()
    except KeyError:
        structlog.get_logger("services.ours").exception("failed")
    ours, theirs, failed = lines(capsys)
    assert (
        ours.items()
        >= {
            "event": "two\nlines “here”",
            "count": 3,
            "level": "info",
            "logger": "services.ours",
            "service": "cleaner",
        }.items()
    )
    assert (
        theirs.items()
        >= {
            "event": "no connection to broker.example",
            "level": "warning",
            "logger": "faust.theirs",
            "service": "cleaner",
        }.items()
    )
    assert ours["timestamp"].endswith("Z")
    assert failed["event"] == "failed"
    assert "a bug nobody thought of" in json.dumps(failed["exception"])


def test_text_says_the_same_to_people(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    structlog.get_logger("services.ours").info("dead letter", reason="empty")
    logging.getLogger("faust.theirs").warning("no connection to %s", "broker.example")
    said = capsys.readouterr()
    assert said.out == ""
    ours, theirs = said.err.splitlines()
    assert "dead letter" in ours
    assert "reason=empty" in ours
    assert "no connection to broker.example" in theirs
    assert "\x1b" not in said.err, "colours are for terminals"


def test_repeats_are_held_back_on_their_way_out(
    set_up: SetUp, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("json")
    for _ in range(5):
        logging.getLogger("kafka.conn").warning("no connection")
        structlog.get_logger("services.ours").warning("dead letter")
    clock.now += REPEAT_SECONDS
    logging.getLogger("kafka.conn").warning("no connection")
    said = [each["event"] for each in lines(capsys)]
    assert said.count("dead letter") == 5
    assert [text for text in said if text != "dead letter"] == [
        "no connection",
        "no connection (4 more like this in the last 10 s)",
    ]


def test_set_up_twice_writes_everything_once(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    set_up("json")
    logging.getLogger("faust.theirs").warning("no connection")
    assert [each["event"] for each in lines(capsys)] == ["no connection"]


def test_the_level_holds_and_client_libraries_only_warn(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "WARNING")
    structlog.get_logger("services.ours").info("not now")
    structlog.get_logger("services.ours").warning("now")
    set_up("json", "INFO")
    logging.getLogger("kafka.conn").info("connected")
    logging.getLogger("elastic_transport.transport").info("PUT / [status:200]")
    logging.getLogger("faust.app").info("started")
    assert [each["event"] for each in lines(capsys)] == ["now", "started"]


def test_a_line_from_another_thread_names_the_service(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    # The watchdog, the health endpoint and the client libraries log from threads of their own.
    set_up("json")
    thread = threading.Thread(target=lambda: structlog.get_logger("services.ours").warning("health is red"))
    thread.start()
    thread.join()
    (line,) = lines(capsys)
    assert line["event"] == "health is red"
    assert line["service"] == "cleaner"


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("logger", ["services.ours", "kafka.conn"])
def test_a_traceback_shows_no_values(
    set_up: SetUp, capsys: pytest.CaptureFixture[str], log_format: str, logger: str
) -> None:
    """They hold keys, passwords, and whole batches of records."""
    set_up(log_format)
    try:
        fail_with_a_secret()
    except KeyError:
        logging.getLogger(logger).exception("failed")
    said = capsys.readouterr().err
    assert "a bug nobody thought of" in said
    assert "fail_with_a_secret" in said
    assert "'hunter2'" not in said.replace('password = "hunter2"', "")
