"""HTML: the paragraphs of a page or of an article's fragment, and what a page says about its article."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import urlsplit

import trafilatura
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring
from trafilatura.settings import Document

from services.cleaner.text import join_wrapped, repair, split_paragraphs

_T = TypeVar("_T")

ENOUGH = 250
"""Characters. An extraction below this is compared with plainer ways (trafilatura's own bound for that)."""

_WHOLE_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_SPACES = re.compile(r"[ \t\n\r\f]+")
_HTTP = re.compile(r"https?://[^\s/]+\S*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,8}")

_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p section summary table tbody "
    "tfoot thead tr ul "
    "head item list quote row"  # what trafilatura calls headings, li, ul and ol, blockquote, tr
)
_NAMES_WITHOUT_TEXT = (
    "audio button canvas datalist embed head iframe noscript object option script select style svg template "
    "textarea title video"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CELLS = frozenset({"td", "th", "cell"})
_BREAKS = frozenset({"br", "lb"})
_NO_TEXT = frozenset(_NAMES_WITHOUT_TEXT.split())
_NOT_THE_ARTICLE = _NO_TEXT | {"aside", "dialog", "footer", "form", "header", "menu", "nav"}


class HtmlTooDeep(ValueError):
    """Elements are nested deeper than the parser follows (256), so that text would be lost without a word."""

    dead_letter = "html_too_deep"


@dataclass(frozen=True)
class Page:
    """What an HTML text holds. Texts are as the page has them, paragraphs are repaired, `None` is not stated."""

    paragraphs: tuple[str, ...] = ()
    headline: str | None = None
    summary: str | None = None
    byline: str | None = None
    published: datetime | None = None
    modified: datetime | None = None
    url: str | None = None
    language: str | None = None


def read_page(html: str) -> Page:
    """Paragraphs and metadata of a whole page; of a fragment all text, block by block.

    Raises:
        HtmlTooDeep: where text would be lost otherwise.
    """
    root = _parse(html)
    if root is None:
        return Page()
    if not _WHOLE_PAGE.search(html):
        return Page(paragraphs=tuple(_paragraphs(root, skipped=_NO_TEXT)))
    article = _json_article(root)
    metadata = _metadata(root, article)
    return Page(paragraphs=_article_paragraphs(root, article), **metadata)


def _parse(html: str) -> HtmlElement | None:
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=False)
    try:
        root = document_fromstring(_CONTROLS.sub("", html).encode(errors="replace"), parser=parser)
    except etree.ParserError:  # no element and no text at all
        return None
    if any("Excessive depth" in error.message for error in parser.error_log):
        raise HtmlTooDeep("HTML is nested deeper than 256 elements")
    return root


def _article_paragraphs(root: HtmlElement, article: dict[str, Any]) -> tuple[str, ...]:
    """The article without what surrounds it: by trafilatura, or by plainer ways where that finds too little."""
    main = tuple(_main_text(root))
    if len(main) > 1 and _length(main) >= ENOUGH:
        return main
    stated = tuple(split_paragraphs(_text(article.get("articleBody")) or ""))
    if _length(main) < ENOUGH and _length(stated) > _length(main):
        return stated
    if len(main) > 1:
        return main
    # trafilatura's last resort puts a whole article on one line: find the same text with its paragraphs.
    ways = filter(None, chain([stated], _regions(root)))
    return next((way for way in ways if not main or abs(_length(way) / _length(main) - 1) < 0.1), main)


def _main_text(root: HtmlElement) -> Iterator[str]:
    document = trafilatura.bare_extraction(root, fast=True, include_comments=False, output_format="txt")
    if isinstance(document, Document):
        yield from _paragraphs(document.body, skipped=frozenset())


def _regions(root: HtmlElement) -> Iterator[tuple[str, ...]]:
    """The longest element of each kind that may hold an article, the surest kind first."""
    for path in ('.//*[@itemprop="articleBody"]', ".//article", ".//main", "body"):
        yield max(
            (tuple(_paragraphs(region, skipped=_NOT_THE_ARTICLE)) for region in root.iterfind(path)),
            key=_length,
            default=(),
        )


