"""`newsflow produce`: send the articles of a source to Kafka, each one confirmed."""

from __future__ import annotations

import inspect
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import typer
from kafka.errors import KafkaError
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from typer.core import TyperGroup

from schemas.article import Name, in_utc
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.producer.app import Report, SourceRun
from services.producer.plugins import Installed, find_source, installed_sources, problems_of, source_names
from services.producer.settings import ProducerSettings
from services.producer.source import IS_POSITIONAL, Run
from services.producer.store import read_states
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging

NOTE_SECONDS = 30.0
"""Between two lines that say how far a run is, where no terminal shows a bar."""

NAMED_ON_TERMINAL = 50
"""Articles not sent that are named on standard error; `--json` names more."""


class Sources(TyperGroup):
    """The sources as sub-commands, found when they are called, so that no other one is loaded."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as typer calls it
        """Their names; standard input goes by `-`."""
        return [name for name in source_names() if name != STDIN_NAME] + [STDIN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one source; exit status 2 where it is unknown. One that is left out says why."""
        found = find_source(STDIN_NAME if cmd_name == STDIN else cmd_name)
        if found is None:
            names = ", ".join(self.list_commands(ctx))
            raise typer.BadParameter(f"there is no source {cmd_name!r}; known are {names}", ctx=ctx)
        if found.source is None:
            # Whatever it is called with: the help of all sources asks for this one, too.
            return _command(cmd_name, _unusable(found), found.summary, any_arguments=True)
        return _command(cmd_name, _verb_of(cmd_name, found), inspect.getdoc(found.source))


STDIN = "-"
STDIN_NAME = "stdin"
"""The name of standard input as an entry point."""

app = typer.Typer(
    cls=Sources,
    help="Send the articles of a source to Kafka, each one confirmed. `newsflow produce SOURCE --help` has its "
    "settings; exit status 1, and a list, when not every article was sent.",
)


@app.callback(invoke_without_command=True)
def produce(
    ctx: typer.Context,
    list_: Annotated[bool, typer.Option("--list", help="The installed sources, and those left out.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="With --list: one JSON object a source.")] = False,
) -> None:
    """List the sources, or go on to the one that is called."""
    if ctx.invoked_subcommand:
        return
    if not list_:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)
    found = installed_sources()
    if json_:
        for each in found:
            typer.echo(json.dumps(_described(each), ensure_ascii=False))
        return
    table = Table("source", "of", "")
    for each in found:
        table.add_row(each.name, shown(each.distribution), shown(each.summary))
    Console().print(table)
    for problem in problems_of(found):
        errors.print(problem, markup=False, highlight=False)


def check_publisher(publisher: str) -> None:
    """Exit status 2 when the option's value is no name that the contract takes."""
    try:
        TypeAdapter(Name).validate_python(publisher)
    except ValidationError as error:
        raise typer.BadParameter(f"publisher: {error.errors()[0]['msg']}") from None


# ---------------------------------------------------------------- a source's settings as options


def _described(each: Installed) -> dict[str, Any]:
    settings = {
        name: field.description or "" for name, field in (each.source.model_fields if each.source else {}).items()
    }
    return {
        "name": each.name,
        "distribution": each.distribution,
        "ok": each.error is None,
        "error": each.error,
        "help": each.summary,
        "settings": settings,
    }


def _command(name: str, verb: Callable[..., None], help_: str | None, *, any_arguments: bool = False) -> Any:
    single = typer.Typer(add_completion=False)
    lenient = {"allow_extra_args": any_arguments, "ignore_unknown_options": any_arguments}
    # What a plug-in says is text: a bracket in it is no markup.
    single.command(name, help=escape(help_ or ""), context_settings=lenient)(verb)
    command = typer.main.get_command(single)
    command.name = name
    return command


def _unusable(found: Installed) -> Callable[..., None]:
    def verb() -> None:
        errors.print(problems_of([found])[0], markup=False, highlight=False)
        raise typer.Exit(1)

    return verb


def _verb_of(name: str, found: Installed) -> Callable[..., None]:
    """The command of a source: its fields and the run's own options as parameters, as typer reads them."""
    model: Any = found.source
    own = {field: _parameter(name, field, info) for field, info in model.model_fields.items()}

    def verb(**given: Any) -> None:
        settings = {field: given.pop(field) for field in own}
        given_ones = {field: value for field, value in settings.items() if value not in (None, "", [], ())}
        source = _made(model, given_ones)
        _run(found.name, source, **given)

    parameters = [*own.values(), *_RUN_OPTIONS]
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    verb.__annotations__ = {each.name: each.annotation for each in parameters}
    return verb


def _parameter(source: str, name: str, info: FieldInfo) -> inspect.Parameter:
    """A field as an option (or an argument). Its value is a text: pydantic reads it, with the field's own rules."""
    many = get_origin(info.annotation) in (list, tuple, set, frozenset)
    kind: Any = bool | None if info.annotation is bool else list[str] | None if many else str | None
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    tail = "" if info.is_required() or default in (None, (), [], "") else f" [default: {default}]"
    about: dict[str, Any] = {
        "help": escape((info.description or "") + tail),
        "envvar": f"SOURCE_{source.replace('-', '_').upper()}_{name.upper()}",
    }
    extra = info.json_schema_extra
    option = "--" + name.replace("_", "-")
    if isinstance(extra, dict) and extra.items() >= IS_POSITIONAL.items():
        made: Any = typer.Argument(metavar=name.upper() + ("…" if many else ""), **about)
    elif SecretStr in (info.annotation, *get_args(info.annotation)):
        about["help"] += " Only by its variable."
        made = typer.Option(option, metavar="", callback=_not_an_argument, **about)
    elif kind == bool | None:
        made = typer.Option(f"{option}/--no-{option[2:]}", **about)
    else:
        made = typer.Option(option, metavar=_metavar(info), **about)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, made])


