"""Articles from news sitemaps, and from any other sitemap."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from usp.objects.sitemap import AbstractIndexSitemap, InvalidSitemap
from usp.tree import sitemap_from_str

from schemas.article import Name
from services.producer.core import Item
from services.producer.fetch import FetchFailed
from services.producer.fetching import FetchSettings, fetch_here
from services.producer.polling import Entry, Listing, Polling, digest
from services.producer.source import Positional, Run
from services.producer.sources.rss import declares_types, host_of, listed_in

MOST_UNPACKED = 50 * 2**20
"""Bytes: a sitemap may have 50 MB, by sitemaps.org."""


class Sitemap(FetchSettings):
    """News sitemaps, and others: the pages that they list; with --follow looked at again and again.

    A sitemap index is followed to its sitemaps. A page is fetched once, and again when the sitemap says that it
    was modified.
    """

    follows: ClassVar[bool] = True

    urls: Positional[list[str]] = Field(default=[], description="The sitemaps' URLs.")
    sitemaps: Path | None = Field(
        default=None, description="A file with a sitemap's URL a line, and after white space its publisher, if any."
    )
    publisher: Name | None = Field(
        default=None, description="Publisher of all articles; left out: the page's host."
    )
    news_only: bool = Field(default=False, description="Only pages of which the sitemap says that they are news.")

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new or modified in each sitemap."""
        lists, troubles = listed_in(self.urls, self.sitemaps, self.publisher)
        yield from troubles
        yield from Polling(self, run, read_sitemap, (self.news_only,)).articles(lists)


# ---------------------------------------------------------------- in the child process


def read_sitemap(url: str, etag: str | None, modified: str | None, news_only: bool) -> Listing:
    """Fetch and parse a sitemap; raises `FetchFailed`, with `dtd` or `not_a_sitemap` for what is none."""
    fetched = fetch_here(url, etag, modified)
    if fetched.unchanged:
        return Listing(unchanged=True)
    return parse_sitemap(fetched.content, news_only, fetched.etag, fetched.modified)


def parse_sitemap(
    content: bytes, news_only: bool = False, etag: str | None = None, modified: str | None = None
) -> Listing:
    """The pages of a sitemap, or the sitemaps of an index."""
    content = _unpacked(content)
    if declares_types(content):
        raise FetchFailed("dtd", "it declares a document type: a sitemap needs none, and bombs are made of it")
    text = content.decode("utf-8-sig", "replace")
    found = sitemap_from_str(text)
    if isinstance(found, InvalidSitemap) or not text.strip():
        reason = getattr(found, "reason", "it is empty")
        raise FetchFailed("not_a_sitemap", f"it is no sitemap: {' '.join(str(reason).split())[:200]}")
    if isinstance(found, AbstractIndexSitemap):
        return Listing(more=[each.url for each in found.sub_sitemaps], etag=etag, modified=modified)
    pages = [page for page in found.pages if page.news_story is not None or not news_only]
    return Listing(entries=[_entry(page) for page in pages], etag=etag, modified=modified)


def _unpacked(content: bytes) -> bytes:
    """A sitemap.xml.gz, which servers send as a file and not as an encoding."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(content, MOST_UNPACKED + 1)
    except zlib.error as error:
        raise FetchFailed("bad_answer", f"its gzip is broken: {error}") from None
    if len(plain) > MOST_UNPACKED:
        raise FetchFailed("too_large", f"it unpacks to more than {MOST_UNPACKED} bytes")
    if not unpacker.eof:
        raise FetchFailed("bad_answer", "its gzip is cut off")
    return plain


def _entry(page: Any) -> Entry:
    story = page.news_story
    published = _utc(story.publish_date) if story is not None else None
    modified = _utc(page.last_modified)
    article: dict[str, Any] = {"publisher": host_of(page.url), "url": page.url}
    if story is not None:
        article |= {
            "headline": story.title,
            "published": published,
            "language": story.publication_language,
            "subjects": tuple(each for each in story.keywords or () if each),
        }
    if modified is not None and modified != published:
        article["modified"] = modified
    return Entry(digest(page.url), digest(published, modified), page.url, article, published or modified, page.url)


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
