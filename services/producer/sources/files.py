"""Articles from files and folders: .txt, .html, .json and .jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from schemas.article import RawArticle
from schemas.reading import Refused, read_record, refusal
from schemas.topics import ARTICLES_RAW
from services.producer.core import Found, Unusable

ENDINGS = (".txt", ".html", ".htm", ".json", ".jsonl", ".ndjson")

NAMED = (".txt", ".html", ".htm")
"""Endings of files whose name is the article's own id."""

EXPECTATION = ".expected.json"
"""Ending of what stands beside a sample article and is none itself."""


def read_files(paths: Iterable[Path], publisher: str, producer: str) -> Iterator[Found | Unusable]:
    """The articles in `paths`, folders with all below them, in the order given and by name within a folder.

    A .txt file is a body, one paragraph a line or apart by blank lines; a .html file is a page. Both are taken
    as published by `publisher`, and their name (below the given folder) is their own id, so that a changed file
    is a correction. A .json file holds one `articles-raw` record; a .jsonl file holds one a line.
    """
    single: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file() and file.suffix.lower() in ENDINGS and not file.name.endswith(EXPECTATION):
                    yield from _read_file(file, file.relative_to(path).as_posix(), publisher, producer)
        elif path.name.endswith(EXPECTATION):
            continue  # a shell's `seeds/*.json` names these too
        elif not path.is_file():
            yield Unusable(str(path), "there is no such file or folder")
        elif path.suffix.lower() not in ENDINGS:
            yield Unusable(str(path), f"its ending is none of {', '.join(ENDINGS)}")
        elif path.suffix.lower() in NAMED and single.setdefault(path.name, path) != path:
            yield Unusable(str(path), f"its name is its id, and {single[path.name]} has it too: give their folder")
        else:
            yield from _read_file(path, path.name, publisher, producer)


def read_lines(lines: Iterable[bytes], origin: str, producer: str | None = None) -> Iterator[Found | Unusable]:
    """The `articles-raw` records in JSON lines; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read_record(line, f"{origin}:{number}", producer)


def _read_file(file: Path, name: str, publisher: str, producer: str) -> Iterator[Found | Unusable]:
    origin = str(file)
    try:
        if file.suffix.lower() in (".jsonl", ".ndjson"):
            with file.open("rb") as lines:
                yield from read_lines(lines, origin, producer)
            return
        content = file.read_bytes()
    except OSError as error:
        yield Unusable(origin, f"it cannot be read: {error.strerror}")
        return
    if file.suffix.lower() == ".json":
        yield _read_record(content, origin, producer)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Unusable(origin, f"it is not UTF-8 (byte {error.start}): save it as UTF-8")
        return
    if not text.strip():
        yield Unusable(origin, "it is empty")
    else:
        field = "body" if file.suffix.lower() == ".txt" else "html"
        try:
            given = {field: text, "publisher": publisher, "id": name, "producer": producer}
            yield Found(origin, RawArticle.model_validate(given))
        except ValidationError as error:
            yield Unusable(origin, refusal(error).error)


def _read_record(value: bytes, origin: str, producer: str | None) -> Found | Unusable:
    try:
        article = read_record(ARTICLES_RAW, value.strip())
    except Refused as refused:
        return Unusable(origin, refused.error)
    if producer and article.producer is None:
        article = article.model_copy(update={"producer": producer})
    return Found(origin, article)
