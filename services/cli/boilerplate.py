"""`newsflow boilerplate`: the lines that a publisher puts under everything, learned or said by people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from schemas.boilerplate import Line, Ruling
from schemas.reading import Refused, read_record, write_record
from schemas.topics import PUBLISHER_BOILERPLATE, publisher_partition
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.deduper.boilerplate import line_of
from services.runtime.confirmed import confirming_producer
from services.runtime.settings import ServiceSettings

app = typer.Typer(help="The lines that a publisher puts under everything.", no_args_is_help=True)

Publisher = Annotated[str, typer.Argument(help="As in the articles' `publisher`.")]
Lines = Annotated[list[str], typer.Argument(metavar="LINE…", help="As `list` prints it, or the line's whole text.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

FEWEST_WORDS = 4
"""As the deduper's own setting is shipped: a shorter line is never looked up."""


@app.command("list")
def list_(publisher: Publisher, json_: JsonOption = False) -> None:
    """What was learned of a publisher, and what people said of its lines."""
    lines = _in_force(publisher)
    if json_:
        for line in lines:
            typer.echo(line.model_dump_json())
        return
    table = Table("line", "", "text", "since", "first in")
    for line in lines:
        since = line.time.isoformat(timespec="minutes")
        row = (line.line, line.ruling.value, line.text, since, ", ".join(line.articles))
        table.add_row(*(shown(each) for each in row))
    Console().print(table if lines else f"Nothing is known of {publisher}.", markup=False)


@app.command()
def allow(publisher: Publisher, lines: Lines) -> None:
    """Keep these lines from now on, whatever is learned."""
    _say(publisher, lines, Ruling.ALLOWED)


@app.command()
def deny(publisher: Publisher, lines: Lines) -> None:
    """Drop these lines from now on."""
    _say(publisher, lines, Ruling.DENIED)


@app.command()
def withdraw(publisher: Publisher, lines: Lines) -> None:
    """Take back what was said of these lines: what is learned counts again."""
    _say(publisher, lines, Ruling.WITHDRAWN)


def _in_force(publisher: str) -> list[Line]:
    """Of each line what counts: a person's word before what was learned; the oldest first."""
    found: dict[str, Line] = {}
    for line in _read(settings_of(ServiceSettings), publisher):
        found[line.key] = line
    said = {line.line for line in found.values() if line.ruling in (Ruling.ALLOWED, Ruling.DENIED)}
    counting = [
        line
        for line in found.values()
        if line.ruling is not Ruling.WITHDRAWN and (line.ruling is not Ruling.LEARNED or line.line not in said)
    ]
    return sorted(counting, key=lambda line: (line.time, line.line))


def _read(settings: ServiceSettings, publisher: str) -> Iterator[Line]:
    """Every record of the publisher, in the order in which they were written."""
    place = TopicPartition(
        settings.name(PUBLISHER_BOILERPLATE.name), publisher_partition(publisher, PUBLISHER_BOILERPLATE.partitions)
    )
    try:
        consumer = KafkaConsumer(bootstrap_servers=settings.servers, group_id=None, request_timeout_ms=10_000)
        try:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end = consumer.end_offsets([place])[place]
            while consumer.position(place) < end:
                for record in consumer.poll(timeout_ms=500).get(place, []):
                    if record.value is None:
                        continue
                    line = read_record(PUBLISHER_BOILERPLATE, record.value)
                    if line.publisher == publisher:
                        yield line
        finally:
            consumer.close()
    except (KafkaError, Refused) as error:
        errors.print(f"{place.topic} cannot be read: {error}", markup=False)
        raise typer.Exit(1) from None


def _say(publisher: str, lines: list[str], ruling: Ruling) -> None:
    known = {line.line: line.text for line in _in_force(publisher)}
    records = [_record(publisher, text, known, ruling) for text in lines]
    settings = settings_of(ServiceSettings)
    try:
        producer = confirming_producer(settings, PUBLISHER_BOILERPLATE.max_bytes)
        try:
            for record in records:
                producer.send(
                    settings.name(PUBLISHER_BOILERPLATE.name),
                    key=record.key.encode(),
                    value=write_record(record),
                    partition=publisher_partition(publisher, PUBLISHER_BOILERPLATE.partitions),
                ).get(timeout=30)
        finally:
            producer.close()
    except KafkaError as error:
        errors.print(f"Kafka did not take it: {error}", markup=False)
        raise typer.Exit(1) from None
    for record in records:
        typer.echo(f"{record.ruling.value} {record.line} {record.text}")


def _record(publisher: str, text: str, known: dict[str, str], ruling: Ruling) -> Line:
    line = text if text in known else line_of(publisher, text, min_words=FEWEST_WORDS)
    if line is None:
        raise typer.BadParameter(
            f"{text!r} is no line that `newsflow boilerplate list` prints, and as a text it has fewer than "
            f"{FEWEST_WORDS} words or is a quotation: such lines are never dropped"
        )
    return Line(publisher=publisher, line=line, text=known.get(line, text), ruling=ruling, time=datetime.now(UTC))
