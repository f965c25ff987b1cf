"""`newsflow history`: what an article said before its corrections, and what each of them changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import takewhile, zip_longest
from typing import Annotated, Any

import typer
from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from rich.console import Console
from rich.text import Text

from schemas.document import INDEX_ALIAS
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.runtime.elasticsearch import ElasticsearchSettings

FIELDS = ("headline", "summary", "byline", "url", "published", "modified")
"""What is compared beside the text."""

MOST_PARAGRAPHS = 20
"""Changed paragraphs of one version that are shown; how many more there are is said. `--json` has all."""

MOST_CHARACTERS = 300
"""Of a text that is shown; the rest stands in `--json`."""

CONTEXT_WORDS = 4
"""Words shown on both sides of what was changed in a paragraph."""

ALIKE = 0.5
"""Two paragraphs that have this share of their characters in common are one, changed; else one went, one came."""


def history(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `newsflow search --json` prints it.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """The versions of an article, the newest first, and what was changed from each to the next.

    Of an article that was taken out: when, by whom and why. Exit status 1 when there is no such article.
    """
    settings = settings_of(ElasticsearchSettings)
    try:
        with settings.connect() as client:
            source = stored(client, settings.name(INDEX_ALIAS), id_)
    except (ApiError, TransportError) as error:
        errors.print(f"Elasticsearch at {settings.elasticsearch_url} did not answer: {error}", markup=False)
        raise typer.Exit(1) from None
    if source is None:
        errors.print(f"There is no article {id_}: newsflow search --json gives ids", markup=False)
        raise typer.Exit(1)
    answer = told(id_, source)
    if json_:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(answer)


def stored(client: Elasticsearch, alias: str, name: str) -> dict[str, Any] | None:
    """The article's document, or what is left of it; None where there is neither."""
    without = ["mentions", "people", "organisations", "places", "extra"]
    try:
        source: dict[str, Any] = client.get(index=alias, id=name, source_excludes=without)["_source"]
    except NotFoundError:
        return None
    return source


def told(name: str, source: dict[str, Any]) -> dict[str, Any]:
    """The versions in a document, in the shape of `newsflow history --json`."""
    if "retracted" in source:
        return {"id": name, "retracted": {"reason": None, "hold": False} | source["retracted"], "versions": []}
    versions = [_current(source), *source.get("history", [])]
    return {
        "id": name,
        "retracted": None,
        "versions": [
            {
                "revision": version["revision"],
                "received": version["received"],
                "headline": version.get("headline"),
                "changed": None if before is None else changes(before, version),
            }
            for version, before in zip_longest(versions, versions[1:])
        ],
    }


def _current(source: dict[str, Any]) -> dict[str, Any]:
    """A document in the form of its earlier versions."""
    url = (source.get("url") or {}).get("full")
    return source | {"received": source["event"]["created"], "url": url}


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What one version says otherwise than the one before it: fields, and paragraphs of the text."""
    fields = {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in FIELDS
        if before.get(name) != after.get(name)
    }
    added: list[str] = []
    removed: list[str] = []
    changed: list[dict[str, str]] = []
    for old, new in _paragraphs(before["body"].split("\n\n"), after["body"].split("\n\n")):
        if old is not None and new is not None:
            changed.append({"before": old, "after": new})
        elif new is not None:
            added.append(new)
        elif old is not None:
            removed.append(old)
    return {"fields": fields, "added": added, "removed": removed, "changed": changed}


def _paragraphs(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    """Each paragraph that is not in both, with what it became where that is much the same."""
    matcher = SequenceMatcher(None, before, after)
    for _, from_, to, new_from, new_to in (each for each in matcher.get_opcodes() if each[0] != "equal"):
        for old, new in zip_longest(before[from_:to], after[new_from:new_to]):
            if old is None or new is None or SequenceMatcher(None, old, new).quick_ratio() >= ALIKE:
                yield old, new
            else:
                yield old, None
                yield None, new


def _show(answer: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if answer["retracted"] is not None:
        console.print(shown(retracted_line(answer["id"], answer["retracted"])))
        return
    for version in answer["versions"]:
        headline = version["headline"] or "(no headline)"
        line = f"revision {version['revision']}, received {version['received']}: {headline}"
        console.print(Text(shown(line).plain, style="bold"))
        if version["changed"] is None:
            console.print("  the earliest that is kept")
            continue
        lines = list(_lines(version["changed"]))
        for sign, text in lines[:MOST_PARAGRAPHS]:
            console.print(shown(f"  {sign} {_short(text)}"))
        if len(lines) > MOST_PARAGRAPHS:
            console.print(f"  and {len(lines) - MOST_PARAGRAPHS} more lines: see --json")


def retracted_line(name: str, retracted: dict[str, Any]) -> str:
    """Of an article that was taken out: when, by whom and why."""
    why = f": {retracted['reason']}" if retracted.get("reason") else ""
    until = "until `newsflow retract --undo`" if retracted.get("hold") else "until it is sent again"
    return f"Article {name} was taken out on {retracted['time']} by {retracted['by']}, {until}{why}"


def _lines(changed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was changed as lines, each with its sign."""
    for name, values in changed["fields"].items():
        yield "~", f"{name}: {values['before'] or '(none)'} -> {values['after'] or '(none)'}"
    for each in changed["changed"]:
        old, new = _around(each["before"], each["after"])
        yield "-", old
        yield "+", new
    yield from (("-", text) for text in changed["removed"])
    yield from (("+", text) for text in changed["added"])


def _around(before: str, after: str) -> tuple[str, str]:
    """Both paragraphs without the words at their ends that they have in common, but for a few."""
    old, new = before.split(" "), after.split(" ")
    first = _in_common(old, new)
    last = min(_in_common(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    start, end = max(0, first - CONTEXT_WORDS), max(0, last - CONTEXT_WORDS)
    cut = [" ".join(words[start : len(words) - end]) for words in (old, new)]
    begin, rest = "… " if start else "", " …" if end else ""
    return f"{begin}{cut[0]}{rest}", f"{begin}{cut[1]}{rest}"


def _in_common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
