from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaConnectionError, KafkaError
from pebble import ProcessExpired

from schemas.article import CleanArticle, Paragraph, RawArticle
from schemas.dead_letter import dead_letter_headers
from schemas.identity import article_id
from schemas.reading import read_record, write_record
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
from services.runtime import stage as stage_module
from services.runtime import step as step_module
from services.runtime.child import limit_memory
from services.runtime.processes import ChildProcesses
from services.runtime.remembering import Record
from services.runtime.settings import StageSettings
from services.runtime.stage import StageWorker, _record, _waves
from services.runtime.step import (
    EXIT_MEMORY,
    Failure,
    Received,
    Result,
    Stage,
    Step,
    Task,
    Verdict,
    _result,
    run_chunk,
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
        monkeypatch.setattr(step_module, "_loaded", (STAGE, step))
        return run_chunk(tasks)

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
    monkeypatch.setattr(step_module, "MAX_INNER_BYTES", size)
    assert isinstance(_result(STAGE, article), Result)
    monkeypatch.setattr(step_module, "MAX_INNER_BYTES", size - 1)
    verdict = _result(STAGE, article)
    assert isinstance(verdict, Failure)
    assert verdict.reason == "result_too_large"
    assert str(size) in verdict.error


def test_a_child_that_has_loaded_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "_loaded", None)
    with pytest.raises(RuntimeError, match="not loaded"):
        run_chunk([])


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
        patch.setattr(step_module, "_loaded", (STAGE, Counting(clean_unless_told)))
        patch.setattr(step_module, "MAX_INNER_BYTES", 2_000)
        verdicts = run_chunk(tasks)
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
    message = SimpleNamespace(
        topic="articles-raw", partition=0, offset=0, key=b"", value=b"", timestamp=SECONDS, headers=headers
    )
    assert _record(message).headers == expected


def test_a_worker_leaves_nothing_in_its_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may be read-only, and it is a checkout where this is developed."""
    monkeypatch.chdir(tmp_path)
    worker = StageWorker(STAGE, StageSettings(kafka_bootstrap_servers="127.0.0.1:1"))
    assert tmp_path not in worker.app.conf.datadir.absolute().parents


# ---------------------------------------------------------------- memory


class Ended(BaseException):
    """Stands for the end of the child process, which a test cannot have."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)


class LogOfErrors(Exception):
    """An error of the kind that lxml raises: what was missing stands in a log, by libxml2's number."""

    def __init__(self, number: int) -> None:
        super().__init__("unknown error")
        self.error_log = [SimpleNamespace(type=513), SimpleNamespace(type=number)]


def raise_from(error: Exception) -> CleanArticle:
    """What is said of a failure by code that caught the first error."""
    try:
        raise error
    except Exception as cause:
        raise NoNews("nothing was found") from cause


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    "error", [MemoryError(), LogOfErrors(2), LogOfErrors(1215)], ids=["python", "tree", "xpath"]
)
@pytest.mark.parametrize("caught", [False, True], ids=["plain", "caught"])
def test_a_step_without_memory_ends_its_process(run: Run, error: Exception, caught: bool) -> None:
    def step(record: Received[RawArticle]) -> CleanArticle:
        if caught:
            return raise_from(error)
        raise error

    with pytest.raises(Ended, match=str(EXIT_MEMORY)):
        run(Counting(step), [task("text"), task("text")])


@pytest.mark.usefixtures("ended")
def test_a_record_without_memory_to_decode_ends_its_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(step_module, "read_record", read)
    with pytest.raises(Ended, match=str(EXIT_MEMORY)):
        run(Counting(clean), [task("text")])


class ItsOwnCause(Exception):
    """An error that was raised from itself, with a log that is none."""

    error_log = 2

    def __init__(self) -> None:
        super().__init__("all is as it was")
        self.__cause__ = self


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    "error", [ItsOwnCause(), LogOfErrors(513), Misnamed(None), OSError(12, "Cannot allocate memory: not ours")]
)
def test_any_other_error_ends_no_process(run: Run, error: Exception) -> None:
    def step(record: Received[RawArticle]) -> CleanArticle:
        raise error

    assert [text_of(verdict) for verdict in run(Counting(step), [task("text")])] == ["failed"]


