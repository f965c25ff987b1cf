"""`newsflow retag`: a newer model, or other names of the user's own, over the articles that are in the index.

Documents whose entities the tagger of these settings did not find are read from the index, tagged here, and sent to
`articles-retagged`; the indexer writes their entities into the documents. What is done is not read again, so that a
run that was ended goes on with what is left when it is called again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from elasticsearch import ApiError, Elasticsearch, TransportError
from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic_settings import SettingsConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.article import Entities, TaggedArticle
from schemas.document import INDEX_ALIAS
from schemas.reading import read_record, write_record
from schemas.topics import ARTICLES_RETAGGED, ARTICLES_TAGGED, MAX_INNER_BYTES
from services.cli.addresses import errors, settings_of
from services.cli.search import check_query, matching
from services.runtime.confirmed import confirming_producer
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.logging import set_up_logging
from services.runtime.processes import ChildProcesses
from services.runtime.step import Failure, Result, Task, Verdict
from services.tagger.app import STAGE
from services.tagger.load import versions_of
from services.tagger.retag import SOURCE_FIELDS, retagged, stale, stored_article
from services.tagger.settings import TaggerSettings

PAGE = 64
"""Documents read in one request and in hand at once: each may have some 100 kB."""

CONFIRM_SECONDS = 60
"""For a page to be confirmed by Kafka."""


class RetagSettings(TaggerSettings, ElasticsearchSettings):
    """Those of the tagger, with Elasticsearch to read from."""

    # Said again: of two bases the second's would hold.
    model_config = SettingsConfigDict(env_prefix="TAGGER_", hide_input_in_errors=True)


@dataclass
class Done:
    """Articles by what became of them."""

    tagged: int = 0
    unsupported_language: int = 0
    failed: int = 0


def retag(
    query: Annotated[
        str | None, typer.Option(help="Only articles that `newsflow search` finds for these words.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Find the names of stored articles anew, where another model or other names of yours found them before.

    Run it with the settings of the tagger (TAGGER_MODEL and so on) as they are now. Ended in the middle, it goes
    on where it was when it is called again. Exit status 1 when an article failed, or not all could be reached.
    """
    if query is not None:
        check_query(query)
    settings = settings_of(RetagSettings)
    set_up_logging("WARNING", settings.log_format, "retag")
    try:
        models, version = versions_of(settings)
    except (OSError, ValueError) as error:
        errors.print(f"No tagger with these settings: {error}", markup=False)
        raise typer.Exit(1) from None
    wanted: dict[str, Any] = {"bool": {"filter": [stale(models, version)]}}
    if query is not None:
        wanted["bool"]["must"] = [matching(query)]
    done = Done()
    try:
        with settings.connect() as client:
            _retag(client, settings, wanted, done)
    except (ApiError, TransportError, KafkaError) as error:
        errors.print(
            f"Stopped before the end, call it again to go on: {type(error).__name__}: {error}", markup=False
        )
        raise typer.Exit(1) from None
    finally:
        if json_:
            typer.echo(json.dumps({"models": models, "tagger": version, **asdict(done)}))
        else:
            _show(done)
    if done.failed:
        raise typer.Exit(1)


def _show(done: Done) -> None:
    console = Console(highlight=False)
    console.print(f"{done.tagged} articles tagged anew, {done.unsupported_language} in a language without a model,")
    console.print(f"{done.failed} failed. The indexer writes them: `newsflow status --wait-idle 60` waits for it.")


def _retag(client: Elasticsearch, settings: RetagSettings, query: dict[str, Any], done: Done) -> None:
    alias = settings.name(INDEX_ALIAS)
    total = client.count(index=alias, query=query)["count"]
    if not total:
        return
    producer = confirming_producer(settings, MAX_INNER_BYTES, compression_type="lz4")
    children = ChildProcesses(STAGE, settings)
    try:
        children.start()
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be tagged
        children.stop()
        errors.print(f"The tagger cannot be loaded: {type(error).__name__}: {error}", markup=False)
        raise typer.Exit(1) from None
    bar = (TextColumn("retag"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*bar, console=errors, disable=not errors.is_terminal) as progress:
            task = progress.add_task("retag", total=total)
            for sources in _pages(client, alias, query):
                verdicts = asyncio.run(_tagged(children, sources, settings.chunk_records))
                _send(producer, settings.name(ARTICLES_RETAGGED.name), sources, verdicts, done)
                progress.advance(task, len(sources))
    finally:
        children.stop()
        producer.close()


def _pages(client: Elasticsearch, alias: str, query: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The documents in the order of their ids: what changes meanwhile changes no place in it."""
    after: list[Any] | None = None
    while True:
        page = client.search(
            index=alias,
            query=query,
            size=PAGE,
            sort=[{"id": "asc"}],
            search_after=after,
            source_includes=list(SOURCE_FIELDS),
            track_total_hits=False,
        )["hits"]["hits"]
        if not page:
            return
        yield [hit["_source"] for hit in page]
        after = page[-1]["sort"]


async def _tagged(children: ChildProcesses, sources: Sequence[dict[str, Any]], chunk: int) -> list[Verdict]:
    tasks: list[Task] = [(write_record(stored_article(source)), 0.0) for source in sources]
    chunks = [tasks[at : at + chunk] for at in range(0, len(tasks), chunk)]
    return [verdict for each in await asyncio.gather(*map(children.run, chunks)) for verdict in each]


def _send(
    producer: KafkaProducer,
    topic: str,
    sources: Sequence[dict[str, Any]],
    verdicts: Sequence[Verdict],
    done: Done,
) -> None:
    """Returns when Kafka has all of them; an article that failed is told and keeps what it has."""
    sent = []
    for source, verdict in zip(sources, verdicts, strict=True):
        if isinstance(verdict, Failure):
            done.failed += 1
            errors.print(f"{source['id']}: {verdict.reason}: {verdict.error}", markup=False)
            continue
        article = _article(verdict)
        sent.append((article, producer.send(topic, key=article.id.encode(), value=write_record(retagged(article)))))
    for article, future in sent:
        future.get(timeout=CONFIRM_SECONDS)
        if article.entities is Entities.TAGGED:
            done.tagged += 1
        else:
            done.unsupported_language += 1


def _article(result: Result) -> TaggedArticle:
    article = read_record(ARTICLES_TAGGED, result.value)
    if not isinstance(article, TaggedArticle):
        raise TypeError("the tagger gives tagged articles")
    return article
