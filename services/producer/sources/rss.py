"""Articles from RSS and Atom feeds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urljoin, urlsplit

import feedparser
from pydantic import Field

from schemas.article import Name
from services.producer.core import Item, Trouble
from services.producer.fetch import FetchFailed
from services.producer.fetching import FetchSettings, fetch_here
from services.producer.polling import Entry, Listing, Polling, digest
from services.producer.source import Positional, Run

FULL_CHARACTERS = 600
"""A content element with as many characters of text is the article: three short paragraphs."""

FULL_SUMMARY_CHARACTERS = 2_000
"""A summary with as many is the article, in a feed that has no content elements: no teaser is so long."""

ENTRIES = 5_000
"""Of one look at a feed: 50 times the longest that is common."""

_TAG = re.compile(r"<[^<>]*>")
_REFERENCE = re.compile(rb"&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));")
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_MARKED = re.compile(r"[\ufeff\x00]")


class Rss(FetchSettings):
    """RSS and Atom feeds; with --follow looked at again and again.

    An entry is given once, and again when its text changes: a correction. Where a feed has no more than a summary,
    the article's page is fetched.
    """

    follows: ClassVar[bool] = True

    urls: Positional[list[str]] = Field(default=[], description="The feeds' URLs.")
    feeds: Path | None = Field(
        default=None, description="A file with a feed's URL a line, and after white space its publisher, if any."
    )
    publisher: Name | None = Field(
        default=None, description="Publisher of all articles; left out: the host of the feed's own website."
    )
    full_text: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Fetch the articles' pages: where the feed has only a summary, always, or never.",
    )

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new or changed in each feed."""
        lists, troubles = listed_in(self.urls, self.feeds, self.publisher)
        yield from troubles
        yield from Polling(self, run, read_feed, (self.full_text,)).articles(lists)


def listed_in(
    urls: Sequence[str], file: Path | None, publisher: str | None
) -> tuple[list[tuple[str, str | None]], list[Trouble]]:
    """URLs with their publishers, from the command line and from a file with one a line."""
    lists = [(url, publisher) for url in urls]
    troubles = []
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            lines = []
            troubles.append(Trouble(str(file), f"it cannot be read: {error}"))
        for line in lines:
            url, _, own = line.strip().partition(" ") if "\t" not in line else line.strip().partition("\t")
            if url and not url.startswith("#"):
                lists.append((url, own.strip() or publisher))
    if not lists and not troubles:
        troubles.append(Trouble("", "no URL is given: name one, or a file of them"))
    return lists, troubles


def host_of(url: str) -> str:
    """The host of a URL without `www.`: a publisher's stable short name."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


# ---------------------------------------------------------------- in the child process


def read_feed(url: str, etag: str | None, modified: str | None, full_text: str) -> Listing:
    """Fetch and parse a feed; raises `FetchFailed`, with `dtd` or `not_a_feed` for what is none."""
    fetched = fetch_here(url, etag, modified)
    if fetched.unchanged:
        return Listing(unchanged=True)
    return parse_feed(fetched.content, fetched.url, full_text, fetched.content_type, fetched.etag, fetched.modified)


def parse_feed(
    content: bytes,
    url: str,
    full_text: str,
    content_type: str = "",
    etag: str | None = None,
    modified: str | None = None,
) -> Listing:
    """The entries of a feed."""
    if declares_types(content):
        raise FetchFailed("dtd", "it declares a document type: a feed needs none, and bombs are made of it")
    if content.startswith(EBCDIC):
        raise FetchFailed("not_a_feed", "it is in EBCDIC, as no feed is")
    headers = {"content-type": content_type} if content_type else {}
    content = _REFERENCE.sub(_without_impossible, content)
    try:
        found: Any = feedparser.parse(
            content, response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    except Exception as error:  # noqa: BLE001 - it raises many things for a broken feed (found by a fuzz test)
        raise FetchFailed("not_a_feed", f"it cannot be parsed: {type(error).__name__}: {error}") from None
    if not found.get("version"):
        raise FetchFailed("not_a_feed", f"it is neither RSS nor Atom ({content_type or 'of no stated kind'})")
    publisher = host_of(_absolute(url, found.feed.get("link"))) or host_of(url)
    language = _language(found.feed.get("language"))
    cut = bool(found.bozo) and ends_early(content)
    # Half an article is none.
    given = found.entries[:-1] if cut and ends_in_an_entry(content) else found.entries
    # Plain ones: feedparser's own give the time of publication where there is none of a change.
    entries = [_entry(dict(each), url, publisher, language, full_text) for each in given[:ENTRIES]]
    # A list has the newest first; they are given in the order in which they were published.
    entries.reverse()
    return Listing(
        entries=entries,
        etag=etag,
        modified=modified,
        least_seconds=_minutes(found.feed.get("ttl")) * 60,
        problem="it ends early: what comes after that cannot be seen" if cut else None,
    )


def declares_types(content: bytes) -> bool:
    """Whether an XML document declares a type before its root, in any encoding that has ASCII's letters in it.

    What may stand before it, comments and instructions of any length, is passed over one by one.
    """
    content = content.replace(b"\0", b"")
    at = _behind_space(content, 0)
    while content.startswith((b"<?", b"<!--"), at):
        end = b"?>" if content.startswith(b"<?", at) else b"-->"
        found = content.find(end, at)
        if found < 0:
            return False
        at = _behind_space(content, found + len(end))
    return content.startswith(b"<!", at)


def _behind_space(content: bytes, at: int) -> int:
    found = _BEFORE.match(content, at)
    return found.end() if found else at


def ends_early(content: bytes) -> bool:
    """Whether a document has none of the tags that end a feed, or all of them in a comment without an end."""
    if content.rfind(b"<!--") > content.rfind(b"-->"):
        return True
    return not re.search(
        rb"</\s*(?:\w+:)?(?:rss|feed|rdf)\s*>", content[-LAST_BYTES:].replace(b"\0", b""), re.IGNORECASE
    )


_BEFORE = re.compile(rb"[ \t\r\n\xef\xbb\xbf\xfe\xff]*")
"""White space and byte order marks."""


def ends_in_an_entry(content: bytes) -> bool:
    """Whether the last entry of a feed has no end."""
    begin = max(content.rfind(b"<item"), content.rfind(b"<entry"))
    return begin > max(content.rfind(b"</item"), content.rfind(b"</entry"))


LAST_BYTES = 4_096
"""Where a feed's last tag is looked for: behind it stands a comment of the server's, if anything."""

EBCDIC = b"\x4c\x6f\xa7\x94"
"""`<?xm` in it: no feed is written so, and what it declares is not to be seen."""


def _without_impossible(reference: re.Match[bytes]) -> bytes:
    """A reference to what is no character stops feedparser with an error, and the whole feed would be lost."""
    digits, base = (reference[1], 16) if reference[1] else (reference[2], 10)
    number = int(digits, base) if len(digits) <= LONGEST_REFERENCE else 0
    possible = number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number <= 0x10FFFF
    return reference[0] if possible else b""


LONGEST_REFERENCE = 8
"""Digits of a character's number."""


