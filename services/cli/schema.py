"""`newsflow schema`: the contract as files, and records checked against it before they are sent."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from schemas.export import EXPORTED, export, exported
from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW
from services.gateway import openapi

app = typer.Typer(
    help="The contract as JSON Schema and AsyncAPI; check records against it.",
    no_args_is_help=True,
)

ONE_RECORD = (".json",)
A_RECORD_A_LINE = (".jsonl", ".ndjson")
STDIN = "-"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@dataclass(frozen=True)
class Problem:
    """Why a record would be refused. `field` is null where the record as a whole is the problem."""

    file: str
    line: int
    reason: str
    field: str | None
    error: str


@app.command("list")
def list_(json_: JsonOption = False) -> None:
    """The exported files: name, file and title."""
    for file, content in exported().items():
        about = json.loads(content)
        title = about.get("title") or about["info"]["title"]
        if json_:
            typer.echo(json.dumps({"name": _name(file), "file": file, "title": title}))
        else:
            typer.echo(f"{_name(file):18} {file:32} {title}")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="As `schema list` prints it.")]) -> None:
    """One exported file."""
    files = {_name(file): content for file, content in exported().items()}
    if name not in files:
        raise typer.BadParameter(f"{name} is none of {', '.join(files)}", param_hint="NAME")
    # Bytes, since a terminal of another encoding must not change the file.
    sys.stdout.buffer.write(files[name].encode())


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to.", file_okay=False)] = EXPORTED,
) -> None:
    """Write all files; run it after a change of the models or the topics."""
    for path in (*export(folder), openapi.export(folder)):
        typer.echo(path)


@app.command()
def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help=".json: one record; .jsonl: one a line; - for JSON lines on stdin."),
    ],
    json_: JsonOption = False,
) -> None:
    """Tell what `articles-raw` would refuse, one line a problem; exit status 1 when there is any."""
    # All names before the first file: a misspelt one costs no half of a report.
    for file in files:
        _check_name(file)
    records = invalid = 0
    for file in files:
        for line, value in _records(file):
            records += 1
            problems = list(_problems(file, line, value))
            invalid += bool(problems)
            for problem in problems:
                typer.echo(json.dumps(asdict(problem)) if json_ else _line(problem))
    if not json_:
        typer.echo(f"{records} records, {invalid} invalid", err=True)
    if invalid:
        raise typer.Exit(1)


def _name(file: str) -> str:
    return file.split(".", maxsplit=1)[0]


def _check_name(file: str) -> None:
    if file == STDIN:
        return
    if not file.endswith(ONE_RECORD + A_RECORD_A_LINE):
        endings = ", ".join(ONE_RECORD + A_RECORD_A_LINE)
        raise typer.BadParameter(f"{file}: its ending is none of {endings}", param_hint="FILE")
    if not Path(file).is_file():
        raise typer.BadParameter(f"{file}: there is no such file", param_hint="FILE")


def _records(file: str) -> Iterator[tuple[int, bytes]]:
    """Each record with the line that it begins on; empty lines hold none."""
    if file == STDIN:
        yield from _numbered(sys.stdin.buffer)
    elif file.endswith(ONE_RECORD):
        yield 1, Path(file).read_bytes()
    else:
        with Path(file).open("rb") as lines:
            yield from _numbered(lines)


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _problems(file: str, line: int, value: bytes) -> Iterator[Problem]:
    try:
        read_record(ARTICLES_RAW, value)
    except Refused as refused:
        if refused.reason != "invalid_record":
            yield Problem(file, line, refused.reason, None, refused.error)
            return
        # As `schemas.reading` joins them: "field: what to do; field: what to do".
        for text in refused.error.split("; "):
            field, colon, error = text.partition(": ")
            yield Problem(file, line, refused.reason, field if colon else None, error if colon else text)


def _line(problem: Problem) -> str:
    field = f"{problem.field}: " if problem.field else ""
    line = f"{problem.file}:{problem.line}: {field}{problem.error}"
    # A field's name is the producer's text: it must break no line and command no terminal.
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
