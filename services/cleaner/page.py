"""HTML: the paragraphs of a page or of an article's fragment, and what a page says about its article."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from schemas.article import Change, Kind
from services.cleaner.extraction import Block, article_blocks, blocks_of, page_blocks, size_of
from services.cleaner.quality import PageFacts
from services.cleaner.text import split_text

_T = TypeVar("_T")

_WHOLE_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_HTTP = re.compile(r"https?://[^\s/]+\S*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,8}")

_ELEMENTS = etree.ElementDefaultClassLookup(element=HtmlElement)
"""lxml's own look-up asks Python for the class of every element, which takes a tenth of the time of a page."""


class HtmlTooDeep(ValueError):
    """Elements are nested deeper than the parser follows (256), so that text would be lost without a word."""

    dead_letter = "html_too_deep"


class Piece(NamedTuple):
    """A paragraph as it was read: its repaired text, what it is, and what was repaired."""

    text: str
    kind: Kind = Kind.TEXT
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Page:
    """What an HTML text holds. Texts but the paragraphs are as the page has them; `None` is not stated."""

    paragraphs: tuple[Piece, ...] = ()
    facts: PageFacts | None = None
    """`None` for an article's fragment, which is no page."""
    headline: str | None = None
    summary: str | None = None
    byline: str | None = None
    section: str | None = None
    published: tuple[datetime, ...] = ()
    """All that the page states, the most trusted first."""
    modified: tuple[datetime, ...] = ()
    url: str | None = None
    language: str | None = None


def read_page(html: str) -> Page:
    """Paragraphs and metadata of a whole page; of a fragment all text, block by block.

    A page's headline is no paragraph of it.

    Raises:
        HtmlTooDeep: where text would be lost otherwise.
    """
    root = _parse(html)
    if root is None:
        return Page()
    if not _WHOLE_PAGE.search(html):
        return Page(paragraphs=_pieces(blocks_of(root)))
    meta = _meta(root)
    article = _json_article(root, meta)
    metadata = _metadata(root, article, meta)
    page = page_blocks(root)
    facts = _facts(page, stated=bool(article) or meta.get("og:type", "").lower() == "article")
    blocks = article_blocks(root, page, _text(article.get("articleBody")))
    headline = _key(metadata["headline"] or "")
    text = [block for block in blocks if block.level != 1 or _key(block.text) != headline]
    return Page(paragraphs=_pieces(text or blocks), facts=facts, **metadata)


def _key(text: str) -> str:
    return "".join(text.split()).casefold()


def _parse(html: str) -> HtmlElement | None:
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=False)
    parser.set_element_class_lookup(_ELEMENTS)
    try:
        root = document_fromstring(_CONTROLS.sub("", html).encode(errors="replace"), parser=parser)
    except etree.ParserError:  # no element and no text at all
        return None
    if any("Excessive depth" in error.message for error in parser.error_log):
        raise HtmlTooDeep("HTML is nested deeper than 256 elements")
    return root


def _pieces(blocks: Iterable[Block]) -> tuple[Piece, ...]:
    # As plain text, so that text which spells layout (an escaped <br>) means the same whenever it is read.
    return tuple(Piece(text, block.kind, changes) for block in blocks for text, changes in split_text(block.text))


def _facts(page: Sequence[Block], *, stated: bool) -> PageFacts:
    visible = [block for block in page if not block.noise]
    characters = size_of(visible)
    return PageFacts(
        stated_article=stated,
        linked_headings=sum(block.kind is Kind.HEADING and block.linked > 0.9 for block in visible),
        linked_share=sum(len(block.text) * block.linked for block in visible) / max(1, characters),
        page_characters=characters,
    )


def _metadata(root: HtmlElement, article: dict[str, Any], meta: dict[str, str]) -> dict[str, Any]:
    """What the page states, by the fields of `Page`: JSON-LD first, then Open Graph, then plain meta tags."""
    site = meta.get("og:site_name", "")
    headlines = (
        article.get("headline"),
        meta.get("og:title"),
        meta.get("twitter:title"),
        *(heading.text_content() for heading in _only(root.findall(".//h1"))),
        root.findtext(".//title"),
    )
    authors = (
        _names(article.get("author")),
        meta.get("author"),
        meta.get("article:author"),
        *(link.text_content() for link in _only(root.findall('.//a[@rel="author"]'))),
    )
    addresses = [_address(value) for value in (_canonical(root), meta.get("og:url"), article.get("url"))]
    return {
        "headline": _first(_without_site(text, site) for text in map(_text, headlines) if text),
        "summary": _first(
            map(_text, (article.get("description"), meta.get("og:description"), meta.get("description")))
        ),
        # The site is not the author, though much software writes it there.
        "byline": _first(
            text for text in map(_text, authors) if text and not _HTTP.match(text) and text.lower() != site.lower()
        ),
        "section": _first(map(_text, (_one(article.get("articleSection")), meta.get("article:section")))),
        "published": _times(
            article.get("datePublished"), *map(meta.get, _PUBLISHED), *_marked(root, "datePublished")
        ),
        "modified": _times(article.get("dateModified"), *map(meta.get, _MODIFIED), *_marked(root, "dateModified")),
        # An address without a path is the site's: a canonical link that much software leaves on every page.
        "url": _first(address for address in addresses if address and urlsplit(address).path.strip("/"))
        or _first(addresses),
        "language": _first(
            map(
                _language,
                (
                    root.get("lang"),
                    root.get("xml:lang"),
                    _text(article.get("inLanguage")),
                    meta.get("og:locale"),
                    meta.get("content-language"),
                ),
            )
        ),
    }


