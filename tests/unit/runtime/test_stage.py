from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import CleanArticle, Paragraph, RawArticle
from schemas.dead_letter import dead_letter_headers
from schemas.identity import article_id
from schemas.reading import read_record, write_record
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
from services.runtime import stage as stage_module
from services.runtime.settings import StageSettings
from services.runtime.stage import (
    Failure,
    Received,
    Result,
    Stage,
    StageWorker,
    Step,
    Task,
    Verdict,
    _headers,
    _result,
    _run_chunk,
)

SECONDS = 1_767_225_600.25
"""2026-01-01T00:00:00.250Z"""


def load_nothing(_: StageSettings) -> Step:
    raise AssertionError("a test gives the step itself")


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_nothing)


def clean(record: Received[RawArticle]) -> CleanArticle:
    return CleanArticle(
        id=article_id(record.article),
        revision=0,
        received=record.time,
        publisher=record.article.publisher,
        language="en",
        language_confidence=1,
        kept=(Paragraph(index=0, text=record.article.body or ""),),
    )


def raw(text: str) -> RawArticle:
    return RawArticle(publisher="harbour-post.example", body=text)


def task(text: str) -> Task:
    return write_record(raw(text)), SECONDS


Run = Callable[[Step, Sequence[Task]], list[Verdict]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The verdicts of a child process that has loaded this step."""

    def call(step: Step, tasks: Sequence[Task]) -> list[Verdict]:
        monkeypatch.setattr(stage_module, "_loaded", (STAGE, step))
        return _run_chunk(tasks)

    return call


def text_of(verdict: Verdict) -> str:
    """The text that came through, or the reason why none did."""
    if isinstance(verdict, Failure):
        return verdict.reason
    article = read_record(ARTICLES_CLEAN, verdict.value)
    assert verdict.key.decode() == article.id
    body: str = article.body
    return body


class Counting:
    """A step, and how many records it was called with each time."""

    def __init__(self, step: Callable[[Received[Any]], CleanArticle]) -> None:
        self.step = step
        self.calls: list[int] = []

    def __call__(self, records: Sequence[Received[Any]]) -> list[CleanArticle]:
        self.calls.append(len(records))
        return [self.step(record) for record in records]


def clean_unless_told(record: Received[RawArticle]) -> CleanArticle:
    if (record.article.body or "").startswith("raise"):
        raise KeyError("a bug nobody thought of")
    return clean(record)


# ---------------------------------------------------------------- a verdict for each record, in order


def test_a_result_is_keyed_by_the_article_id_and_knows_the_time_of_kafka(run: Run) -> None:
    (verdict,) = run(Counting(clean), [task("The ferry sails again.")])
    assert isinstance(verdict, Result)
    article = read_record(ARTICLES_CLEAN, verdict.value)
    assert verdict.key == article_id(raw("The ferry sails again.")).encode()
    assert article.received == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)


def test_a_whole_chunk_goes_to_the_step_at_once(run: Run) -> None:
    step = Counting(clean)
    verdicts = run(step, [task(f"text {number}") for number in range(16)])
    assert [text_of(verdict) for verdict in verdicts] == [f"text {number}" for number in range(16)]
    assert step.calls == [16]


def test_no_records_are_no_work(run: Run) -> None:
    step = Counting(clean)
    assert run(step, []) == []
    assert step.calls == []


def test_what_does_not_decode_never_reaches_the_step(run: Run) -> None:
    step = Counting(clean)
    tasks: list[Task] = [
        (b"{", SECONDS),
        task("first"),
        (None, SECONDS),
        (b"", SECONDS),
        task("second"),
        (b'{"publisher": "p.example", "body": "x", "pages": 3}', SECONDS),
        (b"\xff\xfe", SECONDS),
    ]
    verdicts = run(step, tasks)
    assert [text_of(verdict) for verdict in verdicts] == [
        "invalid_json",
        "first",
        "empty",
        "empty",
        "second",
        "invalid_record",
        "invalid_json",
    ]
    assert isinstance(verdicts[5], Failure)
    assert "pages" in verdicts[5].error
    assert step.calls == [2]


def test_a_chunk_of_undecodable_records_is_no_work(run: Run) -> None:
    step = Counting(clean)
    assert [text_of(verdict) for verdict in run(step, [(b"{", SECONDS), (None, SECONDS)])] == [
        "invalid_json",
        "empty",
    ]
    assert step.calls == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e18])
def test_a_time_that_is_none_costs_one_record(run: Run, seconds: float) -> None:
    verdicts = run(Counting(clean), [task("first"), (task("second")[0], seconds), task("third")])
    assert [text_of(verdict) for verdict in verdicts] == ["first", "failed", "third"]


def test_a_step_that_raises_costs_one_record(run: Run) -> None:
    step = Counting(clean_unless_told)
    verdicts = run(step, [task("first"), task("raise"), task("third")])
    assert [text_of(verdict) for verdict in verdicts] == ["first", "failed", "third"]
    assert step.calls[0] == 3
    assert step.calls[1:] == [1, 1, 1]
    failure = verdicts[1]
    assert isinstance(failure, Failure)
    assert failure.error.startswith("KeyError: 'a bug nobody thought of' (")
    assert "test_stage.py:" in failure.error, "where it happened, not where it was caught"


class NoNews(ValueError):
    dead_letter = "no_news"


def test_an_error_may_bring_its_own_word_as_the_reason(run: Run) -> None:
    def refuse(record: Received[RawArticle]) -> CleanArticle:
        raise NoNews("nothing happened")

    assert run(Counting(refuse), [task("text")]) == [Failure("no_news", "nothing happened")]


class Misnamed(ValueError):
    """Some libraries keep on an error, as `reason`, what is no word of ours."""

    def __init__(self, reason: object) -> None:
        super().__init__("the page cannot be read")
        self.reason = reason


@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("utf-8", "\ud83e", 0, 1, "surrogates not allowed"),
        Misnamed(OSError("timed out")),
        Misnamed(None),
    ],
    ids=["text", "no-text", "none"],
)
def test_the_reason_of_a_foreign_error_is_no_word_of_ours(run: Run, error: Exception) -> None:
    def step(record: Received[RawArticle]) -> CleanArticle:
        raise error

    (verdict,) = run(Counting(step), [task("text")])
    assert isinstance(verdict, Failure)
    # What is no text cannot be sent at all: the process would leave, and meet the same record again.
    dead_letter_headers(
        topic="articles-raw",
        partition=0,
        offset=0,
        stage="cleaner",
        reason=verdict.reason,
        error=verdict.error,
        headers=[],
        null=False,
    )
    assert verdict.reason == "failed"
    assert type(error).__name__ in verdict.error


@pytest.mark.parametrize("surplus", [-1, 1])
def test_a_wrong_number_of_results_is_tried_record_by_record(run: Run, surplus: int) -> None:
    """Else each result would stand under another record's offset."""
    calls = []

    def step(records: Sequence[Received[Any]]) -> list[CleanArticle]:
        calls.append(len(records))
        results = [clean(record) for record in records]
        return results if len(records) == 1 else (results * 2)[: len(records) + surplus]

    verdicts = run(step, [task("first"), task("second"), task("third")])
    assert [text_of(verdict) for verdict in verdicts] == ["first", "second", "third"]
    assert calls == [3, 1, 1, 1]


@pytest.mark.parametrize("count", [0, 2])
def test_a_record_that_alone_has_no_single_result_failed(run: Run, count: int) -> None:
    def step(records: Sequence[Received[Any]]) -> list[CleanArticle]:
        return [clean(records[0])] * count

    verdicts = run(step, [task("first"), task("second")] if count == 0 else [task("first")])
    assert {text_of(verdict) for verdict in verdicts} == {"failed"}


def test_a_result_that_is_no_record_failed(run: Run) -> None:
    def step(records: Sequence[Received[Any]]) -> Any:
        return [None if record.article.body == "second" else clean(record) for record in records]

    verdicts = run(step, [task("first"), task("second")])
    assert [text_of(verdict) for verdict in verdicts] == ["first", "failed"]


def test_a_result_above_the_limit_is_a_failure_and_at_the_limit_none(monkeypatch: pytest.MonkeyPatch) -> None:
    article = clean(Received(raw("A text."), datetime.now(UTC)))
    size = len(write_record(article))
    monkeypatch.setattr(stage_module, "MAX_INNER_BYTES", size)
    assert isinstance(_result(article), Result)
    monkeypatch.setattr(stage_module, "MAX_INNER_BYTES", size - 1)
    verdict = _result(article)
    assert isinstance(verdict, Failure)
    assert verdict.reason == "result_too_large"
    assert str(size) in verdict.error


def test_a_child_that_has_loaded_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "_loaded", None)
    with pytest.raises(RuntimeError, match="not loaded"):
        _run_chunk([])


