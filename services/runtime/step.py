"""What a stage is, and how its child processes work: without Faust, which only the parent process needs.

Of the rules of services/runtime/stage.py, those that are kept in a child process stand here, marked as there.
"""

from __future__ import annotations

import base64
import gc
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import structlog
from pydantic import BaseModel

from schemas.cloudevents import Header, unwrap
from schemas.reading import Refused, read_record, write_record
from schemas.topics import ARTICLES_RAW, MAX_INNER_BYTES, Topic, publisher_partition
from services.runtime.child import end_with_parent, limit_memory, parent_pid
from services.runtime.logging import set_up_logging
from services.runtime.settings import StageSettings

if TYPE_CHECKING:
    from services.runtime.remembering import Remembering

log = structlog.get_logger(__name__)

EXIT_MEMORY = 71
"""Exit status of a child process that may have no more memory (EX_OSERR of sysexits.h)."""

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)


@dataclass(frozen=True)
class Received(Generic[In]):
    """A decoded record and the time at which Kafka stored it."""

    article: In
    time: datetime


@dataclass(frozen=True)
class Noted:
    """A result, and what the stage's memory is to be told about it."""

    article: BaseModel
    note: Any


Step = Callable[[Sequence[Received[Any]]], Sequence[BaseModel | Noted]]
"""A pure function from records to as many results, in the same order. What it raises about a chunk is tried
again record by record; what it raises about one record becomes that record's dead letter."""


@dataclass(frozen=True)
class Stage:
    """A step between two topics.

    `load_step` is a module-level function, called once in the process that the child processes are forked from, or
    else in each of them. It imports its libraries itself: the parent process needs none of them.
    """

    name: str
    source: Topic
    target: Topic
    load_step: Callable[[Any], Step]
    remembering: Remembering | None = None
    """For a stage whose results depend on earlier records of the same partition; its step returns `Noted`."""
    outcome: Callable[[Any], str] | None = None
    """What became of a result, in a word: counted by language in `newsflow_outcomes_total`."""
    tombstones: Topic | None = None
    """Where it is told that an article was taken out: by a record without a value, whose key is the article id.
    For a stage that remembers nothing."""


@dataclass(frozen=True)
class Result:
    """What a record became on the target topic; its partition is given where the key does not pick it."""

    key: bytes
    value: bytes
    partition: int | None = None
    note: Any = None
    outcome: tuple[str, str] | None = None
    """Language and what became of it, for the metric."""
    tombstone: bool = False
    """It goes to the stage's `tombstones`, not to its target."""


@dataclass(frozen=True)
class Failure:
    """Why a record became nothing."""

    reason: str
    error: str


Verdict = Result | Failure
Task = tuple[bytes | None, float, *tuple[Header, ...]]
"""What a child process is given of a record: its value, its Kafka timestamp in seconds, and behind these those of
its headers that say how its article is packed."""

PRELOAD = "NEWSFLOW_PRELOAD"
"""Environment variable by which the fork server gets the process id of its parent, and the stage with its
settings: its only argument is a module."""

_preloaded: tuple[Stage, StageSettings, Step] | None = None
"""What the fork server has loaded, inherited by this process."""

_fork_server: int | None = None
"""The process id of the fork server, in it and in what it forks."""

_loaded: tuple[Stage, Step] | None = None
"""The step of this child process, loaded once (a model takes seconds); None in the parent."""


def preload() -> None:
    """In the fork server: load the step, so that the child processes share it.

    What goes wrong here goes wrong again in the child processes, which load it themselves then, and is reported
    there.
    """
    global _preloaded, _fork_server  # noqa: PLW0603 - as `_loaded`
    _fork_server = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    parent, pickled = os.environ[PRELOAD].split()  # noqa: TID251 - not a setting
    end_with_parent(int(parent))  # Rule 6: by itself it would wait for a child that hangs
    # Not a setting: numpy's threads would not outlive the fork, and one is faster (tagger/spacy_model.py).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251
    try:
        stage, settings = pickle.loads(base64.b64decode(pickled))  # noqa: S301 - our own parent's
        set_up_logging(settings.log_level, settings.log_format, stage.name)
        gc.disable()  # nothing of a step that loads is garbage
        _preloaded = (stage, settings, stage.load_step(settings))
    except Exception as error:  # noqa: BLE001 - whatever a step raises
        log.warning("the step is not preloaded", error=f"{type(error).__name__}: {error}")
    gc.freeze()  # what the collector does not touch stays one copy for all processes
    gc.enable()