def _length(paragraphs: tuple[str, ...]) -> int:
    """Characters without spaces, which differ between ways to read the same text."""
    return sum(len(paragraph) - paragraph.count(" ") for paragraph in paragraphs)


def _paragraphs(root: etree._Element, skipped: frozenset[str]) -> Iterator[str]:
    """The text under `root` by blocks, repaired. Table cells of a row are set apart by a vertical bar."""
    inline: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "start":
            if element.tag in skipped:
                walk.skip_subtree()
                continue
            if element.tag in _BLOCKS or element.tag == "pre":
                yield from _flush(inline)
            elif element.tag in _BREAKS:
                inline.append("\n")
            elif element.tag in _CELLS and inline:
                inline.append(" | ")
            if element.tag == "pre":
                yield from split_paragraphs(element.text_content())
                walk.skip_subtree()
            else:
                inline.append(_SPACES.sub(" ", element.text or ""))
        else:
            if element.tag in _BLOCKS:
                yield from _flush(inline)
            if element is not root:
                inline.append(_SPACES.sub(" ", element.tail or ""))
    yield from _flush(inline)


def _flush(inline: list[str]) -> Iterator[str]:
    lines = (line.strip().strip(" |") for line in "".join(inline).split("\n"))
    inline.clear()
    # A line break inside a sentence is layout; any other ends a paragraph, as in pages that know no <p>.
    yield from filter(None, map(repair, join_wrapped(filter(None, lines), math.inf)))


def _metadata(root: HtmlElement, article: dict[str, Any]) -> dict[str, Any]:
    """What the head states, by the fields of `Page`: JSON-LD first, then Open Graph, then plain meta tags."""
    meta = _meta(root)
    site = meta.get("og:site_name", "")
    headlines = (
        article.get("headline"),
        meta.get("og:title"),
        meta.get("twitter:title"),
        *(heading.text_content() for heading in _only(root.findall(".//h1"))),
        root.findtext(".//title"),
    )
    return {
        "headline": _first(_without_site(text, site) for text in map(_text, headlines) if text),
        "summary": _first(
            map(_text, (article.get("description"), meta.get("og:description"), meta.get("description")))
        ),
        "byline": _first(
            text
            for text in (_names(article.get("author")), meta.get("author"), meta.get("article:author"))
            if text and not _HTTP.match(text)
        ),
        "published": _first(map(_time, (article.get("datePublished"), *(meta.get(name) for name in _PUBLISHED)))),
        "modified": _first(map(_time, (article.get("dateModified"), *(meta.get(name) for name in _MODIFIED)))),
        "url": _first(map(_address, (_canonical(root), meta.get("og:url"), article.get("url")))),
        "language": _first(map(_language, (root.get("lang"), root.get("xml:lang"), meta.get("og:locale")))),
    }


_PUBLISHED = ("article:published_time", "datepublished", "dcterms.created", "dc.date", "date")
_MODIFIED = ("article:modified_time", "datemodified", "dcterms.modified", "last-modified")


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value), None)


def _only(values: list[_T]) -> list[_T]:
    return values if len(values) == 1 else []


def _meta(root: HtmlElement) -> dict[str, str]:
    """Meta tags by their name in small letters; the first of a name that says something."""
    found: dict[str, str] = {}
    for tag in root.iter("meta"):
        name = tag.get("property") or tag.get("name") or tag.get("itemprop")
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


def _json_article(root: HtmlElement) -> dict[str, Any]:
    """The first schema.org article in the page's JSON-LD, empty where there is none."""
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
                    return node
                waiting.extend(node[key] for key in ("@graph", "mainEntity", "mainEntityOfPage") if key in node)
    return {}


def _is_article(kind: object) -> bool:
    return isinstance(kind, str) and kind.endswith(("Article", "BlogPosting", "Report"))
