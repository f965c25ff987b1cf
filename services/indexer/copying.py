"""Documents of one index brought into another: copied in the order of their ids, compared, and mended.

What is written carries its version, so that nothing here takes the place of anything newer, and all of it may be
done again at any time. It is written by an alias that must be there, so that no index comes back that was deleted.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import structlog
import tenacity
from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError

from services.indexer.core import STORY_FIELDS
from services.indexer.elasticsearch_index import SHOWN_ERROR, failure_of, verdict_on
from services.indexer.index import Outcome, TooLarge, Unavailable, Verdict, Write
from services.indexer.sharing import in_requests

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

KEEP_ALIVE = "5m"
"""How long Elasticsearch keeps a moment of an index for us after each page: far more than a page takes, and little
where we never come back. What it keeps holds deleted segments on its disk."""

FIRST_PAGE = 32
"""Documents in the first page; nobody knows yet how large they are."""

MOST_IN_A_PAGE = 1_000
"""Beyond some hundred documents a larger page is no faster; Elasticsearch's own limit is 10,000."""

READ_AT_ONCE = 50
"""Documents read by their ids in one request, from both indices: each may have some MB."""

DIFFERING_AT_ONCE = 5_000
"""Ids of documents that seem to differ and are looked at together, after a moment for all of them."""

LOOKS = (1.0, 2.0, 4.0)
"""Seconds before each further look at documents that differ. The indexer may be between its two writes, or wait to
try the second one again (INDEXER_BACKOFF_MAX_SECONDS, 3 s): what is left after this differs for another reason."""

MOST_NAMED = 20
"""Refused documents that are named; all are counted."""

REQUEST_SECONDS = 60.0
"""For an answer: a bulk of some MB takes a second, a page less."""

PAUSE_SECONDS = 10.0
"""The longest pause between two tries while Elasticsearch takes nothing; the first ones are shorter."""


TOLD_EVERY = 100
"""Documents between two words on how far a comparison is."""

GONE = frozenset({"index_not_found_exception", "aliases_not_found_exception"})
"""Errors for an index that is not there. For the indexer it is being set up; here it was there a moment ago."""


class Gone(Exception):
    """An index or an alias that was there is no more: somebody else changed it meanwhile."""


class Miscounted(Exception):
    """Fewer or more documents were read than the index said it has."""


@dataclass(frozen=True)
class Limits:
    """How much at once, in bytes, and for how many seconds in a row Elasticsearch may take nothing at all.

    Once it is `ended`, nothing is waited for any more.
    """

    bulk_bytes: int = 8 * 1024 * 1024
    patience_seconds: float = 600.0
    ended: threading.Event = field(default_factory=threading.Event)


def ask(limits: Limits, call: Callable[[], Answer]) -> Answer:
    """The answer to `call`, asked for again while Elasticsearch is busy or away.

    Raises `Gone`, `Forbidden`, `TooLarge`, `ApiError`, and `Unavailable` when patience is at its end.
    """
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=PAUSE_SECONDS),
        stop=tenacity.stop_after_delay(limits.patience_seconds) | tenacity.stop_when_event_set(limits.ended),
        sleep=tenacity.sleep_using_event(limits.ended),
        before_sleep=lambda state: log.warning(
            "waiting for Elasticsearch", reason=str(state.outcome.exception() if state.outcome else "")
        ),
        reraise=True,
    )
    answer: Answer = retry(_judged, call)
    return answer


