"""`newsflow status`: is everything well, how far is each consumer group, what is in the index."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Annotated, Any

import typer
import urllib3
from kafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from schemas.article import Entities
from schemas.document import INDEX_ALIAS
from services.cli.addresses import errors, settings_of
from services.cli.kafka_admin import lags, waiting_letters
from services.embedded.run_file import read_run_file
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.search_client import CanSearch, SearchError

LOOK_SECONDS = 0.5
"""Between two looks of `--wait-idle`."""


def status(
    wait_idle: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Return when every lag is 0; exit status 1 if it never is."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Lag, counts, dead letters and health; exit status 1 when something is not well."""
    settings = settings_of(ElasticsearchSettings)
    try:
        idle = wait_until_idle(settings, wait_idle) if wait_idle is not None else True
        state = look(settings)
    except (KafkaError, LookupError, TimeoutError, SearchError) as error:
        errors.print(f"No status: {type(error).__name__}: {error}", markup=False)
        raise typer.Exit(1) from None
    if not idle:
        errors.print(f"Records still wait after {wait_idle:g} s", markup=False)
    if json_:
        typer.echo(json.dumps(state, ensure_ascii=False))
    else:
        _show(state)
    if not (state["ok"] and idle):
        raise typer.Exit(1)


def look(settings: ElasticsearchSettings) -> dict[str, Any]:
    """The state of the pipeline, in the shape of `newsflow status --json`."""
    topics = [
        {"topic": each.topic, "group": each.group, "lag": each.lag, "end_offset": each.end_offset}
        for each in lags(settings)
    ]
    alias = settings.name(INDEX_ALIAS)
    with settings.search_client() as client:
        try:
            client.refresh(index=alias)
        except SearchError as error:
            # A key that may only read counts what the last refresh showed, at the most seconds ago.
            if error.status != HTTPStatus.FORBIDDEN:
                raise
        indexed = client.count(index=alias)
        entities = coverage(client, alias)
    services = _services()
    dead = [each.stage for each in waiting_letters(settings)]
    return {
        "ok": all(service["ok"] for service in services),
        "topics": topics,
        "indexed": indexed,
        "dead_letters": len(dead),
        # Of the articles, not of the services: these do what they should, and `ok` is theirs.
        "dead_letters_alarm": len(dead) > settings.dlq_alarm_records,
        "entities": entities | {"failed": dead.count("tagger")},
        "services": services,
    }


SHOWN_LANGUAGES = 20
"""Languages without a model that are named, those with the most articles first."""

SHOWN_MODELS = 20
"""Versions of models that are named."""


def coverage(client: CanSearch, alias: str) -> dict[str, Any]:
    """In how many articles names were looked for, in how many not for want of a model and in which languages, and
    by which models. Articles of an older version, which did not say so, are in the models alone.
    """
    languages = {"terms": {"field": "language", "size": SHOWN_LANGUAGES}}
    answer = client.search(
        index=alias,
        size=0,
        aggs={
            "entities": {"terms": {"field": "pipeline.entities"}, "aggs": {"languages": languages}},
            "models": {"terms": {"field": "pipeline.versions", "include": "model .*", "size": SHOWN_MODELS}},
        },
    )["aggregations"]
    found = {each["key"]: each for each in answer["entities"]["buckets"]}
    untagged = found.get(Entities.UNSUPPORTED_LANGUAGE.value)
    return {
        "tagged": found[Entities.TAGGED.value]["doc_count"] if Entities.TAGGED.value in found else 0,
        "unsupported_language": untagged["doc_count"] if untagged else 0,
        "languages": {each["key"]: each["doc_count"] for each in untagged["languages"]["buckets"]}
        if untagged
        else {},
        "models": {each["key"].removeprefix("model "): each["doc_count"] for each in answer["models"]["buckets"]},
    }


def _services() -> list[dict[str, Any]]:
    """The health of the services that the embedded stack runs; elsewhere its operator watches /healthz."""
    run = read_run_file()
    found = []
    for service in run.services if run else ():
        try:
            answer = urllib3.request("GET", f"{service.health}/healthz", timeout=5, retries=False).json()
            found.append({"name": service.name, "ok": answer["ok"], "reason": answer["reason"]})
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            found.append({"name": service.name, "ok": False, "reason": f"no answer: {type(error).__name__}"})
    return found


def wait_until_idle(settings: ElasticsearchSettings, seconds: float) -> bool:
    """Whether every lag was 0 within `seconds`, seen twice in a row, since a record is between two topics."""
    end = time.monotonic() + seconds
    quiet = 0
    while True:
        try:
            quiet = quiet + 1 if all(each.lag == 0 for each in lags(settings)) else 0
        except KafkaError:
            quiet = 0  # a broker that is just restarting
        if quiet == 2:
            return True
        if time.monotonic() > end and not quiet:
            return False
        time.sleep(LOOK_SECONDS)


def _show(state: dict[str, Any]) -> None:
    console = Console()
    table = Table("topic", "consumer group", "lag", "records")
    for topic in state["topics"]:
        table.add_row(topic["topic"], topic["group"], str(topic["lag"]), str(topic["end_offset"]))
    console.print(table)
    console.print(
        f"{state['indexed']} articles in the index, {state['dead_letters']} dead letters", highlight=False
    )
    if state["dead_letters_alarm"]:
        console.print(
            "Too many dead letters: see `newsflow dlq list`, then `newsflow dlq replay` or `newsflow dlq purge`",
            style="bold red",
            highlight=False,
        )
    entities = state["entities"]
    if entities["unsupported_language"] or entities["failed"]:
        languages = ", ".join(f"{name} {count}" for name, count in entities["languages"].items())
        console.print(
            f"names: looked for in {entities['tagged']} articles, in {entities['unsupported_language']} not for "
            f"want of a model ({languages or 'none'}), in {entities['failed']} the tagger failed",
            highlight=False,
        )
    if len(entities["models"]) > 1:
        models = ", ".join(f"{name} {count}" for name, count in entities["models"].items())
        console.print(f"models: {models}; newsflow retag brings all to one", highlight=False)
    for service in state["services"]:
        console.print(f"{service['name']}: {'well' if service['ok'] else service['reason']}", highlight=False)
