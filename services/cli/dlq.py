"""`newsflow dlq`: look at dead letters, publish them again, or give them up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from schemas.article import in_utc
from schemas.dead_letter import HEADERS_CUT, PREFIX, PURGED, REPLAYED, replay_headers
from schemas.reading import Refused, no_key_twice
from schemas.topics import ARTICLES_DLQ, MAX_INNER_BYTES, TOPICS
from services.cli.addresses import errors, settings_of
from services.cli.kafka_admin import DeadRecord, Waiting, records_of, shrink, waiting
from services.cli.terminal import shown
from services.runtime.confirmed import abandon, confirming_producer
from services.runtime.settings import ServiceSettings

app = typer.Typer(help="Look at dead letters, publish them again, or give them up.", no_args_is_help=True)

WINDOW_RECORDS = 200
"""Records that are sent before the first of them is waited for."""

WINDOW_BYTES = 16 * 1024 * 1024
"""Of their values together, about: they are held in memory until all are confirmed."""

CONFIRM_SECONDS = 60.0
"""For a window to be confirmed by Kafka."""

CLOSE_SECONDS = 10.0
"""For the client to end, with nothing in hand."""

SHOWN_HEADER = 200
"""Characters of a header's value that are shown."""

FEWEST_LINES = 10
"""Of a value, on a terminal however low it is."""

LINES_OF_HEADERS = 20
"""About so many stand above the value."""

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="As `dlq list` prints them.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", metavar="STAGE", help="Only those of this stage.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help="Only for this reason.")]
Publishers = Annotated[
    list[str] | None,
    typer.Option("--publisher", metavar="NAME", help="Only of this publisher, where the value tells it."),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Only those that failed at this time or later; ISO 8601, UTC without a zone."
    ),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only those that failed before this time.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant; of several values of one kind any, of several kinds all."""

    stages: frozenset[str]
    reasons: frozenset[str]
    publishers: frozenset[str]
    since: datetime | None
    until: datetime | None

    @classmethod
    def of(
        cls,
        stages: list[str] | None,
        reasons: list[str] | None,
        publishers: list[str] | None,
        since: str | None,
        until: str | None,
    ) -> Filter:
        """The filter of these options; exit status 2 for what is no time."""
        return cls(
            frozenset(stages or ()),
            frozenset(reasons or ()),
            frozenset(publishers or ()),
            _time("--since", since),
            _time("--until", until),
        )

    @property
    def any(self) -> bool:
        """Whether it leaves anything out."""
        return self != NO_FILTER

    def takes(self, each: Waiting) -> bool:
        """Whether this dead letter is meant."""
        letter = each.letter
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.publishers or each.publisher in self.publishers)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
        )


NO_FILTER = Filter(frozenset(), frozenset(), frozenset(), None, None)


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time in ISO 8601, such as 2026-01-31 or 2026-01-31T08:00:00Z", param_hint=option
        ) from None


# ---------------------------------------------------------------- list


@app.command("list")
def list_(
    stage: Stages = None,
    reason: Reasons = None,
    publisher: Publishers = None,
    since: Since = None,
    until: Until = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The dead letters: where each failed, and why."""
    chosen = Filter.of(stage, reason, publisher, since, until)
    found = _waiting(settings_of(ServiceSettings), chosen.takes)
    if json_:
        for each in found:
            typer.echo(json.dumps(_fields(each), ensure_ascii=False))
        return
    table = Table()
    for heading in ("id", "stage", "reason", "publisher", "error", "time", "attempt"):
        # An id that was cut short could not be copied.
        table.add_column(heading, overflow="fold", min_width=20 if heading == "id" else None)
    for each in found:
        letter = each.letter
        time_ = letter.time.isoformat(timespec="seconds")
        row = (letter.id, letter.stage, letter.reason, each.publisher or "", letter.error, time_, letter.attempt)
        table.add_row(*(shown(cell) for cell in row))
    Console().print(table)


def _fields(each: Waiting) -> dict[str, Any]:
    return {**each.letter.model_dump(mode="json"), "publisher": each.publisher}


# ---------------------------------------------------------------- show


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the original bytes, unchanged.")] = False,
    json_: Json = False,
) -> None:
    """One dead letter: where it came from, why it failed, its headers and its value."""
    if raw and json_:
        raise typer.BadParameter("give --raw or --json, not both")
    settings = settings_of(ServiceSettings)
    (each,) = _with_ids(settings, [id_])
    record = next(_records_of(settings, [each]), None)
    if record is None:
        errors.print(f"The dead letter {id_} was replayed or purged just now", markup=False)
        raise typer.Exit(1)
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        sys.stdout.buffer.flush()
        return
    own = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    if json_:
        headers = [{"name": name, "value": _text(value)} for name, value in own]
        about = {"key": _text(record.key), "headers": headers, "value": _text(record.value)}
        typer.echo(json.dumps(_fields(each) | about, ensure_ascii=False))
    else:
        _show(each, record, own)