def _judged(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except ApiError as error:
        if error.error in GONE:
            raise Gone(f"{error}"[:SHOWN_ERROR]) from error
        raise failure_of(error.status_code, error) from error
    except TransportError as error:
        raise Unavailable(f"{type(error).__name__}: {error}"[:SHOWN_ERROR]) from error


def connected(client: Elasticsearch) -> Elasticsearch:
    """The client for `ask`: its own retries know neither the items nor how long to go on."""
    return client.options(max_retries=0, request_timeout=REQUEST_SECONDS)


# ---------------------------------------------------------------- reading


def pages(
    client: Elasticsearch, index: str, limits: Limits, after: str | None = None, since: int | None = None
) -> Generator[list[Write], None, None]:
    """The documents of a concrete index, retracted ones too, as it is now; those with an id above `after`,
    and of all these only what was written after the sequence number `since`.

    A page is at most about half of `bulk_bytes` as long as documents are of like size. Raises `Miscounted` at the
    end, and what `ask` raises.
    """
    ask(limits, lambda: client.indices.refresh(index=index))
    query = {"match_all": {}} if since is None else {"range": {"_seq_no": {"gt": since}}}
    moment = _Moment(client, index, query, limits)
    whole = after is None
    count, total, size = 0, 0, FIRST_PAGE
    try:
        while hits := moment.page(after, size):
            total = moment.total if not count else total
            page = [_document(hit) for hit in hits]
            yield page
            count += len(page)
            after = page[-1].id
            size = _next_size(page, limits.bulk_bytes // 2)
    finally:
        moment.close()
    if whole and not moment.lost and count != total:
        raise Miscounted(f"{index} has {total} documents, and {count} could be read: is there one without an `id`?")


def _document(hit: Mapping[str, Any]) -> Write:
    text = json.dumps(hit["_source"], ensure_ascii=False)
    # Half a surrogate has no UTF-8; as an escape it is what JSON has for it.
    return Write(hit["_id"], hit["_version"], text.encode(errors="backslashreplace"))


def _next_size(page: Sequence[Write], most_bytes: int) -> int:
    """Documents of the next page, if they are as large as these; at most twice as many as of this one."""
    size = sum(len(each.source or b"") for each in page)
    return max(1, min(2 * len(page), MOST_IN_A_PAGE, len(page) * most_bytes // max(1, size)))


class _Moment:
    """An index as it was when it was first asked, and again as it is where the server has lost that moment."""

    def __init__(self, client: Elasticsearch, index: str, query: dict[str, Any], limits: Limits) -> None:
        self._client = client
        self._index = index
        self._query = query
        self._limits = limits
        self._id: str | None = None
        self.total = 0
        self.lost = False

    def page(self, after: str | None, size: int) -> list[dict[str, Any]]:
        return ask(self._limits, lambda: self._try(after, size))

    def _try(self, after: str | None, size: int) -> list[dict[str, Any]]:
        if self._id is None:
            self._id = self._client.open_point_in_time(index=self._index, keep_alive=KEEP_ALIVE)["id"]
        try:
            answer = self._client.search(
                pit={"id": self._id, "keep_alive": KEEP_ALIVE},
                query=self._query,
                sort=[{"id": "asc"}],
                search_after=None if after is None else [after],
                size=size,
                version=True,
                track_total_hits=not self.total,
                # A shard that does not answer would else be left out without a word.
                allow_partial_search_results=False,
            )
        except NotFoundError as error:
            if error.error in GONE:
                raise
            # The server was started again, or we were away too long.
            self._id, self.lost = None, True
            raise Unavailable("the server has lost where we were in the index") from error
        self._id = answer["pit_id"]
        if not self.total:
            self.total = answer["hits"]["total"]["value"]
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    def close(self) -> None:
        if self._id is not None:
            # It ends by itself too.
            with suppress(ApiError, TransportError):
                self._client.close_point_in_time(id=self._id)


# ---------------------------------------------------------------- writing


@dataclass
class Counts:
    """What became of documents that were brought over."""

    written: int = 0
    present: int = 0
    """As new or newer ones were there already."""
    refused: int = 0
    named: dict[str, str] = field(default_factory=dict)
    """Some of the refused ones by their ids, with the index's own words."""

    def add(self, name: str, outcome: Outcome) -> None:
        """One more, with its verdict."""
        if outcome.verdict is Verdict.REFUSED:
            self.refuse(name, outcome.error)
        elif outcome.verdict is Verdict.SUPERSEDED:
            self.present += 1
        else:
            self.written += 1

    def refuse(self, name: str, error: str) -> None:
        """One is refused for good."""
        self.refused += 1
        if len(self.named) < MOST_NAMED:
            self.named[name] = error


class Target:
    """The index behind an alias, for bringing documents into it; several threads may, each with others."""

    def __init__(self, client: Elasticsearch, alias: str, limits: Limits) -> None:
        self._client = client
        self._alias = alias
        self._limits = limits
        self._counting = threading.Lock()
        self.counts = Counts()

    def bring(self, documents: Sequence[Write], *, over_equal: bool = False) -> None:
        """Write each unless a newer one is there, or, without `over_equal`, one of the same version.

        Raises what `ask` raises; then some are written, and all may be given again.
        """
        left: list[Write] = list(documents)
        end = time.monotonic() + self._limits.patience_seconds
        pause = 0.5
        while left:
            again = []
            for request in in_requests(left, lambda each: len(each.source or b""), self._limits.bulk_bytes):
                again += self._try(request, over_equal)
            if len(again) < len(left):
                end, pause = time.monotonic() + self._limits.patience_seconds, 0.5
            elif time.monotonic() > end or self._limits.ended.is_set():
                raise Unavailable(f"{len(again)} documents were not taken: the index is busy or blocked")
            left = again
            if left:
                log.warning("waiting for Elasticsearch", reason="the index is busy or blocked", documents=len(left))
                pause = min(PAUSE_SECONDS, 2 * pause)
                self._limits.ended.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret

    def _try(self, request: list[Write], over_equal: bool) -> list[Write]:
        """One request; returns those that are to be tried again."""
        lines = [line for each in request for line in _lines(each, over_equal)]
        try:
            answer = ask(
                self._limits,
                lambda: self._client.bulk(operations=lines, index=self._alias, require_alias=True),
            )
        except TooLarge as error:
            if len(request) == 1:
                with self._counting:
                    self.counts.refuse(request[0].id, str(error))
                return []
            half = len(request) // 2
            return self._try(request[:half], over_equal) + self._try(request[half:], over_equal)
        again = []
        for each, item in zip(request, answer["items"], strict=True):
            ((action, told),) = item.items()
            if (told.get("error") or {}).get("type") in GONE:
                raise Gone(f"{self._alias}: {told['error'].get('reason')}")
            outcome = verdict_on(action, told)
            if outcome.verdict is Verdict.AGAIN:
                again.append(each)
            else:
                with self._counting:
                    self.counts.add(each.id, outcome)
        return again


def _lines(document: Write, over_equal: bool) -> Iterator[Any]:
    """Of a bulk request; bytes pass through the client unchanged."""
    kind = "external_gte" if over_equal or document.source is None else "external"
    action = {"_id": document.id, "version": document.revision, "version_type": kind}
    yield json.dumps({"delete" if document.source is None else "index": action}).encode()
    if document.source is not None:
        yield document.source


# ---------------------------------------------------------------- comparing


Behind = Callable[[Write | None, Write | None], bool]
"""Whether what the second index has for an id is not what it should be, beside what the first one has."""


def behind_as_copy(document: Write | None, other: Write | None) -> bool:
    """Where the second index is a copy of the first one, field by field.

    A newer document is no fault: the indexer writes to both, and what only the second one has as yet comes to the
    first one too.
    """
    if document is None or other is None:
        return document is not other
    if document.revision != other.revision:
        return document.revision > other.revision
    return document.source != other.source and _parsed(document) != _parsed(other)


def behind_as_rebuilt(document: Write | None, other: Write | None) -> bool:
    """Where the second index was filled from Kafka: it may have more articles, and the same ones said otherwise.

    What the first one knows to be taken out, or to be part of a story, the second one must know too.
    """
    if document is None:
        return False
    if other is None or document.revision != other.revision:
        return other is None or document.revision > other.revision
    if document.source == other.source:
        return False
    first, second = _parsed(document), _parsed(other)
    if "retracted" in first or "retracted" in second:
        return "retracted" not in second
    return _story(first).get("dedup") == "linked" and _story(first) != _story(second)


def behind_as_later(document: Write | None, other: Write | None) -> bool:
    """Where the second index is the one that is searched: what it lacks, or has older, or what was taken out."""
    if document is None or other is None or document.revision != other.revision:
        return document is not None and (other is None or document.revision > other.revision)
    return "retracted" in _parsed(document) and "retracted" not in _parsed(other)


def _parsed(document: Write) -> dict[str, Any]:
    source: dict[str, Any] = json.loads(document.source or b"{}")
    return source


def _story(source: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in source.get("pipeline", {}).items() if name in STORY_FIELDS}


def side_by_side(
    documents: Iterator[list[Write]], others: Iterator[list[Write]]
) -> Iterator[tuple[str, Write | None, Write | None]]:
    """Each id of the one or of the other with what both have for it, from pages in the order of the ids."""
    one, other = _Stream(documents), _Stream(others)
    while one.first or other.first:
        name = min(each.first.id for each in (one, other) if each.first)
        yield name, one.take(name), other.take(name)


class _Stream:
    """The documents of pages, one after the other."""

    def __init__(self, pages: Iterator[list[Write]]) -> None:
        self._left = (each for page in pages for each in page)
        self.first = next(self._left, None)

    def take(self, name: str) -> Write | None:
        """The first one, if it has this id, and then the next one is first."""
        found = self.first
        if found is None or found.id != name:
            return None
        self.first = next(self._left, None)
        return found


@dataclass
class Compared:
    """One comparison of two indices from end to end."""

    documents: int = 0
    """Ids looked at."""
    first: int = 0
    second: int = 0
    """Documents in the one index, and in the other."""
    seemed: int = 0
    """Differed at first; most of them only since they were being written."""
    copied: int = 0
    deleted: int = 0
    """Brought in line."""

    @property
    def lasting(self) -> int:
        """Documents that differed for another reason than being written at that moment."""
        return self.copied + self.deleted


@dataclass(frozen=True)
class Comparison:
    """Two concrete indices: the first one is right, the second one, behind `target`, is brought in line."""

    client: Elasticsearch
    first: str
    second: str
    target: Target
    behind: Behind
    limits: Limits

    def run(self, told: Callable[[int], None]) -> Compared:
        """Look at every document of both; `told` is called with the number of those looked at so far.

        Raises `Miscounted` and what `ask` raises.
        """
        done = Compared()
        first, second = (pages(self.client, index, self.limits) for index in (self.first, self.second))
        with closing(first), closing(second):
            differing = self._differing(side_by_side(first, second), done, told)
            while names := list(islice(differing, DIFFERING_AT_ONCE)):
                done.seemed += len(names)
                self._bring_in_line(self._lasting(names), done)
        return done

    def run_since(self, since: int) -> int:
        """Look only at what was written into the first one after this sequence number; returns how many differ."""
        done = Compared()
        with closing(pages(self.client, self.first, self.limits, since=since)) as written:
            for page in written:
                self._bring_in_line(self._lasting([each.id for each in page]), done)
        return done.lasting

    def _differing(
        self,
        found: Iterator[tuple[str, Write | None, Write | None]],
        done: Compared,
        told: Callable[[int], None],
    ) -> Iterator[str]:
        for name, document, other in found:
            done.documents += 1
            done.first += document is not None
            done.second += other is not None
            if done.documents % TOLD_EVERY == 0:
                told(done.documents)
            if self.behind(document, other):
                yield name

    def _lasting(self, names: Sequence[str]) -> Sequence[str]:
        """Those that differ at each look from now on."""
        for seconds in (0.0, *LOOKS):
            time.sleep(seconds)
            names = [name for name, document, other in self._now(names) if self.behind(document, other)]
            if not names:
                break
        return names

    def _bring_in_line(self, names: Sequence[str], done: Compared) -> None:
        for start in range(0, len(names), READ_AT_ONCE):
            wrong: list[Write] = []
            for name, document, other in self._now(names[start : start + READ_AT_ONCE]):
                if not self.behind(document, other):
                    continue
                if document is not None:
                    done.copied += 1
                    wrong.append(document)
                elif other is not None:
                    done.deleted += 1
                    wrong.append(Write(name, other.revision, None))
            self.target.bring(wrong, over_equal=True)

    def _now(self, names: Sequence[str]) -> Iterator[tuple[str, Write | None, Write | None]]:
        """The documents of these ids as they are now, whether they can be found by searching yet or not."""
        for start in range(0, len(names), READ_AT_ONCE):
            some = names[start : start + READ_AT_ONCE]
            # In one request, so that little happens between the two.
            wanted = [{"_index": index, "_id": name} for name in some for index in (self.first, self.second)]
            found = ask(self.limits, partial(_read, self.client, wanted))
            for at, name in enumerate(some):
                yield name, found[2 * at], found[2 * at + 1]


def _read(client: Elasticsearch, wanted: list[dict[str, str]]) -> list[Write | None]:
    answer = client.mget(docs=wanted)
    for each in answer["docs"]:
        if problem := each.get("error"):
            text = f"{problem.get('type')}: {problem.get('reason')}"[:SHOWN_ERROR]
            raise Gone(text) if problem.get("type") in GONE else Unavailable(text)
    return [_document(each) if each["found"] else None for each in answer["docs"]]