def start_child(stage: Stage, settings: StageSettings) -> None:
    """In a child process, before its first chunk: load the step, unless the fork server has."""
    global _loaded  # noqa: PLW0603 - a pool has no other place for what its children load
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent(_fork_server or parent_pid())  # Rule 6: a killed parent can end no process
    set_up_logging(settings.log_level, settings.log_format, stage.name)
    is_preloaded = _preloaded is not None and _preloaded[:2] == (stage, settings)
    _loaded = (stage, _preloaded[2] if _preloaded and is_preloaded else stage.load_step(settings))
    gc.freeze()  # a model is a million objects that live as long as the process: not to be looked through again
    limit_memory(settings.child_memory_mb)  # Rule 6


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory is what was missing. lxml says so in its log of errors, and not by the class of the error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may be its own cause
        seen.add(id(error))
        entries = getattr(error, "error_log", None)
        numbers = [getattr(each, "type", None) for each in entries] if isinstance(entries, Iterable) else []
        if isinstance(error, MemoryError) or not _NO_MEMORY.isdisjoint(numbers):
            return True
        error = error.__cause__ or error.__context__
    return False


_NO_MEMORY = frozenset({2, 1215})
"""XML_ERR_NO_MEMORY and XPATH_MEMORY_ERROR of libxml2, which not every stage has at hand."""


def _end_full_process() -> NoReturn:
    """Nothing that this process still holds can be told from what the record needed: the next one starts empty."""
    os._exit(EXIT_MEMORY)


def run_chunk(tasks: Sequence[Task]) -> list[Verdict]:
    """A verdict for each task, in order; never raises for what a record holds.

    Where memory runs out it does not return: the process ends with `EXIT_MEMORY`.
    """
    if _loaded is None:
        raise RuntimeError("the child process has not loaded its step")
    stage, step = _loaded
    verdicts: dict[int, Verdict] = {}
    records: dict[int, Received[Any]] = {}
    for index, (value, seconds, *headers) in enumerate(tasks):
        try:  # Rule 1: the bytes are decoded here, where a failure is one record's verdict.
            article = read_record(stage.source, unwrap(value, headers) if stage.source == ARTICLES_RAW else value)
            records[index] = Received(article, datetime.fromtimestamp(seconds, UTC))
        except Refused as refused:
            verdicts[index] = Failure(refused.reason, refused.error)
        except Exception as error:  # noqa: BLE001 - Rule 2
            if _out_of_memory(error):
                _end_full_process()
            verdicts[index] = failed(error)
    verdicts |= _run_step(stage, step, records)
    return [verdicts[index] for index in range(len(tasks))]


def _run_step(stage: Stage, step: Step, records: dict[int, Received[Any]]) -> dict[int, Verdict]:
    if not records:
        return {}
    try:
        results = step(list(records.values()))
        return {index: _result(stage, result) for index, result in zip(records, results, strict=True)}
    except Exception as error:  # noqa: BLE001 - Rule 2: whatever a step raises is a verdict
        if _out_of_memory(error):
            _end_full_process()
        if len(records) == 1:
            return {index: failed(error) for index in records}
    alone = [_run_step(stage, step, {index: record}) for index, record in records.items()]
    return {index: verdict for verdicts in alone for index, verdict in verdicts.items()}


def _result(stage: Stage, result: Any) -> Verdict:
    noted = result if isinstance(result, Noted) else Noted(result, None)
    article: Any = noted.article
    value = write_record(article)
    if len(value) > MAX_INNER_BYTES:
        return Failure("result_too_large", f"the result has {len(value)} bytes, over {MAX_INNER_BYTES}")
    by_publisher = stage.target.partition_by == "publisher"
    partition = publisher_partition(article.publisher, stage.target.partitions) if by_publisher else None
    outcome = (_subtag(article.language), stage.outcome(article)) if stage.outcome else None
    return Result(article.id.encode(), value, partition, noted.note, outcome)


def _subtag(language: str) -> str:
    """The primary subtag of a language, as a label of a metric: whatever producers state, there are not many."""
    subtag = language.split("-", maxsplit=1)[0].lower()
    return subtag if len(subtag) <= LONGEST_CODE else "other"


LONGEST_CODE = 3
"""Letters of a language's code in ISO 639."""


def failed(error: Exception) -> Failure:
    """What an error of a step is to its record."""
    # An error of a step that has a reason of its own is a verdict on the article, not a bug.
    reason: str | None = getattr(error, "dead_letter", None)
    if reason is not None:
        return Failure(reason, str(error))
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})" if place else ""
    return Failure("failed", f"{type(error).__name__}: {error}{where}")