def _show(each: Waiting, record: DeadRecord, own: Sequence[tuple[str, bytes]]) -> None:
    console = Console()
    letter = each.letter
    stored = (
        datetime.fromtimestamp(letter.timestamp / 1000, UTC).isoformat() if letter.timestamp >= 0 else "not known"
    )
    lines = {
        **letter.model_dump(mode="json", exclude={"timestamp"}),
        "stored": stored,
        "publisher": each.publisher or "not known",
        "key": _beginning(record.key),
    }
    if cut := dict(record.headers).get(HEADERS_CUT):
        lines["headers"] = f"{_text(cut)} more had no room here"
    for name, said in lines.items():
        console.print(shown(f"{name}: {said}"), highlight=False, soft_wrap=True)
    for name, value in own:
        console.print(shown(f"header {name[:SHOWN_HEADER]}: {_beginning(value)}"), highlight=False, soft_wrap=True)
    text, left = _bounded("null" if record.value is None else _pretty(record.value), console)
    console.print(shown(f"\n{text}"), highlight=False, soft_wrap=True)
    if left:
        console.print(f"… and {left:,} more characters: --raw writes all", highlight=False, soft_wrap=True)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _beginning(value: bytes | None) -> str:
    text = _text(value)
    if text is None:
        return "none"
    return text if len(text) <= SHOWN_HEADER else f"{text[:SHOWN_HEADER]}… ({len(value or b'')} bytes)"


def _pretty(value: bytes) -> str:
    """JSON with its parts below each other; anything else, and JSON that would lose by it, as it stands."""
    try:
        # Two equal keys, or another encoding, may be the very thing that is wrong with it.
        parsed = json.loads(value.decode(), object_pairs_hook=no_key_twice)
        text = json.dumps(parsed, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError, Refused):
        return _text(value) or ""
    return text.encode("utf-8", "backslashreplace").decode()


