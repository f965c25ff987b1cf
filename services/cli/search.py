"""`newsflow search`: ask the index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.document import INDEX_ALIAS, RESERVED
from services.cli.addresses import errors, settings_of
from services.cli.terminal import shown
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.search_client import CanSearch, SearchError

MAX_QUERY_CHARACTERS = 1_000
"""A longer query is refused: it is no question of a person, and each word costs a look-up in every field."""

FIELDS = (
    "headline^3",
    "headline.en^2",
    "headline.fr^2",
    "headline.de^2",
    "headline.es^2",
    "summary",
    "body",
    "body.en",
    "body.fr",
    "people.name.text^2",
    "organisations.name.text^2",
    "places.name.text^2",
)

SUGGESTED = {
    "headlines": "headline.suggest",
    "people": "people.name.suggest",
    "organisations": "organisations.name.suggest",
    "places": "places.name.suggest",
}
"""What begins with a prefix -> the field that knows it."""

MAX_PREFIX_CHARACTERS = 100
"""As many as the fields keep of a text (`max_input_length`): nothing begins with a longer one."""

FLAGS = "AND|OR|NOT|PHRASE|PRECEDENCE|WHITESPACE|ESCAPE"
"""Of simple_query_string: words, "phrases", +, |, - and brackets. No prefixes and no fuzziness, which can be
made to read the whole dictionary of an index."""


def search(
    query: Annotated[
        str | None, typer.Argument(help='Words that must all occur; "a phrase", one | other, -not.')
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option("--suggest", metavar="PREFIX", help="Instead: headlines and names that begin so."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, max=100, help="How many hits, at the most; of each kind.")] = 10,
    stories: Annotated[bool, typer.Option("--stories", help="One hit for all copies of a story.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Search headlines, texts and names; the best hits first."""
    if (query is None) == (prefix is None) or (stories and prefix is not None):
        raise typer.BadParameter("give a query, or --suggest and a prefix alone")
    if query is not None:
        check_query(query)
        answer = _answered(lambda client, alias: ask(client, alias, query, size, stories))
    else:
        begun = _checked_prefix(prefix or "")
        answer = _answered(lambda client, alias: suggest(client, alias, begun, size))
    if json_:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif query is not None:
        _show(query, answer)
    else:
        _show_suggestions(answer)


def _answered(ask_for: Callable[[CanSearch, str], dict[str, Any]]) -> dict[str, Any]:
    """The index's answer; exit status 1 where there is none."""
    settings = settings_of(ElasticsearchSettings)
    try:
        with settings.search_client() as client:
            return ask_for(client, settings.name(INDEX_ALIAS))
    except SearchError as error:
        errors.print(f"Elasticsearch at {settings.elasticsearch_url} did not answer: {error}", markup=False)
        raise typer.Exit(1) from None


def _checked_prefix(prefix: str) -> str:
    if not prefix.strip() or len(prefix) > MAX_PREFIX_CHARACTERS:
        raise typer.BadParameter(f"--suggest: from 1 to {MAX_PREFIX_CHARACTERS} characters")
    if any(character in prefix for character in RESERVED):
        raise typer.BadParameter("--suggest: no control characters")
    return prefix


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


def ask(client: CanSearch, alias: str, query: str, size: int, stories: bool = False) -> dict[str, Any]:
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
                    "matched_fields": ["headline", "headline.en", "headline.fr", "headline.de", "headline.es"],
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


def suggest(client: CanSearch, alias: str, prefix: str, size: int) -> dict[str, list[str]]:
    """At most `size` headlines and names of each kind that begin with `prefix`, each once; accents and capitals
    are the same. In the shape of `newsflow search --suggest --json`.
    """
    answer = client.search(
        index=alias,
        suggest={
            kind: {"prefix": prefix, "completion": {"field": field, "size": size, "skip_duplicates": True}}
            for kind, field in SUGGESTED.items()
        },
        source_includes=["headline"],
        timeout="10s",
    )
    return {kind: _texts(kind, answer["suggest"][kind]) for kind in SUGGESTED}


def _texts(kind: str, suggested: list[dict[str, Any]]) -> list[str]:
    """Each text once. Of a headline the field may know the beginning only; the document has it whole."""
    options = [option for each in suggested for option in each["options"]]
    texts = [option["_source"]["headline"] if kind == "headlines" else option["text"] for option in options]
    return list(dict.fromkeys(texts))


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


def _show_suggestions(answer: dict[str, list[str]]) -> None:
    console = Console(highlight=False)
    for kind, texts in answer.items():
        if texts:
            console.print(kind, style="bold")
        for text in texts:
            console.print(shown(f"  {text}"))


def marked(highlight: str) -> Text:
    """A highlight, which is HTML, for people: the words that were found stand out."""
    text = Text(style="not bold")
    for part in re.split(r"(<em>.*?</em>)", highlight, flags=re.DOTALL):
        found = part.startswith("<em>")
        plain = unescape(part.removeprefix("<em>").removesuffix("</em>") if found else part)
        text.append(shown(plain).plain, style="bold yellow" if found else None)
    return text
