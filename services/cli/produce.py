"""`newsflow produce`: send articles to Kafka, each one confirmed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from kafka.errors import KafkaError
from pydantic import TypeAdapter, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.article import Name
from services.cli.addresses import errors, settings_of
from services.producer.app import Report, publish
from services.producer.core import Found, Unusable
from services.producer.settings import ProducerSettings
from services.producer.sources.files import read_files, read_lines


def produce(
    source: Annotated[
        str, typer.Argument(help="`seeds` for files and folders, `-` for JSON lines on standard input.")
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files (.txt, .html, .json, .jsonl) and folders; left out: the sample articles."),
    ] = None,
    publisher: Annotated[
        str, typer.Option(help="Publisher of .txt and .html files, which name none themselves.")
    ] = "local-files",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Send articles to the pipeline; exit status 1 and a list when Kafka has not confirmed every one."""
    check_publisher(publisher)
    total: int | None = None
    articles: Iterable[Found | Unusable]
    if source == "-":
        if paths:
            raise typer.BadParameter("`produce -` reads standard input and takes no paths")
        articles = read_lines(sys.stdin.buffer, "standard input")
    elif source == "seeds":
        # Read twice: the first time to know how many there are.
        given = paths or [Path(str(files("seeds") / "README.md")).parent]
        total = sum(1 for _ in read_files(given, publisher, "seeds"))
        articles = read_files(given, publisher, "seeds")
    else:
        raise typer.BadParameter(f"there is no source {source!r}; known are `seeds` and `-`")
    settings = settings_of(ProducerSettings)
    columns = (TextColumn("Sending articles"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("", total=total)

        def done(report: Report) -> None:
            progress.update(bar, completed=report.confirmed + len(report.failed))

        try:
            report = publish(settings, articles, done)
        except KafkaError as error:
            errors.print(f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {error}", markup=False)
            raise typer.Exit(1) from None
    failed = [{"origin": each.origin, "error": each.error} for each in report.failed]
    if json_:
        typer.echo(json.dumps({"confirmed": report.confirmed, "failed": failed}, ensure_ascii=False))
    else:
        typer.echo(f"{report.confirmed} articles confirmed by Kafka, {len(failed)} not")
    for each in failed:
        errors.print(f"not sent: {each['origin']}: {each['error']}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(1)


def check_publisher(publisher: str) -> None:
    """Exit status 2 when the option's value is no name that the contract takes."""
    try:
        TypeAdapter(Name).validate_python(publisher)
    except ValidationError as error:
        raise typer.BadParameter(f"publisher: {error.errors()[0]['msg']}") from None