def _entry(each: dict[str, Any], feed: str, publisher: str, language: str | None, full_text: str) -> Entry:
    url = _absolute(feed, each.get("link"))
    content = max((str(one.get("value") or "") for one in each.get("content", ())), key=len, default="")
    summary = str(each.get("summary") or "")
    text = _whole(content, summary, full_text)
    key = digest(each.get("id") or url or each.get("title"))
    published, updated = _time(each.get("published_parsed")), _time(each.get("updated_parsed"))
    article: dict[str, Any] = {
        "publisher": publisher,
        "id": _plain(each.get("id")) or None,
        "url": url or None,
        "headline": _plain(each.get("title")),
        "summary": _plain(summary) if text != summary else None,
        "byline": _plain(each.get("author")),
        "published": published,
        "modified": updated if updated != published else None,
        "language": _language(each.get("language")) or language,
        "subjects": tuple(filter(None, (_plain(tag.get("term")) for tag in each.get("tags", ())))),
        "copyright_notice": _plain(each.get("rights")),
    }
    page = url if not text and url else None
    if not page:
        article["html"] = text or summary
    # Of an article whose text is on its page, the feed may show a change by its time alone.
    changed = digest(article["headline"], content, summary, updated if page else "")
    return Entry(key, changed, url or f"{feed}#{key}", article, published or updated, page)


def _absolute(base: str, link: Any) -> str:
    """A link as a URL of http or https; empty where it is none."""
    try:
        url = urljoin(base, str(link)) if link else ""
    except ValueError:
        return ""
    return url if url.startswith(("http://", "https://")) else ""


def _whole(content: str, summary: str, full_text: str) -> str:
    """The article's HTML as the feed has it; empty where its page is to be fetched."""
    if full_text == "never":
        return max(content, summary, key=len)
    if full_text == "always":
        return ""
    if len(_TAG.sub("", content)) >= FULL_CHARACTERS:
        return content
    return summary if len(_TAG.sub("", summary)) >= FULL_SUMMARY_CHARACTERS else ""


def _plain(value: Any) -> str:
    """A title or a name without markup and line breaks."""
    return " ".join(_MARKED.sub("", _TAG.sub(" ", str(value or ""))).split())


def _language(value: Any) -> str | None:
    text = str(value or "").strip().replace("_", "-")
    return text if LANGUAGE.fullmatch(text) else None


def _time(value: Any) -> datetime | None:
    """feedparser's time, which is in UTC, as ISO 8601 text is; None for a day that the calendar does not have."""
    if not isinstance(value, time.struct_time):
        return None
    try:
        return datetime(*value[:6], tzinfo=UTC)
    except ValueError:
        return None


def _minutes(value: Any) -> float:
    try:
        return min(max(float(value), 0.0), 24 * 60.0)
    except (TypeError, ValueError):
        return 0.0
