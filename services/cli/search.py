"""`newsflow search`: ask the index."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Annotated, Any

import typer
from elasticsearch import ApiError, Elasticsearch, TransportError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.document import INDEX_ALIAS
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.runtime.elasticsearch import ElasticsearchSettings

MAX_QUERY_CHARACTERS = 1_000
"""A longer query is refused: it is no question of a person, and each word costs a look-up in every field."""

FIELDS = (
    "headline^3",
    "headline.en^2",
    "headline.fr^2",
    "summary",
    "body",
    "body.en",
    "body.fr",
    "people.name.text^2",
    "organisations.name.text^2",
    "places.name.text^2",
)

FLAGS = "AND|OR|NOT|PHRASE|PRECEDENCE|WHITESPACE|ESCAPE"
"""Of simple_query_string: words, "phrases", +, |, - and brackets. No prefixes and no fuzziness, which can be
made to read the whole dictionary of an index."""


def search(
    query: Annotated[str, typer.Argument(help='Words that must all occur; "a phrase", one | other, -not.')],
    size: Annotated[int, typer.Option(min=1, max=100, help="How many hits, at the most.")] = 10,
    stories: Annotated[bool, typer.Option("--stories", help="One hit for all copies of a story.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Search headlines, texts and names; the best hits first."""
    check_query(query)
    settings = settings_of(ElasticsearchSettings)
    try:
        with settings.connect() as client:
            answer = ask(client, settings.name(INDEX_ALIAS), query, size, stories)
    except (ApiError, TransportError) as error:
        errors.print(f"Elasticsearch at {settings.elasticsearch_url} did not answer: {error}", markup=False)
        raise typer.Exit(1) from None
    if json_:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(query, answer)


def check_query(query: str) -> None:
    """Raise typer.BadParameter for a query that is no question of a person."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise typer.BadParameter(f"at most {MAX_QUERY_CHARACTERS} characters")


def matching(query: str) -> dict[str, Any]:
    """Elasticsearch's own form of a query of `newsflow search`."""
    return {
        "simple_query_string": {
            "query": query,
            "fields": list(FIELDS),
            "default_operator": "and",
            "flags": FLAGS,
        }
    }


def ask(client: Elasticsearch, alias: str, query: str, size: int, stories: bool = False) -> dict[str, Any]:
    """The hits for `query`, in the shape of `newsflow search --json`. Highlights are HTML with `<em>`.

    With `stories` the best copy of each story is a hit, and says how many copies were found.
    """
    copies: dict[str, Any] = {"name": "copies", "size": 0}
    answer = client.search(
        index=alias,
        query=matching(query),
        size=size,
        collapse={"field": "pipeline.story_id", "inner_hits": copies} if stories else None,
        track_total_hits=True,
        source_includes=["headline", "publisher", "published", "url", "language", "*.name", "pipeline.story_id"],
        highlight={
            "encoder": "html",
            "fragment_size": 160,
            "number_of_fragments": 3,
            "fields": {
                "headline": {
                    "number_of_fragments": 0,
                    "matched_fields": ["headline", "headline.en", "headline.fr"],
                },
                "body": {"matched_fields": ["body", "body.en", "body.fr"]},
            },
        },
        timeout="10s",
    )
    return {
        "total": answer["hits"]["total"]["value"],
        "hits": [_hit(hit) for hit in answer["hits"]["hits"]],
    }


def _hit(hit: dict[str, Any]) -> dict[str, Any]:
    source = hit["_source"]
    return {
        "id": hit["_id"],
        "score": hit["_score"],
        "headline": source.get("headline"),
        "publisher": source["publisher"]["name"],
        "published": source.get("published"),
        "url": source.get("url", {}).get("full"),
        "language": source["language"],
        "people": [each["name"] for each in source.get("people", [])],
        "organisations": [each["name"] for each in source.get("organisations", [])],
        "places": [each["name"] for each in source.get("places", [])],
        "highlights": [text for texts in hit.get("highlight", {}).values() for text in texts],
        # An article written by an older version has no story yet.
        "story_id": source.get("pipeline", {}).get("story_id", hit["_id"]),
    } | ({"copies": hit["inner_hits"]["copies"]["hits"]["total"]["value"]} if "inner_hits" in hit else {})


def _show(query: str, answer: dict[str, Any]) -> None:
    console = Console()
    console.print(shown(f"{answer['total']} articles for {query}"))
    table = Table(show_lines=True)
    for column in ("published", "publisher", "article", "people and places"):
        table.add_column(column, no_wrap=column == "published")
    for hit in answer["hits"]:
        article = Text(shown(hit["headline"] or "(no headline)").plain, style="bold")
        if hit.get("copies", 1) > 1:
            article.append(f" ({hit['copies']} copies)", style="not bold")
        article.append("\n")
        highlights = [marked(highlight) for highlight in hit["highlights"]]
        article.append_text(Text(" … ", style="not bold").join(highlights))
        names = ", ".join([*hit["people"][:4], *hit["places"][:4]])
        table.add_row((hit["published"] or "")[:10], shown(hit["publisher"]), article, shown(names))
    console.print(table)


def marked(highlight: str) -> Text:
    """A highlight, which is HTML, for people: the words that were found stand out."""
    text = Text(style="not bold")
    for part in re.split(r"(<em>.*?</em>)", highlight, flags=re.DOTALL):
        found = part.startswith("<em>")
        plain = unescape(part.removeprefix("<em>").removesuffix("</em>") if found else part)
        text.append(shown(plain).plain, style="bold yellow" if found else None)
    return text
