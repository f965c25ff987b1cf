"""`newsflow retract`: take articles out of the index, and keep them out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from elasticsearch import ApiError, TransportError
from kafka.errors import KafkaError
from rich.console import Console

from schemas.dead_letter import PURGED
from schemas.document import INDEX_ALIAS
from schemas.reading import write_record
from schemas.retraction import BY_PERSON, MAX_REASON_CHARACTERS, Retraction, is_article_id
from schemas.topics import ARTICLES_RETRACTED, MAX_INNER_BYTES, MAX_RAW_BYTES
from services.cli.addresses import errors, settings_of
from services.cli.dlq import Closing
from services.cli.kafka_admin import shrink, waiting
from services.cli.terminal import shown
from services.runtime.confirmed import confirming_producer
from services.runtime.elasticsearch import ElasticsearchSettings

CONFIRM_SECONDS = 30
"""For Kafka to confirm one retraction."""

FIELDS = ("headline", "publisher.name", "retracted")
"""What is read of a document, to say what it was."""


@dataclass(frozen=True)
class Found:
    """What the index had of an article before; `known` is false where it could not be asked."""

    known: bool = False
    indexed: bool = False
    headline: str | None = None
    publisher: str | None = None
    retracted: dict[str, Any] | None = None


def retract(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="As `newsflow search --json` prints them.")],
    reason: Annotated[
        str | None,
        typer.Option(help="Why, for whoever asks later; it is kept with what is left. Not the article's text."),
    ] = None,
    until_newer: Annotated[
        bool,
        typer.Option("--until-newer", help="Like a producer's tombstone: a newer revision comes in again."),
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let the article come in again.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Take articles out of the index, with all that they said, and keep them out until `--undo`.

    Their dead letters go too. What stays where for how long: docs/corrections.md.
    """
    names = _checked(ids, reason, until_newer, undo)
    settings = settings_of(ElasticsearchSettings)
    before = _look_up(settings, names)
    now = datetime.now(UTC)
    retractions = [
        Retraction(
            id=name, time=now, by=BY_PERSON, reason=reason, hold=not until_newer and not undo, withdrawn=undo
        )
        for name in names
    ]
    _send(settings, retractions)
    purged, whole = (Counter[str](), True) if undo else _purge(settings, names)
    if json_:
        for each in retractions:
            said = {"retraction": each.model_dump(mode="json"), "before": asdict(before[each.id])}
            typer.echo(json.dumps({"id": each.id} | said | {"dead_letters_purged": purged[each.id]}))
    else:
        _show(retractions, before, purged)
    if not whole:
        raise typer.Exit(1)


def _checked(ids: Sequence[str], reason: str | None, until_newer: bool, undo: bool) -> list[str]:
    """The ids, each once; exit status 2 for wrong use, with nothing sent."""
    for name in ids:
        if not is_article_id(name.encode("utf-8", "replace")):
            shown_name = shown(name).plain
            raise typer.BadParameter(f"{shown_name!r} is no article id: 32 hexadecimal digits in small letters")
    if undo and (until_newer or reason is not None):
        raise typer.BadParameter("--undo goes with neither --until-newer nor --reason")
    if reason is not None and reason != reason.encode("utf-8", "replace").decode():
        raise typer.BadParameter("--reason is no text in UTF-8")
    if reason is not None and len(reason) > MAX_REASON_CHARACTERS:
        raise typer.BadParameter(
            f"--reason has {len(reason)} characters, more than the {MAX_REASON_CHARACTERS} allowed: say it in fewer"
        )
    return list(dict.fromkeys(ids))


def _look_up(settings: ElasticsearchSettings, names: Sequence[str]) -> dict[str, Found]:
    """What the index has of them. An index that does not answer holds no retraction up: Kafka is what counts."""
    try:
        with settings.connect(request_timeout=10, max_retries=0) as client:
            answer = client.mget(index=settings.name(INDEX_ALIAS), ids=list(names), source_includes=list(FIELDS))
    except (ApiError, TransportError) as error:
        errors.print(f"What the index has of it is not known, Elasticsearch did not answer: {error}", markup=False)
        return dict.fromkeys(names, Found())
    return {each["_id"]: _found(each.get("_source") if each.get("found") else None) for each in answer["docs"]}


def _found(source: dict[str, Any] | None) -> Found:
    if source is None:
        return Found(known=True)
    if "retracted" in source:
        return Found(known=True, retracted=source["retracted"])
    publisher = source.get("publisher", {}).get("name")
    return Found(known=True, indexed=True, headline=source.get("headline"), publisher=publisher)


def _send(settings: ElasticsearchSettings, retractions: Sequence[Retraction]) -> None:
    """Returns when Kafka has them all; exit status 1, naming those that it has not confirmed."""
    missing = [each.id for each in retractions]
    try:
        producer = confirming_producer(settings, MAX_RAW_BYTES)
        try:
            for each in retractions:
                topic = settings.name(ARTICLES_RETRACTED.name)
                producer.send(topic, key=each.id.encode(), value=write_record(each)).get(timeout=CONFIRM_SECONDS)
                missing.remove(each.id)
        finally:
            producer.close()
    except KafkaError as error:
        text = f"Kafka did not take it, call it again for {' '.join(missing)}: {type(error).__name__}: {error}"
        errors.print(text, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _purge(settings: ElasticsearchSettings, names: Sequence[str]) -> tuple[Counter[str], bool]:
    """How many dead letters of each were given up, and whether all were.

    They hold the articles' text. Those of a record under another key are not known to be of an article.
    """
    keys = {name.encode() for name in names}
    try:
        found = waiting(settings, lambda each: each.key in keys)
        if not found:
            return Counter(), True
        producer = confirming_producer(settings, MAX_INNER_BYTES)
        try:
            closing = Closing(settings, producer, PURGED)
            closing.close(found)
        finally:
            producer.close()
        shrink(settings)
    except (KafkaError, LookupError, TimeoutError) as error:
        errors.print(f"Retracted, but {NOT_PURGED}: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return Counter(), False
    if closing.done < len(found):
        errors.print(f"Retracted, but {NOT_PURGED}", markup=False, soft_wrap=True)
    return Counter((each.key or b"").decode() for each in found), closing.done == len(found)


NOT_PURGED = "not all dead letters were purged: call it again, or see `newsflow dlq list`"


def _show(retractions: Sequence[Retraction], before: dict[str, Found], purged: Counter[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for each in retractions:
        console.print(shown(f"{each.id} {_was(before[each.id])}"))
        if number := purged[each.id]:
            console.print(f"  {number} dead letter{'s' if number > 1 else ''} of it purged")
    if retractions[0].withdrawn:
        console.print("It comes in again when it is sent again, or by `newsflow index rebuild`.")
        return
    console.print("The indexer takes it out within moments: `newsflow status --wait-idle 60` waits for that.")
    if not retractions[0].hold:
        console.print("A newer revision of it comes in again.")


def _was(found: Found) -> str:
    if not found.known:
        return "is retracted, whether it was in the index or not"
    if found.retracted is not None:
        return f"was taken out {found.retracted['time']} by {found.retracted['by']}"
    if not found.indexed:
        return "is not in the index"
    return f"is in the index: {found.headline or '(no headline)'} ({found.publisher})"
