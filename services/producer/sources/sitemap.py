"""Articles from news sitemaps, and from any other sitemap."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from lxml import etree
from pydantic import Field

from schemas.article import Name, in_utc
from services.producer.core import Item
from services.producer.fetch import FetchFailed
from services.producer.fetching import FetchSettings, fetch_here
from services.producer.polling import Entry, Listing, Polling, digest
from services.producer.source import Positional, Run
from services.producer.sources.rss import LANGUAGE, declares_types, host_of, listed_in

MOST_UNPACKED = 50 * 2**20
"""Bytes: a sitemap may have 50 MB, by sitemaps.org."""

MOST_PAGES = 50_000
"""Pages of a sitemap, or sitemaps of an index, by sitemaps.org; what comes after them is not read."""

LONGEST_LANGUAGE = 85
"""Characters, as in the contract."""


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
    """The pages of a sitemap, or the sitemaps of an index; raises `FetchFailed`.

    There are parsers for sitemaps (ultimate-sitemap-parser); what they cannot read they pass over without a word,
    and half a sitemap would count as read. So the XML is read by lxml, and what it says of its end is heeded.
    """
    content = _unpacked(content)
    if declares_types(content):
        raise FetchFailed("dtd", "it declares a document type: a sitemap needs none, and bombs are made of it")
    if not content.strip():
        raise FetchFailed("not_a_sitemap", "it is empty")
    pages = _plain_text(content)
    if pages is not None:
        return Listing(entries=[] if news_only else pages, etag=etag, modified=modified)
    root, problem = _root(content)
    kind = _name(root)
    if problem and len(root):
        root.remove(root[-1])  # it may be half of an address
    if kind == "sitemapindex":
        found = [_text(each, "loc") for each in root if _name(each) == "sitemap"]
        more = [url for url in found[:MOST_PAGES] if url.startswith(("http://", "https://"))]
        return Listing(more=more, etag=etag, modified=modified, problem=problem)
    if kind != "urlset":
        raise FetchFailed("not_a_sitemap", f"it is no sitemap: its root is {kind[:50]}")
    entries: dict[str, Entry] = {}
    for each in root:
        story = _child(each, "news")
        if _name(each) == "url" and _text(each, "loc") and (story is not None or not news_only):
            entry = _entry(each, story)
            entries.setdefault(entry.key, entry)
        if len(entries) == MOST_PAGES:
            break
    return Listing(entries=list(entries.values()), etag=etag, modified=modified, problem=problem)


def _root(content: bytes) -> tuple[Any, str | None]:
    """The root of an XML document, and why it may not be all of it."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True, remove_comments=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise FetchFailed("not_a_sitemap", f"it is no sitemap: {str(error)[:200]}") from None
    if root is None:
        raise FetchFailed("not_a_sitemap", "it is no sitemap, nor any XML")
    cut = [each for each in parser.error_log if each.type in _ENDS_EARLY]
    return root, f"it ends early, at line {cut[0].line}: what comes after that cannot be seen" if cut else None


_ENDS_EARLY = frozenset(
    {
        etree.ErrorTypes.ERR_TAG_NOT_FINISHED,
        etree.ErrorTypes.ERR_DOCUMENT_END,
        etree.ErrorTypes.ERR_COMMENT_NOT_FINISHED,
        etree.ErrorTypes.ERR_CDATA_NOT_FINISHED,
    }
)


def _plain_text(content: bytes) -> list[Entry] | None:
    """The pages of a sitemap in plain text, a URL a line; None where it is none."""
    if b"\0" in content or content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return None
    lines = content.decode("utf-8-sig", "replace").split()
    urls = [line for line in lines if line.startswith(("http://", "https://"))]
    return [_page(url) for url in urls[:MOST_PAGES]] if urls else None


def _page(url: str) -> Entry:
    return Entry(digest(url), digest(None, None), url, {"publisher": host_of(url), "url": url}, page=url)


def _unpacked(content: bytes) -> bytes:
    """A sitemap.xml.gz, which servers send as a file and not as an encoding."""
    plain = b""
    packed = content
    while packed.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain += unpacker.decompress(packed, MOST_UNPACKED + 1 - len(plain))
        except zlib.error as error:
            raise FetchFailed("bad_answer", f"its gzip is broken: {error}") from None
        if len(plain) > MOST_UNPACKED:
            raise FetchFailed("too_large", f"it unpacks to more than {MOST_UNPACKED} bytes")
        if not unpacker.eof:
            raise FetchFailed("bad_answer", "its gzip is cut off")
        packed = unpacker.unused_data
    if plain.startswith(b"\x1f\x8b"):
        raise FetchFailed("not_a_sitemap", "it is packed twice")
    return plain or content


def _name(element: Any) -> str:
    """An element's name without its namespace: many sitemaps have another one, or none."""
    return element.tag.rpartition("}")[2].rpartition(":")[2] if isinstance(element.tag, str) else ""


def _child(element: Any, name: str) -> Any:
    return next((each for each in element if _name(each) == name), None)


def _text(element: Any, name: str) -> str:
    found = _child(element, name) if element is not None else None
    return "".join(found.itertext()).strip() if found is not None else ""


def _entry(element: Any, story: Any) -> Entry:
    url = _text(element, "loc")
    published = _time(_text(story, "publication_date"))
    modified = _time(_text(element, "lastmod"))
    article: dict[str, Any] = {"publisher": host_of(url), "url": url}
    if story is not None:
        language = _text(_child(story, "publication"), "language").replace("_", "-")
        article |= {
            "headline": _text(story, "title"),
            "published": published,
            "language": language if LANGUAGE.fullmatch(language) and len(language) <= LONGEST_LANGUAGE else None,
            "subjects": tuple(filter(None, (each.strip() for each in _text(story, "keywords").split(",")))),
        }
    if modified is not None and modified != published:
        article["modified"] = modified
    return Entry(digest(url), digest(published, modified), url, article, published or modified, url)


def _time(text: str) -> datetime | None:
    """A time of the W3C's form, which is one of ISO 8601; None for what is none."""
    try:
        time = datetime.fromisoformat(text)
        return in_utc(time)
    except (ValueError, OverflowError):
        return None