def _not_an_argument(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """A secret comes from its variable: whoever lists the processes of a machine sees their arguments."""
    source = ctx.get_parameter_source(param.name or "")
    if source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter(f"it is a secret: set the variable {param.envvar}")
    return value


def _metavar(info: FieldInfo) -> str:
    kind = info.annotation
    plain = [each for each in get_args(kind) if each is not type(None)] or [kind]
    return str(getattr(plain[0], "__name__", "text")).upper()


def _made(model: type[BaseModel], given: dict[str, Any]) -> Any:
    """The source with its settings; exit status 2 and a line for each wrong one."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            field = str(each["loc"][0]) if each["loc"] else ""
            message = each["msg"].removeprefix("Value error, ")
            missing = each["type"] == "missing"
            lines.append(f"{field}: {'is required' if missing else message}" if field else message)
        raise typer.BadParameter("; ".join(lines)) from None


# ---------------------------------------------------------------- the run


def _time(value: str | None, option: str) -> datetime | None:
    if value is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{option}: {value!r} is no ISO 8601 time such as 2026-01-31") from None


def _option(name: str, kind: Any, default: Any, made: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made]
    )


_RUN_OPTIONS = (
    _option("follow", bool, False, typer.Option("--follow", help="Go on looking for new articles until stopped.")),
    _option(
        "every",
        float,
        300.0,
        typer.Option("--every", metavar="SECONDS", help="With --follow: between two looks of a source."),
    ),
    _option(
        "rate",
        float | None,
        None,
        typer.Option("--rate", metavar="N", help="At most N articles a second.", min=0.001),
    ),
    _option(
        "since",
        str | None,
        None,
        typer.Option("--since", metavar="TIME", help="Only what was published from then on."),
    ),
    _option(
        "until", str | None, None, typer.Option("--until", metavar="TIME", help="Only what was published before.")
    ),
    _option(
        "from_start",
        bool,
        False,
        typer.Option("--from-start", help="Don't go on where an earlier run ended: everything again."),
    ),
    _option("json_", bool, False, typer.Option("--json", help="One JSON object on standard output.")),
)


def _run(
    name: str,
    source: Any,
    *,
    follow: bool,
    every: float,
    rate: float | None,
    since: str | None,
    until: str | None,
    from_start: bool,
    json_: bool,
) -> None:
    settings = settings_of(ProducerSettings)
    set_up_logging(settings.log_level, settings.log_format, "producer")
    stop = threading.Event()
    run = Run(
        follow=follow,
        every=every,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        stopping=stop.is_set,
    )
    try:
        known = [
            state
            for state in (read_states(settings) if getattr(source, "keeps_state", True) else [])
            if state.source == name
        ]
        if from_start:
            known = [state.model_copy(update={"checkpoint": None}) for state in known]
        health = Health("producer")
        started = SourceRun(settings, name, source, run, known, rate=rate, away=partial(_tell_health, health))
        run.checkpoints = started.states.checkpoints
        resumed = bool(run.checkpoints)
        if follow:
            serve_health(health, settings.health_host, settings.health_port)
            health.green("start")
        with _stopped_by_signals(stop), _told(run, quiet=json_) as done:
            report = started.deliver(done)
    except (KafkaError, LookupError, TimeoutError) as error:
        said = f"{type(error).__name__}: {error}"
        errors.print(f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {said}", markup=False)
        raise typer.Exit(1) from None
    _show(report, resumed=resumed, json_=json_)
    if report.not_sent or report.troubles:
        raise typer.Exit(1)


def _tell_health(health: Health, away: bool) -> None:
    if away:
        health.red("deliver", "Kafka does not take records")
    else:
        health.green("deliver")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT end the run after what is in hand; a second SIGINT at once."""

    def end(number: int, _: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _told(run: Run, *, quiet: bool) -> Iterator[Callable[[Report], None]]:
    """How far it is: a bar on a terminal, else a line now and then. The time left counts from this run's start."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("Sending articles", total=None)
        begun = time.monotonic()
        last = begun
        first: float | None = None

        def done(report: Report) -> None:
            nonlocal last, first
            if first is None and run.total:
                first = run.done
            about = (
                f"{report.confirmed} articles sent, {report.skipped.total()} skipped, {report.not_sent} not sent"
            )
            progress.update(bar, description=about, completed=run.done, total=run.total)
            now = time.monotonic()
            if not errors.is_terminal and not quiet and now - last >= NOTE_SECONDS:
                last = now
                errors.print(about + _left(run, first, now - begun), highlight=False)

        yield done


def _left(run: Run, first: float | None, seconds: float) -> str:
    """The part that is done and the time left at the pace of this run, where the source says how far it is."""
    if not run.total or first is None or run.done <= first:
        return ""
    left = (run.total - run.done) / ((run.done - first) / seconds)
    return f"; {run.done / run.total:.0%}, about {left:.0f} s left"


def _show(report: Report, *, resumed: bool, json_: bool) -> None:
    if json_:
        shape = {
            "confirmed": report.confirmed,
            "failed": [
                {"origin": each.origin, "error": each.error, "reason": each.reason} for each in report.failed
            ],
            "skipped": dict(report.skipped),
            "refused": dict(report.refused),
            "not_confirmed": report.unconfirmed,
            "troubles": [{"part": part, "error": error} for part, error in report.troubles.items()],
            "resumed": resumed,
        }
        # Half of a surrogate pair, in a file's name, becomes an escape of JSON.
        typer.echo(json.dumps(shape, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    else:
        typer.echo(f"{report.confirmed} articles confirmed by Kafka, {report.not_sent} not")
        for what, counts in (("skipped", report.skipped), ("refused", report.refused)):
            if counts:
                typer.echo(f"{what}: " + ", ".join(f"{reason} {count}" for reason, count in counts.most_common()))
    for each in report.failed[:NAMED_ON_TERMINAL]:
        errors.print(shown(f"not sent: {each.origin}: {each.error}"), highlight=False)
    if report.not_sent > NAMED_ON_TERMINAL:
        errors.print(f"and {report.not_sent - NAMED_ON_TERMINAL} more not sent; --json names more", highlight=False)
    for part, error in report.troubles.items():
        errors.print(shown(f"cannot be read: {part or 'the source'}: {error}"), highlight=False)