_PUBLISHED = (
    "article:published_time",
    "article:published",
    "og:published_time",
    "datepublished",
    "parsely-pub-date",
    "sailthru.date",
    "dcterms.issued",
    "dcterms.created",
    "dc.date.issued",
    "dc.date",
    "pubdate",
    "publishdate",
    "date",
)
_MODIFIED = (
    "article:modified_time",
    "article:modified",
    "og:updated_time",
    "datemodified",
    "dcterms.modified",
    "last-modified",
)


def _times(*values: object) -> tuple[datetime, ...]:
    return tuple(time for time in map(_time, values) if time)


def _marked(root: HtmlElement, name: str) -> list[str | None]:
    """Times that stand in the text with a mark of what they are; of several nobody knows which is the article's."""
    return _only([element.get("datetime") for element in root.iterfind(f'.//time[@itemprop="{name}"]')])


def _one(value: object) -> object:
    """The first of a list, or the value itself: schema.org lets every field be either."""
    return (value[0] if value else None) if isinstance(value, list) else value


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value), None)


def _only(values: list[_T]) -> list[_T]:
    return values if len(values) == 1 else []


def _meta(root: HtmlElement) -> dict[str, str]:
    """Meta tags by their name in small letters; the first of a name that says something."""
    found: dict[str, str] = {}
    for tag in root.iter("meta"):
        name = tag.get("property") or tag.get("name") or tag.get("itemprop") or tag.get("http-equiv")
        content = (tag.get("content") or "").strip()
        if name and content:
            found.setdefault(name.lower(), content)
    return found


def _canonical(root: HtmlElement) -> str | None:
    return _first((link.get("href") or "").strip() for link in root.iterfind('.//link[@rel="canonical"]'))


def _without_site(title: str, site: str) -> str:
    """`Headline | Site` without what is not headline."""
    if not site or not title.lower().endswith(site.lower()):
        return title
    return title[: -len(site)].rstrip(" |·•:–—-") or title


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _address(value: object) -> str | None:
    """An address as the contract for producers wants it: http or https, with a host; a relative one is none."""
    address = _text(value)
    if address is None or not _HTTP.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        return address if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _names(author: object) -> str | None:
    """Names of a schema.org author: a text, a person, an organisation, or a list of those."""
    authors = author if isinstance(author, list) else [author]
    names = (_text(one.get("name")) if isinstance(one, dict) else _text(one) for one in authors)
    return ", ".join(name for name in names if name and not _HTTP.match(name)) or None


def _time(value: object) -> datetime | None:
    """ISO 8601 or the date of a mail header; anything else is no time."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(value.strip()) if isinstance(value, str) else None
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _language(value: str | None) -> str | None:
    language = (value or "").strip().replace("_", "-")
    return language if _LANGUAGE.fullmatch(language) else None


def _json_article(root: HtmlElement, meta: dict[str, str]) -> dict[str, Any]:
    """The schema.org article in the page's JSON-LD, empty where there is none.

    Of several (a page may list others) the one with the page's own title; without such a one the first.
    """
    articles = list(_json_articles(root))
    title = (meta.get("og:title") or root.findtext(".//title") or "").lower()
    named = (article for article in articles if (_text(article.get("headline")) or "\0").lower() in title)
    return next(named, articles[0] if articles else {})


def _json_articles(root: HtmlElement) -> Iterator[dict[str, Any]]:
    for script in root.iterfind('.//script[@type="application/ld+json"]'):
        try:
            waiting: deque[Any] = deque([json.loads(script.text or "", strict=False)])
        except (ValueError, RecursionError):
            continue
        while waiting:
            node = waiting.popleft()
            if isinstance(node, list):
                waiting.extend(node)
            elif isinstance(node, dict):
                kinds = node.get("@type")
                if any(map(_is_article, kinds if isinstance(kinds, list) else [kinds])):
                    yield node
                else:
                    waiting.extend(node[key] for key in ("@graph", "mainEntity", "mainEntityOfPage") if key in node)


def _is_article(kind: object) -> bool:
    return isinstance(kind, str) and kind.endswith(("Article", "BlogPosting", "Report"))
