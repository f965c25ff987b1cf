"""Runs the sources on files, as they stand in a folder. It imports no case: their bytes are not its memory."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW
from services.gateway.core import Body, Client, Rejected, form_of, is_gzip, packing, read_articles
from services.gateway.settings import GatewaySettings
from services.producer.children import ChildFailed, Children
from services.producer.core import Found, Item, Skipped, Trouble, Unusable, to_item, to_record
from services.producer.fetch import FetchFailed, Limits
from services.producer.fetching import FetchSettings
from services.producer.polling import Listing
from services.producer.source import Run
from services.producer.sources.files import Files
from services.producer.sources.ninjs import Ninjs
from services.producer.sources.rss import parse_feed
from services.producer.sources.sitemap import parse_sitemap
from services.producer.sources.table import Csv, JsonLines
from services.producer.sources.warc import Warc
from tests.corpus.case import Kind
from tests.corpus.outcome import Outcome

LIST_SECONDS = 120.0
"""For one list. No case is about time; a busy machine needs it for the largest ones."""


@dataclass(frozen=True)
class Given:
    """A file of the corpus, without what is expected of it."""

    name: str
    kind: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


def run_all(given: Iterable[Given]) -> Iterator[Outcome]:
    """What becomes of each file. The order is of the kinds: children are started once for each."""
    by_kind: dict[str, list[Given]] = {}
    for each in given:
        by_kind.setdefault(each.kind, []).append(each)
    yield from _archives(by_kind.pop(Kind.WARC, []))
    yield from _lists([*by_kind.pop(Kind.FEED, []), *by_kind.pop(Kind.SITEMAP, [])])
    for kind, files in by_kind.items():
        for each in files:
            outcome = Outcome(each.name)
            with _noted(outcome):
                if kind == Kind.BODY:
                    _request(outcome, each)
                else:
                    _note(outcome, _source(each).articles(Run()))
            yield outcome


@contextmanager
def _noted(outcome: Outcome) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - that is what the corpus looks for
        outcome.crash = traceback.format_exc()


def _source(given: Given) -> Any:
    settings = {"paths": [given.file]} | {name: value for name, value in given.options.items() if name != "ending"}
    kinds: dict[str, Any] = {Kind.CSV: Csv, Kind.MAPPED: JsonLines, Kind.NINJS: Ninjs}
    return kinds.get(given.kind, Files)(**settings)


def _note(outcome: Outcome, items: Iterable[Item]) -> None:
    for item in items:
        _note_one(outcome, item)


def _note_one(outcome: Outcome, item: Item) -> None:
    """An item as the runner takes it: what is found must also be sendable."""
    if isinstance(item, Unusable):
        outcome.refuse(item.reason, item.origin, item.error)
    elif isinstance(item, Trouble):
        outcome.refuse("trouble", item.part, item.error)
    elif isinstance(item, Skipped):
        outcome.skipped += 1
    elif isinstance(item, Found):
        try:
            record = to_record(item.article)
            read_record(ARTICLES_RAW, record.value)
        except Refused as refused:
            outcome.refuse(refused.reason, item.origin, refused.error)
        else:
            outcome.send(f"{item.article.id or ''} {item.article.url or ''}"[:300])


# ---------------------------------------------------------------- archives


def _archives(given: list[Given]) -> Iterator[Outcome]:
    """All in one run, since each run starts its children; an item's part is its file."""
    if not given:
        return
    outcomes = {each.file: Outcome(each.name) for each in given}
    whole = Outcome("")
    with _noted(whole):
        for item in Warc(paths=[Path(file) for file in outcomes]).articles(Run()):
            outcome = outcomes[item.part]
            with _noted(outcome):
                _note_one(outcome, item)
    for outcome in outcomes.values():
        outcome.crash = outcome.crash or whole.crash
        yield outcome


# ---------------------------------------------------------------- lists


def _lists(given: list[Given]) -> Iterator[Outcome]:
    """Each in a child with the limits of the source, as a fetched one is."""
    if not given:
        return
    children = Children(2, FetchSettings().memory_mb, _quiet)
    try:
        asked = [(each, children.submit(LIST_SECONDS, read_list, each.kind, each.file)) for each in given]
        for each, future in asked:
            outcome = Outcome(each.name)
            with _noted(outcome):
                try:
                    listing = children.result(future, LIST_SECONDS)
                except (FetchFailed, ChildFailed) as failed:
                    outcome.refuse(failed.reason, each.name, failed.error)
                else:
                    _note(outcome, _entries(listing))
            yield outcome
    finally:
        children.stop()


def _quiet() -> None:
    logging.disable(logging.CRITICAL)  # as in a child that fetches: what the parser says is in the verdict


def read_list(kind: str, file: str) -> Listing:
    """In the child: the list as if it had been fetched."""
    content = Path(file).read_bytes()
    if len(content) > Limits().most_bytes:
        raise FetchFailed("too_large", f"it has more than the {Limits().most_bytes} bytes allowed")
    if kind == Kind.SITEMAP:
        return parse_sitemap(content)
    return parse_feed(content, "http://good.example/feed.xml", "never", "text/xml")


def _entries(listing: Listing) -> Iterator[Item]:
    """What `Polling` makes of the entries, with a page for those that need one."""
    for entry in listing.entries:
        page = {"html": "<p>A page.</p>"} if entry.page else {}
        yield to_item(entry.origin, {**entry.article, **page}, time=entry.time)
    if listing.problem:
        yield Trouble("http://good.example/list", listing.problem)


# ---------------------------------------------------------------- requests


def _request(outcome: Outcome, given: Given) -> None:
    """A request's body as the gateway reads it, in the pieces in which it comes in."""
    settings = GatewaySettings(kafka_bootstrap_servers="unused.example:9092")
    headers: dict[str, str] = given.options["headers"]
    publishers = given.options.get("publishers")
    client = Client("desk", frozenset(publishers) if publishers else None)
    try:
        form = form_of(headers.get("content-type"))
        body = Body(settings.body_bytes, gzip=is_gzip(headers.get("content-encoding")))
        with Path(given.file).open("rb") as incoming:
            while piece := incoming.read(65_536):
                body.add(piece)
        records = read_articles(body.whole(), form, packing(headers), client, settings.body_records)
    except Rejected as rejected:
        for problem in rejected.problems:
            shown = problem.shown()
            outcome.refuse(str(shown["reason"]), f"line {shown['line']} {shown['field']}", str(shown["error"]))
        return
    for record in records:
        article = read_record(ARTICLES_RAW, record.value)
        outcome.send(f"{article.id or ''} {article.url or ''}"[:300])
