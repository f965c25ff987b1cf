"""Articles from IPTC ninjs, News in JSON: versions 2.0 to 2.4 and 3.0 to 3.3.

Version 2 writes its names in lower case (`versioncreated`), version 3 in camel case (`versionCreated`); both are
read by their names in lower case. What is read, and where the versions differ:

- `uri` -> id, and url where it is an http address; else the address of an HTML rendition (`renditions`) is the url
- `headlines`, `bodies`, `descriptions` -> headline, body or html, summary; their `contenttype` is 3's `contentType`
- `by` -> byline; `language`; `copyrightnotice` (3: `copyrightNotice`) -> copyright_notice
- `firstcreated`, else `contentcreated` (3: `firstCreated`, `contentCreated`) -> published
- `versioncreated` (3: `versionCreated`) -> modified, and in ms the revision
- `subjects` -> subjects, by `name`, else `literal`
- `infosources` (3: `infoSources`) with the role publisher or provider, or none -> publisher
- `urgency`, `slugline`, `genres`, `ednote`, `pubstatus`, `usageterms`, `copyrightholder`, and the end of the
  embargo (2: `embargoed`, 3: `embargoedUntil`) -> extra, under 3's names in snake case
- `pubstatus` (3: `pubStatus`): canceled and withheld documents are passed over; `type`: only text is taken

Beyond the standard, as some senders have them: `byline` and `bylines`, `published`, `provider` and `publisher`,
`genre`, `description_text`, and a `language` in headlines and bodies. Version 1 (`body_text`, `headline`) is not
read.
"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from schemas.article import Name, RawArticle, in_utc
from schemas.reading import Refused, refusal
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable, shown_path
from services.producer.source import Positional, Run
from services.producer.sources.table import (
    MAX_RECORD_BYTES,
    Lines,
    Outcome,
    Read,
    Reading,
    files_in,
    json_line,
    read_file,
    read_json,
    size_of,
)

LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
"""Endings of files with a document a line."""

DOCUMENTS = (".json",)
"""Ending of files with one document, or a list of them."""

PASSED_OVER = ("canceled", "withheld")
"""Publication statuses of documents that are not to be published."""


class Ninjs(BaseModel):
    """IPTC ninjs documents, versions 2 and 3 (.json, .jsonl, and folders of them).

    A .json file has one document, a list of them, or an object with the list in `items`. A file that changes is
    read again; of a .jsonl file that grows only the new lines are.
    """

    paths: Positional[list[Path]] = Field(min_length=1, description="Files (.json, .jsonl) and folders.")
    publisher: Name | None = Field(default=None, description="Publisher of documents that name none themselves.")
    max_record_bytes: int = Field(
        default=MAX_RECORD_BYTES,
        ge=1,
        description="Longest line of a .jsonl file, in bytes; longer ones are refused.",
    )
    max_file_bytes: int = Field(
        default=8_000_000,
        ge=1,
        description="Largest .json file, in bytes; read as a whole, which takes up to 26 times its size of memory.",
    )
    settle_seconds: float = Field(
        default=2.0,
        ge=0,
        description="With --follow: a .json file that changed within so many seconds, and the last line of a "
        ".jsonl file without its end, may still be written and is left for the next look.",
    )

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new since the checkpoints: .json files in the order in which they changed, then lines."""
        paths = list(dict.fromkeys(path.absolute() for path in self.paths))
        files = {path: files_in(path, DOCUMENTS + LINES) for path in paths}
        total = sum(size_of(file) for each in files.values() for file in each)
        done = 0
        for path in paths:
            if not path.exists():
                yield Trouble(shown_path(path), "there is no such file or folder")
                continue
            whole = [file for file in files[path] if not _has_lines(file)]
            yield from self._documents(path, whole, run, done, total)
            done += sum(map(size_of, whole))
            for file in files[path]:
                if _has_lines(file):
                    reading = Reading(self.max_record_bytes, self.settle_seconds, done, total)
                    yield from read_file(file, run, reading, self._reader)
                    done += size_of(file)

    def _reader(self, lines: Lines, part: str, waits: bool) -> Read:  # noqa: ARG002 - as for every file of lines
        return json_line(lines, waits, lambda record: article_of(record, self.publisher))

    def _documents(self, path: Path, files: list[Path], run: Run, done: int, total: int) -> Iterator[Item]:
        """The .json files that changed since the checkpoint of `path`: the last change (ns) and its file's name."""
        if not files:
            return
        part = shown_path(path)
        reached = run.checkpoints.get(part)
        last = tuple(json.loads(reached)) if reached else (0, "")
        latest = time.time_ns() - int(self.settle_seconds * 1e9) if run.follow else None
        # The time of the inode: a file that is moved in, or whose own time was set back, is new all the same.
        changed = sorted((_changed(file), shown_path(file), file) for file in files)
        for when, name, file in changed:
            done += size_of(file)
            run.progress(done, total)
            if (when, name) > last and (latest is None or when <= latest):
                checkpoint = json.dumps([when, name])
                yield from _with_checkpoint(self._file(file, name), part, checkpoint)

    def _file(self, file: Path, origin: str) -> Iterator[Found | Unusable | Skipped]:
        try:
            with file.open("rb") as stream:
                content = stream.read(self.max_file_bytes + 1)
            if len(content) > self.max_file_bytes:
                raise Refused("too_large", f"it has more than {self.max_file_bytes} bytes: raise --max-file-bytes")
            documents = _documents_in(read_json(content))
        except Refused as refused:
            yield Unusable(origin, refused.error, reason=refused.reason)
            return
        except OSError as error:
            yield Unusable(origin, f"it cannot be read: {error.strerror}", reason="unreadable")
            return
        for number, document in enumerate(documents, start=1):
            yield self._item(document, f"{origin}#{number}" if len(documents) > 1 else origin)

    def _item(self, document: Any, origin: str) -> Found | Unusable | Skipped:
        try:
            if not isinstance(document, dict):
                raise Refused("invalid_record", "it is no object, as a ninjs document is")
            outcome = article_of(document, self.publisher)
        except Refused as refused:
            return Unusable(origin, refused.error, reason=refused.reason)
        return Found(origin, outcome) if isinstance(outcome, RawArticle) else Skipped(origin, str(outcome))