KINDS = {"good": "good text", "raise": "raise", "bytes": None, "large": "large " * 400}
REASONS = {"raise": "failed", "bytes": "invalid_json", "large": "result_too_large"}


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=20))
def test_every_mixture_keeps_its_order(kinds: list[str]) -> None:
    tasks: list[Task] = []
    expected = []
    for number, kind in enumerate(kinds):
        text = KINDS[kind]
        tasks.append((b"{" if text is None else task(f"{text} {number}")[0], SECONDS))
        expected.append(REASONS.get(kind, f"{text} {number}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "_loaded", (STAGE, Counting(clean_unless_told)))
        patch.setattr(stage_module, "MAX_INNER_BYTES", 2_000)
        verdicts = _run_chunk(tasks)
    assert [text_of(verdict) for verdict in verdicts] == expected
    assert pickle.loads(pickle.dumps(verdicts)) == verdicts, "they come from another process"


# ---------------------------------------------------------------- in the parent


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, []),
        ([], []),
        (
            [("trace", b"\xff"), ("trace", b"2"), ("empty", None)],
            [("trace", b"\xff"), ("trace", b"2"), ("empty", b"")],
        ),
        ({"trace": b"1", "empty": None}, [("trace", b"1"), ("empty", b"")]),
        ((("trace", b"1"),), [("trace", b"1")]),
    ],
)
def test_the_headers_of_a_record_are_kept_in_every_form(
    headers: Iterable[Any] | None, expected: list[tuple[str, bytes]]
) -> None:
    assert _headers(SimpleNamespace(headers=headers)) == expected


def test_a_worker_leaves_nothing_in_its_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may be read-only, and it is a checkout where this is developed."""
    monkeypatch.chdir(tmp_path)
    worker = StageWorker(STAGE, StageSettings(kafka_bootstrap_servers="127.0.0.1:1"))
    assert tmp_path not in worker.app.conf.datadir.absolute().parents
