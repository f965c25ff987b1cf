"""`newsflow sources`: how each source does that was ever read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from kafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from schemas.source import SourceState
from schemas.topics import MAX_RAW_BYTES, SOURCE_STATES
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.producer.settings import ProducerSettings
from services.producer.states import silent_since, usual_per_day
from services.producer.store import read_states
from services.runtime.confirmed import confirming_producer

LIVES_MISSED = 3
"""Signs of life that may be missing before a producer counts as gone: one is late, two are chance."""


def sources(
    forget: Annotated[
        str | None,
        typer.Option(
            metavar='"SOURCE PART"', help="Forget what is known of a part, as the first two columns name it."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Each part of each source: its last article, its rate against its own usual, its errors.

    Exit status 1 when one is silent, cannot be read, or has lost its producer.
    """
    settings = settings_of(ProducerSettings)
    try:
        states = read_states(settings)
        if forget is not None:
            _forget(settings, states, forget)
            return
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(f"No sources: {type(error).__name__}: {error}", markup=False)
        raise typer.Exit(1) from None
    now = datetime.now(UTC)
    found = [described(state, now, settings) for state in states]
    if json_:
        for each in found:
            typer.echo(json.dumps(each, ensure_ascii=False))
    else:
        _show(found)
    if any(not each["ok"] for each in found):
        raise typer.Exit(1)


def described(state: SourceState, now: datetime, settings: ProducerSettings) -> dict[str, Any]:
    """A part as `newsflow sources --json` has it."""
    today = now.date()
    silent = silent_since(state, now, settings.silent_factor, settings.silent_least_seconds)
    gone = state.follow_seconds is not None and now - state.looked > timedelta(
        seconds=LIVES_MISSED * state.follow_seconds
    )
    reason = None
    if state.error is not None:
        reason = f"cannot be read: {state.error}"
    elif gone:
        reason = f"its producer has not been seen since {state.looked:%Y-%m-%d %H:%M}"
    elif silent is not None and state.follow_seconds is not None:
        reason = "silent for longer than it ever is"
    return {
        "source": state.source,
        "part": state.part,
        "ok": reason is None,
        "reason": reason,
        "last_article": state.last_article.isoformat() if state.last_article else None,
        "looked": state.looked.isoformat(),
        "today": state.days[today].articles if today in state.days else 0,
        "usual_per_day": usual_per_day(state, today),
        "sent": state.sent,
        "skipped": state.skipped,
        "refused": state.refused,
        "errors": state.errors,
        "error_since": state.error_since.isoformat() if state.error_since else None,
        "follows": state.follow_seconds is not None,
    }


def _show(found: list[dict[str, Any]]) -> None:
    table = Table("source", "part", "last article", "today", "usual", "sent", "refused", "")
    for each in found:
        last = (
            datetime.fromisoformat(each["last_article"]).strftime("%Y-%m-%d %H:%M") if each["last_article"] else "–"
        )
        usual = "–" if each["usual_per_day"] is None else f"{each['usual_per_day']:g}"
        row = (each["source"], each["part"], last, each["today"], usual, each["sent"])
        refused = sum(each["refused"].values())
        table.add_row(*map(shown, (*row, refused, each["reason"] or "well")))
    Console().print(table if found else "No source has been read yet: newsflow produce --list")


def _forget(settings: ProducerSettings, states: list[SourceState], key: str) -> None:
    if key.strip() not in [state.key.strip() for state in states]:
        raise typer.BadParameter(f"nothing is known of {key!r}", param_hint="--forget")
    producer = confirming_producer(settings, MAX_RAW_BYTES)
    try:
        for state in states:
            if state.key.strip() == key.strip():
                producer.send(settings.name(SOURCE_STATES.name), key=state.key.encode(), value=None).get(timeout=60)
    finally:
        producer.close(timeout=5)