def _has_lines(file: Path) -> bool:
    return file.name.lower().endswith(LINES)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_ctime_ns
    except OSError:  # gone since: nothing new
        return 0


def _with_checkpoint(items: Iterator[Found | Unusable | Skipped], part: str, checkpoint: str) -> Iterator[Item]:
    """The items of a file in its part; the last one brings the checkpoint, a file without any a `Reached`."""
    waiting: Found | Unusable | Skipped | None = None
    for item in items:
        if waiting is not None:
            yield waiting
        waiting = replace(item, part=part)
    yield Reached(part, checkpoint) if waiting is None else replace(waiting, checkpoint=checkpoint)


def _documents_in(found: Any) -> list[Any]:
    if isinstance(found, dict) and "uri" not in found and isinstance(found.get("items"), list):
        return list(found["items"])
    return found if isinstance(found, list) else [found]


# ---------------------------------------------------------------- a document


def article_of(document: dict[str, Any], publisher: str | None = None) -> Outcome:
    """The article of a ninjs document, or the reason to pass it over; `publisher` where it names none itself.

    Raises `Refused` with the field named, or what is missing for a document of version 2 or 3.
    """
    fields = _lower(document, "")
    status = _status(fields)
    if status in PASSED_OVER:
        return status
    if (_text(fields, "type") or "text").lower() != "text":
        return "not_text"
    _check_shape(fields)
    uri = _text(fields, "uri")
    language = _text(fields, "language")
    field, body = _body(fields, language)
    published = _first_text(fields, "firstcreated", "contentcreated", "published")
    given = {
        "publisher": _publisher(fields) or publisher,
        "id": uri,
        "url": _address(uri) or _rendition(fields),
        "headline": _best(fields, "headlines", language, ("main",)),
        "summary": _best(fields, "descriptions", language, ("summary", "abstract", "lead", "main", "text"))
        or _text(fields, "description_text"),
        field: body,
        "byline": _byline(fields),
        "published": published,
        "modified": _text(fields, "versioncreated"),
        "language": language.replace("_", "-") if language else None,
        "subjects": _names(fields, "subjects"),
        "copyright_notice": _text(fields, "copyrightnotice"),
        "extra": _extra(fields),
    }
    if given["publisher"] is None:
        raise Refused("invalid_record", "infosources: none is the publisher: say --publisher NAME")
    try:
        article = RawArticle.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise refusal(error) from None
    when = article.modified or article.published
    revision = max(0, int(in_utc(when).timestamp() * 1000)) if when else None
    return article.model_copy(update={"revision": revision})


