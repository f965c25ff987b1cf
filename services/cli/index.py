"""`newsflow index`: does the index fit this version, and the way to another one while articles come in."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from elasticsearch import ApiError, TransportError
from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.indexer import migration
from services.indexer.copying import Gone, Miscounted, connected
from services.indexer.index import Forbidden, Unavailable
from services.indexer.migration import Done, MigrationSettings, Standing, Stopped, Work
from services.indexer.rebuild import rebuild as rebuild_
from services.indexer.settings import IndexerSettings
from services.runtime.logging import set_up_logging
from services.setup.comparison import Comparison, compare

app = typer.Typer(help="Does the index fit this version, and the way to another one.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]

TELL_SECONDS = 10.0
"""Between two lines on how far it is, where there is no terminal for a bar."""

NEXT = {
    "switched": "{main} is searched now. If all is well: newsflow index finish; if not: newsflow index back.",
    "switched before": "{main} is searched already. newsflow index finish deletes {standby}, newsflow index back "
    "goes back to it.",
    "nothing to do": "{main} is as this version makes it; --force fills a fresh one all the same.",
    "switched back": "{main} is searched again. newsflow index finish deletes {standby}; what filled it switches "
    "to it once more when it is called again.",
    "not switched": "{main} is searched, and {standby} is not yet: there is nothing to go back from.",
    "finished": "{main} is the only index now.",
    "nothing to finish": "{main} is the only index.",
}
"""State -> what is so, and what can be done next."""


@app.command()
def check(json_: JsonOption = False) -> None:
    """What of the index is not as this version would make it, and what to do; exit status 1 if it does not fit."""
    with _work() as work, _told_errors():
        found = compare(work.client, work.settings)
    if json_:
        typer.echo(json.dumps(asdict(found) | {"fits": found.fits}, ensure_ascii=False))
    else:
        _show_comparison(found)
    if not found.fits:
        raise typer.Exit(1)


@app.command()
def migrate(
    force: Annotated[
        bool, typer.Option("--force", help="Fill a fresh index, even though the one that is there fits.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Fill a new index of this version from the one that is searched, compare both, and switch; then search goes on
    in the new one. Ended in the middle, it goes on where it was when it is called again."""
    with _work() as work:
        _run(lambda: migration.migrate(work, force=force), json_)


@app.command()
def back(json_: JsonOption = False) -> None:
    """Search the index from before the switch again; nothing that came since is lost."""
    with _work() as work:
        _run(lambda: migration.back(work), json_)


@app.command()
def finish(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False, json_: JsonOption = False
) -> None:
    """Delete the second index: the one from before a switch, or, with no switch yet, the new one."""
    with _work() as work:
        with _told_errors():
            standing = work.standing()
        if standing.standby is not None and not yes:
            _confirm(work, standing)
        _run(lambda: migration.finish(work, standing), json_)


@app.command()
def rebuild(json_: JsonOption = False) -> None:
    """As migrate, but filled from Kafka: for an index that was lost, or to have articles said as this version does.

    What Kafka no longer has is copied from the index that is searched. Run it with the settings of the indexer.
    """
    indexer = settings_of(IndexerSettings)
    with _work() as work:
        _run(lambda: rebuild_(work, indexer), json_)


# ---------------------------------------------------------------- around the work


@contextmanager
def _work() -> Iterator[Work]:
    settings = settings_of(MigrationSettings)
    set_up_logging("INFO" if settings.log_level == "DEBUG" else settings.log_level, settings.log_format, "index")
    with settings.connect() as client, _Progress() as progress:
        yield Work(connected(client), settings, progress.told)


@contextmanager
def _told_errors() -> Iterator[None]:
    """What goes wrong is told in a line, and what is refused in one each; exit status 1."""
    try:
        yield
    except (Stopped, Miscounted) as error:
        errors.print(f"Stopped: {error}", markup=False)
        for name, why in getattr(error, "refused", {}).items():
            errors.print(shown(f"  {name}: {why}"), soft_wrap=True)
    except Gone as error:
        errors.print(f"Stopped, somebody else deleted an index meanwhile: {error}", markup=False)
    except Forbidden as error:
        errors.print(f"Elasticsearch refuses us: {error}; see docs/migration.md for the rights", markup=False)
    except (Unavailable, ApiError, TransportError, KafkaError) as error:
        errors.print(
            f"Stopped before the end, call it again to go on: {type(error).__name__}: {error}", markup=False
        )
    else:
        return
    raise typer.Exit(1)


def _run(do: Callable[[], Done], json_: bool) -> None:
    with _told_errors():
        done = do()
    if json_:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
    else:
        _show(done)


def _confirm(work: Work, standing: Standing) -> None:
    """Ask whether this index may go; exit status 2 where nobody can be asked."""
    documents = work.client.count(index=standing.standby)["count"]
    if standing.next is not None:
        what = f"{standing.standby} ({documents} documents) is to follow {standing.main} and would be given up"
    else:
        what = f"{standing.standby} ({documents} documents) was searched before {standing.main}: no way back then"
    if not sys.stdin.isatty():
        errors.print(f"{what}: say --yes to delete it", markup=False)
        raise typer.Exit(2)
    typer.confirm(f"{what}. Delete it?", abort=True)


class _Progress:
    """A bar on a terminal, a line now and then where there is none."""

    def __init__(self) -> None:
        bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*bar, console=errors, disable=not errors.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._told = 0.0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def told(self, what: str, done: int, total: int) -> None:
        """See `migration.Told`; a total of 0 is not known."""
        if errors.is_terminal:
            self._bar.start()
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=None)
            self._bar.update(self._tasks[what], completed=done, total=max(done, total) if total else None)
        elif time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            errors.print(f"{what}: {done} of {total or 'as many as there are'}", markup=False, highlight=False)


def _show(done: Done) -> None:
    console = Console(highlight=False)
    for topic, records in done.kafka.items():
        console.print(f"{records} records read from {topic}")
    if done.copy_seconds:
        rate = (done.copied + done.there) / done.copy_seconds
        console.print(f"{done.copied} documents copied, {done.there} were there already; {rate:.0f} documents/s")
    if done.rounds:
        looked = sum(each.documents for each in done.rounds)
        mended = sum(each.lasting for each in done.rounds)
        console.print(
            f"{done.rounds[-1].first} and {done.rounds[-1].second} documents compared in {len(done.rounds)} "
            f"rounds, {mended} brought in line; {looked / max(0.001, done.compare_seconds):.0f} documents/s"
        )
    if done.late:
        console.print(f"{done.late} documents came late, and were brought over after the switch")
    _show_refused(done, console)
    console.print(shown(NEXT[done.state].format(main=done.main, standby=done.standby)))


def _show_refused(done: Done, console: Console) -> None:
    if done.refused_records:
        console.print(f"{done.refused_records} records of Kafka are refused, as they were before:")
    for name, error in done.refused.items():
        console.print(shown(f"  {name}: {error}"))


def _show_comparison(found: Comparison) -> None:
    console = Console(highlight=False)
    if found.index is not None:
        console.print(
            shown(
                f"{found.index}: {found.documents} documents, mapping {found.version}; this version makes "
                f"{found.shipped_version}"
            )
        )
    table = Table("field", "is", "as shipped", "what to do")
    for each in found.differences:
        is_, shipped = (json.dumps(part, ensure_ascii=False) for part in (each.running, each.shipped))
        table.add_row(*(shown(part) for part in (each.field, is_, shipped, each.todo)))
    console.print(table if found.differences else "It is as this version makes it.")
