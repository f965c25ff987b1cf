"""Lists of articles on the web (feeds, sitemaps), looked at again and again: what is new or changed is given once.

A list is read in a child process; where it has no more than a summary, the article's page is fetched. What was
given is remembered in the list's checkpoint, so that a list that repeats itself gives nothing twice.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.topics import MAX_RAW_BYTES
from services.producer.core import Item, Reached, Skipped, Trouble, Unusable, to_item
from services.producer.fetch import FetchFailed
from services.producer.fetching import Fetching, FetchSettings, read_page
from services.producer.source import Run

PAGE_TRIES = 5
"""Looks at which a page is tried before it is given up: with five minutes between them, half an hour."""

LONGEST_PAUSE_SECONDS = 24 * 3600.0
"""Between two looks at a list that fails: once a day it may have come back."""

JITTER = 0.1
"""Each pause is up to so much longer or shorter, so that a thousand lists are not looked at all at once."""

FEWEST_SEEN = 1_000
"""Entries of a list that are remembered, or twice its length where that is more: a list may leave some out and
bring them back."""

MOST_SEEN = 55_000
"""Entries of a list that are remembered at the most: a sitemap may have 50,000, and a record 900 kB."""

LISTS = 10_000
"""Lists in a run: a sitemap that names others without end comes to its end here."""

NAMED_LISTS = 1_000
"""Lists named by a list that its checkpoint keeps, for when the server says that it has not changed."""

TICK_SECONDS = 0.05

PAGE_BYTES = MAX_RAW_BYTES - 64 * 1024
"""Of a page in a record, as UTF-8: the rest is for the other fields and for what JSON escapes."""


@dataclass(frozen=True)
class Entry:
    """An article as a list names it. `digest` changes when the article does; `article` are its fields as known."""

    key: str
    digest: str
    origin: str
    article: dict[str, Any]
    time: datetime | None = None
    page: str | None = None
    """The URL of its page, where that must be fetched for its text."""


@dataclass(frozen=True)
class Listing:
    """What a child read: the entries, and for the next look what the server and the list said of themselves."""

    entries: Sequence[Entry] = ()
    more: Sequence[str] = ()
    """Other lists that this one names. Where it is unchanged, they are as they were."""
    etag: str | None = None
    modified: str | None = None
    unchanged: bool = False
    least_seconds: float = 0.0
    """How long the list asks to be left alone."""
    problem: str | None = None
    """Why this may not be all of it."""


def digest(*parts: object) -> str:
    """48 bits of a SHA-256 in base64: of 200,000 lists of 50,000 entries, one has two entries with the same one."""
    found = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(found[:6]).decode()


KEY_CHARACTERS = 8
DIGEST_CHARACTERS = 6
"""Of an entry in a checkpoint: 14 in all, so that the 50,000 pages that a sitemap may have fit into a record."""


@dataclass
class _List:
    url: str
    publisher: str | None
    etag: str | None = None
    modified: str | None = None
    seen: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    errors: int = 0
    least_seconds: float = 0.0
    problem: str | None = None
    open: int = 0
    """Pages of this look that are still to come."""
    complete: bool = True

    def written(self) -> str:
        # What the server said is written only when all it listed is dealt with: else a 304 would hide the rest.
        etag, modified = (self.etag, self.modified) if self.complete else (None, None)
        seen = "".join(key + value for key, value in self.seen.items())
        return json.dumps([etag, modified, seen, self.tries, self.more], separators=(",", ":"))

    @classmethod
    def read(cls, url: str, publisher: str | None, checkpoint: str | None) -> _List:
        if checkpoint is None:
            return cls(url, publisher)
        etag, modified, packed, tries, more = json.loads(checkpoint)
        size = KEY_CHARACTERS + DIGEST_CHARACTERS
        entries = [packed[start : start + size] for start in range(0, len(packed), size)]
        seen = {entry[:KEY_CHARACTERS]: entry[KEY_CHARACTERS:] for entry in entries}
        return cls(url, publisher, etag, modified, seen, tries, more)

    def remember(self, key: str, value: str) -> None:
        self.tries.pop(key, None)
        self.seen.pop(key, None)  # to the end: the oldest go first
        self.seen[key] = value[:DIGEST_CHARACTERS]

    def forget_oldest(self, listed: int) -> None:
        while len(self.seen) > min(max(FEWEST_SEEN, 2 * listed), MOST_SEEN):
            del self.seen[next(iter(self.seen))]


class Polling:
    """The looks at a source's lists.

    `read` runs in a child: `read(url, etag, modified, *arguments)` -> `Listing`.
    """

    def __init__(
        self,
        settings: FetchSettings,
        run: Run,
        read: Callable[..., Listing],
        arguments: tuple[Any, ...] = (),
    ) -> None:
        self._run = run
        self._read = read
        self._arguments = arguments
        self._fetching: Fetching = settings.fetching()
        self._due: list[tuple[float, str]] = []
        self._lists: dict[str, _List] = {}

    def articles(self, lists: Sequence[tuple[str, str | None]]) -> Iterator[Item]:
        """What the lists (URL and publisher) give: one look at each, or for ever when the run follows."""
        try:
            for url, publisher in lists:
                self._add(url, publisher)
            while True:
                now = time.monotonic()
                while self._due and self._due[0][0] <= now:
                    _, url = heapq.heappop(self._due)
                    each = self._lists[url]
                    self._fetching.ask((url, None), self._read, url, each.etag, each.modified, *self._arguments)
                for (url, entry), result in self._fetching.take():
                    each = self._lists[url]
                    yield from self._listed(each, result) if entry is None else self._page(each, entry, result)
                if not self._fetching.pending and not self._due:
                    return
                if not self._run.wait(TICK_SECONDS):
                    return
        finally:
            self._fetching.stop()

    def _add(self, url: str, publisher: str | None) -> None:
        if url not in self._lists and len(self._lists) < LISTS:
            self._lists[url] = _List.read(url, publisher, self._run.checkpoints.get(url))
            heapq.heappush(self._due, (time.monotonic(), url))

    def _listed(self, each: _List, result: Any) -> Iterator[Item]:
        """A look at a list has come back."""
        if isinstance(result, FetchFailed):
            each.errors += 1
            yield Trouble(each.url, result.error)
            self._look_again(each, result.retry_after)
            return
        listing: Listing = result
        each.errors = 0
        each.least_seconds = listing.least_seconds
        if not listing.unchanged:
            each.etag, each.modified = listing.etag, listing.modified
            each.more = list(listing.more[:NAMED_LISTS])
            each.complete = len(listing.more) <= NAMED_LISTS and listing.problem is None
            each.problem = listing.problem
        for url in each.more if listing.unchanged else listing.more:
            self._add(url, each.publisher)
        for entry in listing.entries:
            yield from self._entry(each, entry)
        each.forget_oldest(len(listing.entries))
        if not each.open:
            yield from self._end_of_look(each)

    def _entry(self, each: _List, entry: Entry) -> Iterator[Item]:
        if each.seen.get(entry.key) == entry.digest[:DIGEST_CHARACTERS]:
            yield Skipped(entry.origin, "seen", each.url)
        elif entry.time is not None and not self._run.wanted(entry.time):
            each.complete = False  # another run may want it
            yield Skipped(entry.origin, "out_of_range", each.url)
        elif entry.page is not None:
            each.open += 1
            self._fetching.ask((each.url, entry), read_page, entry.page, PAGE_BYTES)
        else:
            yield self._made(each, entry, {})

    def _page(self, each: _List, entry: Entry, result: Any) -> Iterator[Item]:
        """An article's page has come back."""
        each.open -= 1
        if not isinstance(result, FetchFailed):
            url, page = result
            yield self._made(each, entry, {"html": page, "url": entry.article.get("url") or url})
        elif self._run.follow and result.passes and each.tries.get(entry.key, 0) + 1 < PAGE_TRIES:
            each.tries[entry.key] = each.tries.get(entry.key, 0) + 1
            each.complete = False
            yield Skipped(entry.origin, "page_later", each.url)
        else:
            if self._run.follow:
                each.remember(entry.key, entry.digest)  # said once, not at every look
            else:
                each.complete = False
            yield Unusable(entry.origin, result.error, each.url, reason=result.reason)
        if not each.open:
            yield from self._end_of_look(each)

    def _made(self, each: _List, entry: Entry, more: dict[str, Any]) -> Item:
        fields = {"publisher": each.publisher, **entry.article, **more}
        if each.publisher:
            fields["publisher"] = each.publisher
        each.remember(entry.key, entry.digest)
        return to_item(entry.origin, fields, each.url, time=entry.time)

    def _end_of_look(self, each: _List) -> Iterator[Item]:
        yield Reached(each.url, each.written())
        if each.problem:
            yield Trouble(each.url, each.problem)
        self._look_again(each, None)

    def _look_again(self, each: _List, retry_after: float | None) -> None:
        if not self._run.follow:
            return
        pause = max(self._run.every, each.least_seconds) * 2.0 ** min(each.errors, 20)
        pause = min(max(pause, retry_after or 0.0), LONGEST_PAUSE_SECONDS)
        pause *= 1 + JITTER * (2 * random.random() - 1)  # noqa: S311 - no secret
        heapq.heappush(self._due, (time.monotonic() + pause, each.url))