def _bounded(text: str, console: Console) -> tuple[str, int]:
    """What of it fits on the terminal, and how many characters are left out; all of it where there is none."""
    if not console.is_terminal:
        return text, 0
    rows = max(FEWEST_LINES, console.height - LINES_OF_HEADERS)
    end = 0
    for line in text.split("\n"):
        needed = max(1, -(-len(line) // console.width))
        if needed > rows:
            end += rows * console.width
            break
        rows -= needed
        end += len(line) + 1
    return text[:end].rstrip("\n"), max(0, len(text) - end)


# ---------------------------------------------------------------- replay and purge


@app.command()
def replay(
    ids: Ids = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    stage: Stages = None,
    reason: Reasons = None,
    publisher: Publishers = None,
    since: Since = None,
    until: Until = None,
    json_: Json = False,
) -> None:
    """Publish dead letters again where they failed; one that fails again comes back with its attempt counted.

    They keep the time at which Kafka stored them first: a correction that came in meanwhile stays. Exit status 1
    when one could not be published.
    """
    meant = _meant(ids, all_, Filter.of(stage, reason, publisher, since, until))
    settings = settings_of(ServiceSettings)
    chosen = _with_ids(settings, ids) if ids else _waiting(settings, meant.takes)
    done = _close(settings, chosen, REPLAYED)
    failed = len(chosen) - done
    said = f"{done} dead letters published again, {failed} not"
    typer.echo(json.dumps({"replayed": done, "failed": failed}) if json_ else said)
    if failed:
        raise typer.Exit(1)


@app.command()
def purge(
    ids: Ids = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    stage: Stages = None,
    reason: Reasons = None,
    publisher: Publishers = None,
    since: Since = None,
    until: Until = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Give dead letters up: nothing brings them back. Asks before that, on a terminal; elsewhere it needs --yes."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on: give --yes", param_hint="--yes")
    meant = _meant(ids, all_, Filter.of(stage, reason, publisher, since, until))
    settings = settings_of(ServiceSettings)
    chosen = _with_ids(settings, ids) if ids else _waiting(settings, meant.takes)
    if chosen and not yes and not _confirmed(f"Give up {len(chosen)} dead letters for good? [y/N] "):
        errors.print("None was given up")
        raise typer.Exit(1)
    done = _close(settings, chosen, PURGED)
    failed = len(chosen) - done
    said = f"{done} dead letters given up, {failed} not"
    typer.echo(json.dumps({"purged": done, "failed": failed}) if json_ else said)
    if failed:
        raise typer.Exit(1)


def _confirmed(question: str) -> bool:
    # typer's own question writes a space to standard output, where nothing but JSON may stand.
    errors.print(question, end="", markup=False, highlight=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _close(settings: ServiceSettings, chosen: Sequence[Waiting], marker: str) -> int:
    """Close these dead letters, and shrink the queue; returns how many were closed.

    What Kafka refuses is told, and is in no other's way. Where it does not answer in time, the rest is not tried.
    """
    if not chosen:
        return 0
    # Compressed, as the services send: a value at the limit of its topic had else no room for its headers.
    producer = confirming_producer(settings, MAX_INNER_BYTES, compression_type="lz4")
    letters: Iterable[Waiting | DeadRecord] = _records_of(settings, chosen) if marker == REPLAYED else chosen
    closing = Closing(settings, producer, marker)
    bar = (TextColumn("dead letters"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("dlq", total=len(chosen))
        for window in _windows(letters):
            closing.close(window)
            progress.advance(task, len(window))
            if closing.silent:
                errors.print("Kafka did not answer in time: the rest was not tried")
                break
    if closing.silent:
        abandon(producer)
    else:
        producer.close(timeout=CLOSE_SECONDS)
        _shrink(settings)
    return closing.done


@dataclass
class Closing:
    """Closes dead letters window by window: all their records are confirmed by Kafka, then all their markers.

    Killed between the two, they stay and are published twice, which ids and versions make harmless.
    """

    settings: ServiceSettings
    producer: KafkaProducer
    marker: str
    done: int = 0
    silent: bool = False

    def close(self, window: Sequence[Waiting | DeadRecord]) -> None:
        """Count those that are closed in `done`; set `silent` where Kafka did not answer in time."""
        published = self._confirmed(window, self._publish)
        self.done += len(self._confirmed(published, self._mark))

    def _confirmed(
        self, window: Sequence[Waiting | DeadRecord], send: Callable[[Any], Any]
    ) -> list[Waiting | DeadRecord]:
        sent, confirmed = [], []
        for each in window:
            try:
                sent.append((each, send(each)))
            except (KafkaError, ValueError) as error:
                self._failed(each, error)
                if self.silent:
                    break
        end = time.monotonic() + CONFIRM_SECONDS
        for each, future in sent:
            try:
                if future is not None:
                    future.get(timeout=max(0.0, end - time.monotonic()))
                confirmed.append(each)
            except KafkaError as error:
                self._failed(each, error)
        return confirmed

    def _failed(self, each: Waiting | DeadRecord, error: Exception) -> None:
        self.silent |= isinstance(error, KafkaTimeoutError)
        errors.print(shown(f"not closed: {each.letter.id}: {type(error).__name__}: {error}"))

    def _publish(self, each: Waiting | DeadRecord) -> Any:
        if not isinstance(each, DeadRecord):
            return None  # it is given up
        letter = each.letter
        # Whoever may write into the queue may name any topic; Kafka might make it.
        if letter.topic not in {self.settings.name(topic.name) for topic in TOPICS if topic is not ARTICLES_DLQ}:
            raise ValueError(f"{letter.topic} is no topic of this pipeline")
        # Not all topics are partitioned by the key, and of those that are not every client does it alike.
        return self.producer.send(
            letter.topic,
            key=each.key or letter.id.encode(),
            value=each.value,
            headers=replay_headers(each.headers),
            partition=letter.partition,
        )

    def _mark(self, each: Waiting | DeadRecord) -> Any:
        return self.producer.send(
            self.settings.name(ARTICLES_DLQ.name),
            key=each.key or each.letter.id.encode(),
            value=b"",
            headers=[(self.marker, each.letter.id.encode())],
        )


def _windows(letters: Iterable[Waiting | DeadRecord]) -> Iterator[list[Waiting | DeadRecord]]:
    window: list[Waiting | DeadRecord] = []
    size = 0
    for each in letters:
        window.append(each)
        size += len(each.value or b"") if isinstance(each, DeadRecord) else 0
        if len(window) == WINDOW_RECORDS or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _shrink(settings: ServiceSettings) -> None:
    try:
        shrink(settings)
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(shown(f"The queue was not shrunk: {type(error).__name__}: {error}"))


# ---------------------------------------------------------------- which


def _meant(ids: list[str] | None, all_: bool, chosen: Filter) -> Filter:
    if bool(ids) == (all_ or chosen.any):
        raise typer.BadParameter("give ids, or --all, or which ones by --stage, --reason and so on")
    return chosen


def _with_ids(settings: ServiceSettings, ids: Sequence[str]) -> list[Waiting]:
    asked = set(ids)
    found = _waiting(settings, lambda each: each.letter.id in asked)
    unknown = asked - {each.letter.id for each in found}
    if unknown:
        errors.print(shown(f"There is no dead letter {', '.join(sorted(unknown))}: see `newsflow dlq list`"))
        raise typer.Exit(1)
    return found


def _waiting(settings: ServiceSettings, wanted: Callable[[Waiting], bool]) -> list[Waiting]:
    try:
        return waiting(settings, wanted)
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(shown(f"The dead letters cannot be read: {error}"))
        raise typer.Exit(1) from None


def _records_of(settings: ServiceSettings, chosen: Sequence[Waiting]) -> Iterator[DeadRecord]:
    """With their values, as far as they can be read."""
    try:
        yield from records_of(settings, chosen)
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(shown(f"The dead letters cannot be read: {error}"))
