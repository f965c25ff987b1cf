"""`newsflow story`: the copies of one story, and what differs between them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from rich.console import Console
from rich.table import Table

from schemas.document import INDEX_ALIAS
from services.cli.addresses import errors, settings_of
from services.cli.history import retracted_line
from services.cli.terminal import shown
from services.runtime.elasticsearch import ElasticsearchSettings

MOST_COPIES = 100
"""Copies shown, the earliest first; the number of all is said."""


def story(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a story, or of any article in it.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """The copies of one story, the first one first, and what differs from it."""
    settings = settings_of(ElasticsearchSettings)
    try:
        with settings.connect() as client:
            answer = copies(client, settings.name(INDEX_ALIAS), id_)
    except (ApiError, TransportError) as error:
        errors.print(f"Elasticsearch at {settings.elasticsearch_url} did not answer: {error}", markup=False)
        raise typer.Exit(1) from None
    if answer is None:
        errors.print(f"There is no article {id_}: newsflow search --json gives ids", markup=False)
        raise typer.Exit(1)
    if answer["retracted"] is not None:
        errors.print(shown(retracted_line(id_, answer["retracted"])), soft_wrap=True)
        if not answer["total"]:
            raise typer.Exit(1)
    if json_:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(answer)


def copies(client: Elasticsearch, alias: str, name: str) -> dict[str, Any] | None:
    """The story of the article, in the shape of `newsflow story --json`; None where there is no such article.

    Of an article that was taken out nobody knows the story, unless it was the first one: its copies are there.
    """
    try:
        source = client.get(index=alias, id=name, source_includes=["pipeline.story_id", "retracted"])["_source"]
    except NotFoundError:
        return None
    # An article written by an older version has no story.
    story_id = source.get("pipeline", {}).get("story_id", name)
    answer = client.search(
        index=alias,
        query={"bool": {"filter": [{"term": {"pipeline.story_id": story_id}}]}},
        sort=[{"@timestamp": "asc"}, {"id": "asc"}],
        size=MOST_COPIES,
        track_total_hits=True,
        source_excludes=["mentions", "people", "organisations", "places", "extra", "history"],
        timeout="10s",
    )
    sources = [hit["_source"] for hit in answer["hits"]["hits"]]
    first = sources[0]["body"].split("\n\n") if sources else []
    return {
        "story_id": story_id,
        "retracted": source.get("retracted"),
        "total": answer["hits"]["total"]["value"],
        "copies": [_copy(source, first) for source in sources],
    }


def _copy(source: dict[str, Any], first: list[str]) -> dict[str, Any]:
    paragraphs = source["body"].split("\n\n")
    pipeline = source["pipeline"]
    return {
        "id": source["id"],
        "publisher": source["publisher"]["name"],
        "published": source.get("published"),
        "headline": source.get("headline"),
        "url": source.get("url", {}).get("full"),
        "originality": pipeline.get("originality"),
        "duplicate_of": pipeline.get("duplicate_of"),
        "seen_first": pipeline.get("seen_first", []),
        "only_here": [text for text in paragraphs if text not in first],
        "missing_here": [text for text in first if text not in paragraphs],
    }


def _show(answer: dict[str, Any]) -> None:
    console = Console()
    console.print(shown(f"story {answer['story_id']}: {answer['total']} articles"), highlight=False)
    table = Table("published", "publisher", "article", "original", "only here", "missing here", show_lines=True)
    for each in answer["copies"]:
        original = "" if each["originality"] is None else f"{each['originality']:.0%}"
        table.add_row(
            shown((each["published"] or "")[:16].replace("T", " ")),
            shown(each["publisher"]),
            shown(f"{each['headline'] or '(no headline)'}\n{each['id']}"),
            original,
            shown(_some(each["only_here"])),
            shown(_some(each["missing_here"])),
        )
    console.print(table)


def _some(texts: list[str]) -> str:
    """The first words of each paragraph."""
    return "\n".join(text if len(text) <= 60 else f"{text[:59]}…" for text in texts)
