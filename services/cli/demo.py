"""`newsflow demo`: the main job from nothing to search hits, on a real Kafka and a real Elasticsearch."""

from __future__ import annotations

import contextlib
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from elasticsearch import Elasticsearch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.article import Reason
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from services.cli.kafka_admin import dead_records
from services.cli.search import ask, marked
from services.cli.status import wait_until_idle
from services.cli.terminal import shown
from services.cli.up import FAILURES
from services.embedded.run_file import RunFile, read_run_file
from services.embedded.settings import EmbeddedSettings
from services.embedded.stack import down as take_down
from services.embedded.stack import up as bring_up
from services.producer.app import publish
from services.producer.core import Found
from services.producer.settings import ProducerSettings
from services.producer.sources.files import read_files
from services.runtime.elasticsearch import ElasticsearchSettings

QUERY = "intercontinental ballistic missiles"

IDLE_LIMIT_SECONDS = 120.0
"""For the sample articles to pass through; they take about two seconds."""

PICTURE_COLUMNS = 128
"""Width of the picture, in characters."""

NAMES_COLUMNS = 110
"""A terminal narrower than this shows how many names there are, not which."""

PICTURE_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px; \
line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""How the picture is drawn: with the reader's own fixed-width font, since a picture must not call other hosts."""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="Leave Kafka, Elasticsearch and the services up.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw this run's output into an SVG file.")] = None,
) -> None:
    """Start everything, publish the sample articles, show what became of them, search, and stop again."""
    settings = EmbeddedSettings()
    # What is no terminal has no width of its own: a log, or the picture.
    wide = picture is not None or not sys.stdout.isatty()
    console = Console(record=picture is not None, width=PICTURE_COLUMNS if wide else None, highlight=False)
    was_up = read_run_file() is not None
    try:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                run = bring_up(settings, Console(stderr=True))
        except FAILURES as error:
            typer.echo(f"The demo could not start: {error}", err=True)
            raise typer.Exit(1) from None
        _run(console, run)
    finally:
        if not (keep or was_up):
            take_down(settings, Console(stderr=True))
    if keep:
        console.print("\nStill up: [bold]newsflow search[/bold], [bold]newsflow status[/bold], then newsflow down.")
    if picture:
        picture.write_text(console.export_svg(title="make demo", code_format=PICTURE_FORMAT), encoding="utf-8")


def _run(console: Console, run: RunFile) -> None:
    # The addresses are said aloud: a variable of the user's that names another Kafka is not for the demo.
    addresses: dict[str, Any] = {"kafka_bootstrap_servers": run.kafka}
    settings = ElasticsearchSettings(**addresses, elasticsearch_url=run.elasticsearch, elasticsearch_api_key=None)
    console.print(f"\nKafka at {run.kafka}, Elasticsearch at {run.elasticsearch}, all services on them")
    started = time.monotonic()
    folder = Path(str(files("seeds") / "README.md")).parent
    found = list(read_files([folder], "local-files", "seeds"))
    report = publish(ProducerSettings(**addresses), found)
    for failed in report.failed:
        console.print(f"not sent: {failed.origin}: {failed.error}", markup=False)
    if report.failed or not wait_until_idle(settings, IDLE_LIMIT_SECONDS):
        console.print("The articles did not all pass through: newsflow status and newsflow dlq list say why.")
        raise typer.Exit(1)
    seconds = time.monotonic() - started
    with Elasticsearch(run.elasticsearch) as client:
        client.indices.refresh(index=settings.name(INDEX_ALIAS))
        # Only these: the stack may hold other articles from before.
        ids = {"terms": {"id": sorted({article_id(each.article) for each in found if isinstance(each, Found)})}}
        index = settings.name(INDEX_ALIAS)
        hits = client.search(index=index, query=ids, size=100, sort=["@timestamp:desc"])["hits"]["hits"]
        answer = ask(client, settings.name(INDEX_ALIAS), QUERY, 3)
    console.print(_table([hit["_source"] for hit in hits], console.width))
    dead = sum(1 for _ in dead_records(settings))
    console.print(
        f"{report.confirmed} records sent and through in {seconds:.1f} s. {len(hits)} articles in the index (a "
        f"correction takes the place of what it corrects), {dead} dead letters.\n"
    )
    console.print(f"newsflow search [bold]{QUERY!r}[/bold]: {answer['total']} hits")
    for hit in answer["hits"]:
        console.print(shown(f"  {hit['headline'] or '(no headline)'} · {hit['publisher']}"), style="bold")
        for text in hit["highlights"]:
            console.print(Text("    … ").append_text(marked(text)).append(" …"))
    if not answer["hits"]:
        raise typer.Exit(1)


def _table(documents: list[dict[str, Any]], width: int) -> Table:
    names = width >= NAMES_COLUMNS
    # What is left of the line beside the numbers, the reasons and the borders.
    left = width - 45
    table = Table(title="What became of the articles", title_style="bold")
    table.add_column("article", width=left * 2 // 5 if names else left - 18, no_wrap=True)
    table.add_column("in", justify="right", width=2)
    table.add_column("kept", justify="right", width=4)
    table.add_column("dropped", width=17)
    for heading in ("people", "organisations" if names else "orgs", "places"):
        table.add_column(heading, width=left // 5 if names else 6, no_wrap=True)
    for document in documents:
        paragraphs = document["pipeline"]["paragraphs"]
        dropped = [(paragraphs["dropped_by"][reason.value], reason.value.replace("_", " ")) for reason in Reason]
        entities = [document[kind] for kind in ("people", "organisations", "places")]
        names_of = [", ".join(each["name"] for each in found) if names else str(len(found)) for found in entities]
        table.add_row(
            shown(document.get("headline") or document["body"].split("\n")[0]),
            str(paragraphs["total"]),
            str(paragraphs["kept"]),
            "\n".join(f"{count} {reason}" for count, reason in dropped if count),
            *(shown(text) for text in names_of),
        )
    return table
