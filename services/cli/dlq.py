"""`newsflow dlq`: look at dead letters, and publish them again."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from schemas.dead_letter import PREFIX, REPLAYED
from schemas.topics import ARTICLES_DLQ, MAX_INNER_BYTES
from services.cli.addresses import errors, settings_of
from services.cli.kafka_admin import DeadRecord, dead_records
from services.cli.terminal import shown
from services.runtime.confirmed import confirming_producer
from services.runtime.settings import ServiceSettings

app = typer.Typer(help="Look at dead letters, and publish them again.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("list")
def list_(json_: JsonOption = False) -> None:
    """Every dead letter: where it failed, and why."""
    records = _read(settings_of(ServiceSettings))
    if json_:
        for record in records:
            typer.echo(record.letter.model_dump_json())
        return
    table = Table()
    for heading in ("id", "stage", "reason", "error", "time", "attempt"):
        # An id that was cut short could not be copied.
        table.add_column(heading, overflow="fold", min_width=20 if heading == "id" else None)
    for record in records:
        letter = record.letter
        time = letter.time.isoformat(timespec="seconds")
        row = (letter.id, letter.stage, letter.reason, letter.error, time, letter.attempt)
        table.add_row(*(shown(each) for each in row))
    Console().print(table)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the original bytes, unchanged.")] = False,
) -> None:
    """One dead letter: its headers and its value, or the original bytes alone."""
    record = _find(_read(settings_of(ServiceSettings)), [id_])[0]
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        return
    console = Console()
    for name, value in record.letter:
        console.print(shown(f"{name}: {value}"), highlight=False)
    text = "null" if record.value is None else record.value.decode("utf-8", "backslashreplace")
    console.print(shown(f"\n{text}"), highlight=False)


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="As `dlq list` prints them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Publish dead letters again where they failed; one that fails again comes back with its attempt counted."""
    if bool(ids) == all_:
        raise typer.BadParameter("give ids, or --all")
    settings = settings_of(ServiceSettings)
    records = _read(settings)
    chosen = records if all_ else _find(records, ids or [])
    producer = confirming_producer(settings, MAX_INNER_BYTES)
    failed = 0
    for record in chosen:
        try:
            _replay(producer, settings, record)
        except KafkaError as error:
            failed += 1
            errors.print(f"not replayed: {record.letter.id}: {error}", markup=False)
    producer.close()
    typer.echo(f"{len(chosen) - failed} dead letters published again, {failed} not")
    if failed:
        raise typer.Exit(1)


def _replay(producer: KafkaProducer, settings: ServiceSettings, record: DeadRecord) -> None:
    """First the record, then the marker: killed between the two, the letter stays and is published twice."""
    attempt = (f"{PREFIX}attempt", str(record.letter.attempt).encode())
    headers = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    key = record.key or record.letter.id.encode()
    producer.send(record.letter.topic, key=key, value=record.value, headers=[*headers, attempt]).get(timeout=60)
    marker = [(REPLAYED, record.letter.id.encode())]
    producer.send(settings.name(ARTICLES_DLQ.name), key=key, value=b"", headers=marker).get(timeout=60)


def _read(settings: ServiceSettings) -> list[DeadRecord]:
    try:
        return list(dead_records(settings))
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(f"The dead letters cannot be read: {error}", markup=False)
        raise typer.Exit(1) from None


def _find(records: list[DeadRecord], ids: list[str]) -> list[DeadRecord]:
    known = {record.letter.id: record for record in records}
    unknown = [each for each in ids if each not in known]
    if unknown:
        errors.print(f"There is no dead letter {', '.join(unknown)}: see `newsflow dlq list`", markup=False)
        raise typer.Exit(1)
    return [known[each] for each in ids]