class Pool:
    """A pool of child processes that end as told: the exit status for each chunk by its number of records."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = iter(statuses)
        self.sizes: list[int] = []

    def schedule(self, function: object, args: list[Any], timeout: float) -> Future[list[Verdict]]:
        self.sizes.append(len(args[0]))
        status = next(self.statuses)
        future: Future[list[Verdict]] = Future()
        if status is None:
            future.set_result([Result(b"key", b"value")] * len(args[0]))
        else:
            future.set_exception(ProcessExpired("ended", code=status))  # type: ignore[no-untyped-call]
        return future


def verdicts_of(pool: Pool, count: int) -> list[str]:
    """The reasons, `result` where there is none, that child processes of this pool have for a chunk of `count`."""
    children = object.__new__(ChildProcesses)
    children.stage = STAGE
    children.settings = StageSettings(kafka_bootstrap_servers="-", child_memory_mb=512)
    children.pool = pool  # type: ignore[assignment]
    children.progress = lambda: None
    verdicts = asyncio.run(children.run([task("text")] * count))
    return [verdict.reason if isinstance(verdict, Failure) else "result" for verdict in verdicts]


def test_a_record_without_memory_costs_its_neighbours_nothing() -> None:
    pool = Pool(EXIT_MEMORY, None, EXIT_MEMORY, None)
    assert verdicts_of(pool, 3) == ["result", "memory", "result"]
    assert pool.sizes == [3, 1, 1, 1]


def test_a_record_alone_is_tried_in_an_empty_process_before_it_is_called_too_large() -> None:
    assert verdicts_of(Pool(EXIT_MEMORY, None), 1) == ["result"]
    assert verdicts_of(Pool(EXIT_MEMORY, EXIT_MEMORY), 1) == ["memory"]


def test_a_process_that_was_killed_crashed() -> None:
    pool = Pool(-9)
    assert verdicts_of(pool, 1) == ["crashed"]
    assert pool.sizes == [1], "once is enough: it may bring the machine down"


def in_a_process(work: Callable[..., Any], *given: object) -> Any:
    """What `work` returns in a process of its own: a limit holds for the rest of a process's life."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result(timeout=60)


def _fill(limit: int, megabytes: int) -> bool:
    limit_memory(limit)
    try:
        held = [bytearray(2**20) for _ in range(megabytes)]
    except MemoryError:
        return False
    return len(held) == megabytes


def _limits(system: str) -> bool:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    sys.platform = system
    limit_memory(64)
    return resource.getrlimit(resource.RLIMIT_DATA) != before


@pytest.mark.skipif(sys.platform != "linux", reason="no other system holds the limit")
@pytest.mark.parametrize(("limit", "fits"), [(64, False), (512, True), (0, True)])
def test_a_child_process_may_add_so_much_memory(limit: int, fits: bool) -> None:
    assert in_a_process(_fill, limit, 200) is fits


@pytest.mark.skipif(sys.platform != "linux", reason="no other system holds the limit")
@pytest.mark.parametrize(("system", "limited"), [("linux", True), ("darwin", False)])
def test_a_system_that_holds_no_limit_is_given_none(system: str, limited: bool) -> None:
    assert in_a_process(_limits, system) is limited


def _limits_of_a_child(megabytes: int) -> int:
    def load(_: StageSettings) -> Step:
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY, "a model is no document"
        return Counting(clean)

    stage = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load)
    step_module.start_child(stage, StageSettings(kafka_bootstrap_servers="-", child_memory_mb=megabytes))
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system holds the limit")
def test_the_limit_is_set_once_the_step_is_loaded() -> None:
    assert in_a_process(_limits_of_a_child, 0) == resource.RLIM_INFINITY
    assert in_a_process(_limits_of_a_child, 64) > 64 * 2**20


# ---------------------------------------------------------------- recycling


@pytest.mark.parametrize(
    ("records", "chunk", "chunks"), [(0, 16, 0), (1, 16, 1), (16, 16, 1), (17, 16, 2), (8000, 16, 500), (5, 1, 5)]
)
def test_a_child_process_is_replaced_after_whole_chunks(records: int, chunk: int, chunks: int) -> None:
    settings = StageSettings(kafka_bootstrap_servers="-", child_max_records=records, chunk_records=chunk)
    assert settings.child_chunks == chunks


def test_records_of_one_key_are_worked_on_one_after_the_other() -> None:
    """Else the later of two results with one revision could be delivered first."""
    keys = [b"a", b"b", b"a", None, b"a", None, b"c"]
    records = [Record("t", 0, number, key, b"", 0.0, []) for number, key in enumerate(keys)]
    assert [[each.offset for each in wave] for wave in _waves(records)] == [[0, 1, 3, 5, 6], [2], [4]]


# ---------------------------------------------------------------- topics


class Admin:
    """Stands for Kafka's admin client: what it knows at each look, or the error of one."""

    looks: list[set[str] | KafkaError]

    def __init__(self, **_: object) -> None:
        """Nothing is connected."""

    def close(self) -> None:
        """Nothing is open."""

    def describe_topics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, KafkaError):
            raise look
        return [{"name": name, "partitions": [0] if name in look else []} for name in names]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> StageWorker:
    monkeypatch.setattr(stage_module, "KafkaAdminClient", Admin)
    monkeypatch.setattr(stage_module, "TOPICS_SECONDS", 0)
    return StageWorker(STAGE, StageSettings(kafka_bootstrap_servers="127.0.0.1:1", stall_limit_seconds=5))


def test_a_stage_waits_for_kafka_and_for_all_of_its_topics(
    worker: StageWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"articles-raw", "articles-clean", "articles-dlq"}
    looks: list[set[str] | KafkaError] = [KafkaConnectionError(), set(), every - {"articles-clean"}, every, set()]
    monkeypatch.setattr(Admin, "looks", looks, raising=False)
    worker._wait_for_topics()
    assert looks == [set()], "it looked until all were there, and no more"


def test_a_topic_that_never_comes_is_left_to_the_watchdog(
    worker: StageWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admin, "looks", [{"articles-raw"}], raising=False)
    times = iter(range(100))
    monkeypatch.setattr(stage_module, "time", SimpleNamespace(monotonic=lambda: next(times), sleep=lambda _: None))
    worker._wait_for_topics()
    assert next(times) < 20