def _status(fields: dict[str, Any]) -> str | None:
    """The publication status, also where it is written as a code (`stat:canceled`) or its address."""
    status = _text(fields, "pubstatus")
    if status is None:
        return None
    status = re.split("[:/]", status.strip().lower())[-1].replace("cancelled", "canceled")
    if status not in ("usable", *PASSED_OVER):
        raise Refused("invalid_record", f"pubstatus: {status[:100]!r} is none of usable, withheld, canceled")
    return status


def _check_shape(fields: dict[str, Any]) -> None:
    missing = [name for name in ("uri", "bodies") if not fields.get(name)]
    if not missing:
        return
    old = [name for name in fields if name.startswith("body_")]
    hint = f"; {old[0][:100]} is of ninjs 1, which is not read" if old else ""
    raise Refused("not_ninjs", f"{' and '.join(missing)} missing: ninjs 2 and 3 have uri, headlines, bodies{hint}")


def _kind(entry: dict[str, Any], value: str) -> str:
    """What a text is, by its media type, else by its role, else by its looks: `html`, `body` or `other`."""
    media_type = str(entry.get("contenttype") or "").partition(";")[0].strip().lower()
    if "html" in media_type:
        return "html"
    if media_type:
        return "body" if media_type.startswith("text/") and media_type != "text/xml" else "other"
    tags = value.lstrip().startswith("<") and "</" in value
    return "html" if tags or "html" in str(entry.get("role") or "").lower() else "body"


def _body(fields: dict[str, Any], language: str | None) -> tuple[str, str]:
    """The field and the text of the body: HTML before plain text, since it tells what a caption or a heading is."""
    found = _ranked(fields, "bodies", language, ("main",))
    for wanted in ("html", "body"):
        for entry, value in found:
            if _kind(entry, value) == wanted:
                return wanted, value
    kinds = ", ".join(sorted({str(entry.get("contenttype"))[:100] for entry, _ in found}))
    raise Refused("invalid_record", f"bodies: none is HTML or plain text, found {kinds or 'no text at all'}")


def _best(fields: dict[str, Any], name: str, language: str | None, roles: tuple[str, ...]) -> str | None:
    """The first of these texts, as plain text."""
    for entry, value in _ranked(fields, name, language, roles):
        return _plain(value) if _kind(entry, value) == "html" else value
    return None


def _plain(value: str) -> str:
    return " ".join(html.unescape(re.sub("<[^<>]*>", " ", value)).split())


def _ranked(
    fields: dict[str, Any], name: str, language: str | None, roles: tuple[str, ...]
) -> list[tuple[dict[str, Any], str]]:
    """The entries of a list that have a text: those in the document's language first, then by their role."""
    found = []
    for number, entry in enumerate(_entries(fields, name)):
        value = _text(entry, "value", f"{name}.{number}.")
        if value is not None:
            found.append((entry, value))
    order = {role: number for number, role in enumerate(roles)}

    def rank(each: tuple[dict[str, Any], str]) -> tuple[bool, int]:
        stated = str(each[0].get("language") or language)
        role = str(each[0].get("role") or roles[0]).lower()
        return (_primary(stated) != _primary(str(language)), order.get(role, len(order)))

    return sorted(found, key=rank)


def _primary(language: str) -> str:
    return re.split("[-_]", language.lower())[0]


def _byline(fields: dict[str, Any]) -> str | None:
    return _first_text(fields, "by", "byline") or ", ".join(_names(fields, "bylines", "by", "value")) or None


def _publisher(fields: dict[str, Any]) -> str | None:
    """Who published it: the source of that role, what the sender calls so, the provider, a source without role."""
    sources = [
        (re.split("[:/]", _text(entry, "role", f"infosources.{number}.") or "")[-1].lower(), _name(entry, ""))
        for number, entry in enumerate(_entries(fields, "infosources"))
    ]
    by_role = {role: name for role, name in reversed(sources) if name}
    names = [
        by_role.get("publisher"),
        *_names(fields, "publisher")[:1],
        by_role.get("provider"),
        *_names(fields, "provider")[:1],
        by_role.get(""),
    ]
    return next((name for name in names if name), None)


def _rendition(fields: dict[str, Any]) -> str | None:
    for entry in _entries(fields, "renditions"):
        if "html" in str(entry.get("contenttype") or "").lower():
            address = _address(entry.get("href"))
            if address:
                return address
    return None


def _address(value: Any) -> str | None:
    """An http address that the contract takes; a `uri` need not be one."""
    if not isinstance(value, str) or not re.match(r"https?://[^\s/]+", value):
        return None
    try:
        parts = urlsplit(value)
        return value if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


_EXTRA = {
    "urgency": "urgency",
    "slugline": "slugline",
    "ednote": "ed_note",
    "pubstatus": "pub_status",
    "usageterms": "usage_terms",
    "copyrightholder": "copyright_holder",
    "embargoed": "embargoed_until",
    "embargoeduntil": "embargoed_until",
}


def _extra(fields: dict[str, Any]) -> dict[str, str]:
    found = {ours: text for name, ours in _EXTRA.items() if (text := _text(fields, name))}
    genres = [*_names(fields, "genres"), *_names(fields, "genre")]
    return found | ({"genre": "; ".join(genres)} if genres else {})


# ---------------------------------------------------------------- values


def _lower(found: dict[str, Any], where: str) -> dict[str, Any]:
    """An object with its names in lower case, as both versions then have them."""
    made: dict[str, Any] = {}
    for name, value in found.items():
        if name.lower() in made:
            raise Refused("invalid_record", f"{where}{name[:100]}: is given twice, in two ways of writing it")
        made[name.lower()] = value
    return made


def _entries(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list; one alone, or a bare text, is taken as a list of one."""
    value = fields.get(name)
    if value is None:
        return []
    entries = value if isinstance(value, list) else [value]
    made = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict | str):
            raise Refused("invalid_record", f"{name}.{number}: must be an object")
        texts = {"value": entry, "name": entry}
        made.append(texts if isinstance(entry, str) else _lower(entry, f"{name}.{number}."))
    return made


def _names(fields: dict[str, Any], name: str, *other: str) -> tuple[str, ...]:
    """The names in a list of concepts, each once."""
    found = (_name(entry, f"{name}.{number}.", *other) for number, entry in enumerate(_entries(fields, name)))
    return tuple(dict.fromkeys(each for each in found if each))


def _name(entry: dict[str, Any], where: str, *other: str) -> str | None:
    texts = (_text(entry, name, where) for name in ("name", *other, "literal"))
    return next((text.strip() for text in texts if text), None)


def _first_text(fields: dict[str, Any], *names: str) -> str | None:
    texts: Iterable[str | None] = (_text(fields, name) for name in names)
    return next((text for text in texts if text), None)


def _text(fields: dict[str, Any], name: str, where: str = "") -> str | None:
    """A field's text, None where it is absent or blank; numbers, such as an urgency, are written out."""
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise Refused("invalid_record", f"{where}{name}: must be a text")
    return value if value and value.strip() else None
