"""The article within a page: which of its blocks of text belong to it.

trafilatura finds the core. What it is known to lose is then looked for in the page itself: the lead between
headline and text, paragraphs in between, and whole articles that it takes for something else. What it is known to
keep too much of goes: headings of link lists, and the links under them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

import trafilatura
from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import Document, Extractor

from schemas.article import Kind
from services.cleaner.text import join_lines, split_paragraphs

ENOUGH = 250
"""Characters. An extraction below this is compared with plainer ways (trafilatura's own bound for that)."""

SUSPICIOUS = 1_500
"""Characters. Below this an extraction may have missed the article: the longest run of prose is looked at."""

MUCH_MORE = 2.5
"""Times the text: how much more prose such a run must have to be believed. With these two, 16 more of 899 segments
of the public pages are found (tests/quality), at 2 that do not belong; 2 to 3 give the same."""

MUCH_MORE_ELSEWHERE = 5.0
"""Times the text: the same for a run that holds nothing of what was found. A short article must not lose its place
to a list of others with their first sentences."""

NEIGHBOURS = 12
"""Blocks between two paragraphs of one run of prose: headings, list items, captions, an advertisement."""

NEAR = 200
"""Blocks looked at for the place of a paragraph after the one before it: bounds the time of a hostile page."""

FAR_HEADLINE = 60
"""Blocks between headline and text at most: the lead, and the lines of date, author and sharing around it."""

SHORTEST_PROSE = 60
"""Characters. What is shorter is as often a label as a sentence."""

SHORTEST_CAPTION = 40
"""Characters. Below it a caption is a name or a credit."""

LONG = 100
"""Characters from which a sentence between two paragraphs is one of theirs, whatever element it is in."""

SMALL_NOISE = 0.1
"""Share of the page's text below which a part with such a name is taken out of it."""

MOST_NOISE = 0.5
"""Share of the page's text above which such parts together are the page, whatever their names say."""

LONGEST_STATED = 100_000
"""Characters of a stated text in which the page's blocks are looked up: bounds the time of a hostile page."""

LONGEST_NAME = 200
"""Characters of an element's class that are read; its own names stand first, what follows is layout."""

MOSTLY_LINKS = 0.4
"""Share of links from which a block is no prose."""

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
NO_TEXT = frozenset(_NAMES_WITHOUT_TEXT.split())
_ASIDE = NO_TEXT | {"aside", "dialog", "footer", "menu", "nav"}
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "head"})
_KINDS = dict.fromkeys(_HEADINGS, Kind.HEADING) | {
    "li": Kind.LIST_ITEM,
    "dt": Kind.LIST_ITEM,
    "dd": Kind.LIST_ITEM,
    "item": Kind.LIST_ITEM,
    "blockquote": Kind.QUOTE,
    "quote": Kind.QUOTE,
    "figcaption": Kind.CAPTION,
    "caption": Kind.CAPTION,
}
_LEADS = frozenset({Kind.TEXT, Kind.HEADING, Kind.QUOTE, Kind.CAPTION})
_NAMES_REMOVED = (
    "aside embed footer head iframe menu object script applet audio canvas map svg video area blink button "
    "datalist dialog frame frameset fieldset link input label legend marquee menuitem nav noindex noscript "
    "optgroup option output param picture progress rp rt rtc select source style time track textarea use"
)
_REMOVED_BY_TRAFILATURA = _NAMES_REMOVED.split()

_NOISE = re.compile(
    r"(?<![a-z])(?:comment|respond|foot(?:er|note)|(?<!no-)(?<!has-)(?<!with-)side-?bar|related|recommend|recirc|"
    r"popular|most-?read|trending|newsletter|subscri|promo|advert|\bads?\b|sponsor|banner|cookie|consent|gdpr|modal|popup|overlay|share|sharing|"
    r"social|breadcrumb|menu|navi|\bnav\b|pagination|pager|author|byline|login|signup|sign-up|(?<!elementor-)widget|rating|disqus|"
    r"copyright|legal|disclaimer|gallery|carousel|toolbar|tooltip|taboola|outbrain|paywall-|toc\b|"
    r"kommentar|verwandt|empfehl|mehr-zum|anzeige|werbung)",
    re.IGNORECASE,
)
_LIVE = re.compile(r"live-?(?:blog)?(?:-|_)*(?:entry|post|update|item|event)\b|liveBlogUpdate", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…:。！？؟।][\"'”’»›)\]]*$")


class Block(NamedTuple):
    """A block of text of a page, spaces folded, not repaired yet."""

    text: str
    kind: Kind = Kind.TEXT
    level: int = 0
    """Of a heading: 1 for h1 to 6 for h6."""
    linked: float = 0.0
    """Share of its characters that are links."""
    parent: HtmlElement | None = None
    noise: tuple[HtmlElement, ...] = ()
    """The elements around it that are no article by their name: navigation, comments, a side bar, …"""

    @property
    def key(self) -> str:
        """The text without spaces, which differ between ways to read the same page."""
        return self.text.replace(" ", "")


_BREAK = "\x1f"
"""Stands for a line break of the page among spaces that are none. The text of a page does not hold it."""


def blocks_of(root: etree._Element, skipped: frozenset[str] = NO_TEXT) -> Iterator[Block]:
    """The text under `root` by blocks. Table cells of a row are set apart by a vertical bar."""
    walk = _Walk()
    events = etree.iterwalk(root, events=("start", "end"))
    for event, element in events:
        tag = element.tag
        if event == "start":
            if tag in skipped:
                events.skip_subtree()
                continue
            if walk.parts and (tag in _BLOCKS or tag == "pre"):
                yield from walk.flush()
            if tag == "pre":
                yield from map(walk.block, split_paragraphs(element.text_content()))
                events.skip_subtree()
                continue
            walk.enter(element, tag)
            walk.add(element.text)
        else:
            if walk.parts and tag in _BLOCKS:
                yield from walk.flush()
            if tag not in skipped:
                walk.leave(tag)
            if element is not root:
                walk.add(element.tail)
    yield from walk.flush()


_Around = tuple[Kind, int, HtmlElement | None, tuple[HtmlElement, ...]]


class _Walk:
    """Where a walk through a page is: the text since the last border of a block, and the elements around it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.linked = self.links = self.cells = 0
        self.around: list[_Around] = [(Kind.TEXT, 0, None, ())]
        """What each open element gives to the blocks within it: kind, level, itself, noise; outermost first."""

    def enter(self, element: HtmlElement, tag: str) -> None:
        if tag in _BLOCKS:
            self.around.append(self._within(element, tag))
        elif tag == "a":
            self.links += 1
        elif tag in _BREAKS:
            self.parts.append(_BREAK)
        elif tag in _CELLS and self.parts:
            self.parts.append(" | ")
            self.cells += 1

    def leave(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.around.pop()
        elif tag == "a":
            self.links -= 1

    def add(self, text: str | None) -> None:
        if text:
            self.parts.append(text)
            if self.links > 0:
                self.linked += len(text.strip())

    def _within(self, element: HtmlElement, tag: str) -> _Around:
        kind, level, _, noise = self.around[-1]
        if tag in _KINDS:
            kind = _KINDS[tag]
            level = int(tag[1]) if tag in _HEADINGS and tag != "head" else 0
        noisy = tag == "form"
        # Within noise all is noise: most of a page's elements stand there, and need no look at their names.
        for name in () if noise else filter(None, map(element.get, _NAMES)):
            said = _name_says(name[:LONGEST_NAME])
            noisy = noisy or (said is _Said.NOISE and tag != "body")
            if said is _Said.LIVE and kind is Kind.TEXT:
                kind = Kind.LIVE_ENTRY
        return kind, level, element, (*noise, element) if noisy else noise

    def block(self, text: str, linked: float = 0.0) -> Block:
        kind, level, element, noise = self.around[-1]
        return Block(text, kind, level, linked, element, noise)

    def flush(self) -> Iterator[Block]:
        whole = "".join(self.parts)
        row = self.cells > 0
        linked = self.linked
        self.parts.clear()
        self.linked = self.cells = 0
        lines = [line for line in (" ".join(line.split()).strip(" |") for line in whole.split(_BREAK)) if line]
        if len(lines) > 1:
            # A line break inside a sentence is layout; any other ends a paragraph, as in pages that know no <p>.
            lines = list(join_lines(lines))
        total = sum(map(len, lines))
        for line in lines:
            block = self.block(line, min(1.0, linked / total))
            yield block._replace(kind=Kind.TABLE_ROW) if row and block.kind is Kind.TEXT else block


_NAMES = ("class", "id", "itemprop")


class _Said(Enum):
    NOISE = auto()
    LIVE = auto()


@lru_cache(maxsize=4096)  # the same names come again and again within a page and a website
def _name_says(name: str) -> _Said | None:
    if _NOISE.search(name):
        return _Said.NOISE
    return _Said.LIVE if _LIVE.search(name) else None


def page_blocks(root: HtmlElement) -> list[Block]:
    """The blocks of a page, but those of navigation, side bars and the like, in which no article is looked for."""
    body = root.find("body")
    page = list(blocks_of(root if body is None else body, _ASIDE))
    if size_of(page) < ENOUGH:  # pages that hide their text until a script has run
        page = list(blocks_of(root if body is None else body, _ASIDE - {"noscript"}))
    return page


def article_blocks(root: HtmlElement, page: Sequence[Block], stated: str | None) -> list[Block]:
    """The blocks of the article, in the order of the page; changes `root`.

    Args:
        root: the page.
        page: its blocks.
        stated: the article's text as the page's metadata has it, if it has.
    """
    _drop_noise(page)
    main = _main_blocks(root)
    placed = _place(page, main)
    if placed is None or size_of(main) < SUSPICIOUS:
        run = _longest_run(page)
        times = size_of(run.values()) / max(1, size_of(main))
        if placed is not None and not placed.keys().isdisjoint(run):
            placed = placed | run if times > MUCH_MORE else placed
        elif times > MUCH_MORE_ELSEWHERE:
            placed = run
    known = "".join((stated or "")[:LONGEST_STATED].split())
    blocks = list(main) if placed is None else _mend(page, placed, known)
    if stated and size_of(blocks) < ENOUGH:
        said = [Block(text) for text in split_paragraphs(stated)]
        blocks = max(blocks, said, key=size_of)
    return blocks


def size_of(blocks: Iterable[Block]) -> int:
    """Characters of the blocks together."""
    return sum(len(block.text) for block in blocks)


def _drop_noise(page: Sequence[Block]) -> None:
    """Take small parts of the page that are no article by their name out of it, before trafilatura sees them.

    A twentieth of its time is saved, and precision rises as much as recall falls (.003, measured). Larger parts
    stay: some pages give their whole text such a name.
    """
    sizes: dict[HtmlElement, int] = {}
    for block in page:
        if block.noise:
            sizes[block.noise[0]] = sizes.get(block.noise[0], 0) + len(block.text)
    total = size_of(page)
    small = {element: size for element, size in sizes.items() if size < total * SMALL_NOISE}
    if sum(small.values()) > total * MOST_NOISE:
        return
    for element in small:
        if element.tag in {"div", "section", "ul", "ol", "p", "header", "figure"}:
            element.drop_tree()


_OPTIONS = Extractor(fast=True, comments=False, output_format="txt")
# Neither "precision" nor "recall", and not "balanced" either, which reads a page again to judge whether too little
# was found: `article_blocks` does that better (F1 .944 against .942 on the public pages) and in less time.
_OPTIONS.focus = "once"


def _main_blocks(root: HtmlElement) -> list[Block]:
    """What trafilatura takes for the article."""
    # Elements that it would remove later: without them it takes a fifth less time, for the same result (measured).
    etree.strip_elements(root, *_REMOVED_BY_TRAFILATURA, with_tail=False)
    document = trafilatura.bare_extraction(root, options=_OPTIONS)
    return list(blocks_of(document.body, skipped=frozenset())) if isinstance(document, Document) else []


def _place(page: Sequence[Block], main: Sequence[Block]) -> dict[int, Block] | None:
    """Where the blocks of `main` stand in `page`, by their index there; `None` if much is not found."""
    keys = [block.key for block in page]
    places: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    placed: dict[int, Block] = {}
    last = -1
    lost = 0
    for block in main:
        key = block.key
        same = places.get(key)
        if same is not None:
            last = same[min(bisect_right(same, last), len(same) - 1)]
            placed[last] = page[last]
            continue
        # The first one may stand anywhere; a page of which nothing is found is not searched again and again.
        near = range(last + 1, len(page) if last < 0 and not lost else min(len(page), last + NEAR))
        # Several blocks of the page in one, as in trafilatura's last resort.
        parts = _parts(key, keys, near)
        if sum(len(keys[index]) for index in parts) >= 0.9 * len(key):
            placed |= {index: page[index] for index in parts}
            last = parts[-1]
            continue
        # Part of a block of the page: what trafilatura left out of it stays out.
        host = next((index for index in near if key in keys[index]), None)
        if host is None:
            lost += len(key)
        else:
            before = f"{placed[host].text} " if host in placed else ""
            placed[host] = page[host]._replace(text=f"{before}{block.text}")
            last = host - 1
    return placed if placed and lost <= 0.2 * size_of(main) else None


def _parts(key: str, keys: Sequence[str], near: range) -> list[int]:
    """The blocks that `key` consists of, one behind the other; a short one counts only where the last one ended."""
    parts = []
    end = 0
    for index in near:
        start = key.find(keys[index]) if len(keys[index]) >= 10 else end if key.startswith(keys[index], end) else -1
        if start >= 0:
            parts.append(index)
            end = start + len(keys[index])
    return parts


def _longest_run(page: Sequence[Block]) -> dict[int, Block]:
    """The part of the page with the most prose, by index: what an extraction that found little may have missed."""
    runs: list[list[int]] = [[]]
    for index, block in enumerate(page):
        if not block.noise and _is_prose(block):
            if runs[-1] and index - runs[-1][-1] > NEIGHBOURS:
                runs.append([])
            runs[-1].append(index)
    run = max(runs, key=lambda indices: size_of(page[index] for index in indices))
    return (
        {
            index: page[index]
            for index in range(run[0], run[-1] + 1)
            if not page[index].noise and page[index].linked < MOSTLY_LINKS and page[index].kind is not Kind.CAPTION
        }
        if run
        else {}
    )


def _mend(page: Sequence[Block], placed: dict[int, Block], stated: str) -> list[Block]:
    """The placed blocks with what belongs to them, and without what does not."""
    first, last = min(placed), max(placed)
    parents = {block.parent for block in placed.values()}
    inside = {element for block in placed.values() for element in block.noise}

    def belongs(block: Block) -> bool:
        return (_is_prose(block) or _is_caption(block)) and inside.issuperset(block.noise)

    found = dict(placed)
    for index in range(first + 1, last):
        block = page[index]
        close = block.parent in parents or block.kind is Kind.CAPTION or len(block.text) >= LONG
        if close and belongs(block):
            found.setdefault(index, block)
    # The lead stands between the headline and the text.
    headline = next((i for i in range(first - 1, max(-1, first - FAR_HEADLINE), -1) if page[i].level == 1), first)
    for index in range(headline + 1, first):
        if belongs(page[index]) and page[index].kind in _LEADS:
            found[index] = page[index]
    if stated:
        for index, block in enumerate(page):
            if len(block.text) >= SHORTEST_PROSE and block.key in stated:
                found.setdefault(index, block)
    blocks = [found[index] for index in sorted(found) if not _is_link(found[index])]
    while len(blocks) > 1 and blocks[-1].kind is Kind.HEADING:  # of what stood below the article
        blocks.pop()
    return blocks


def _is_prose(block: Block) -> bool:
    """Sentences, not a label, a heading of a link or a list of names."""
    return (
        len(block.text) >= SHORTEST_PROSE
        and block.linked < MOSTLY_LINKS
        and block.kind is not Kind.CAPTION
        and (len(block.text) >= 150 or _SENTENCE_END.search(block.text[-8:]) is not None)
    )


def _is_caption(block: Block) -> bool:
    """What a picture shows, not who took it."""
    says = _SENTENCE_END.search(block.text[-8:]) or ". " in block.text
    return (
        block.kind is Kind.CAPTION
        and len(block.text) >= SHORTEST_CAPTION
        and block.linked < MOSTLY_LINKS
        and bool(says)
    )


def _is_link(block: Block) -> bool:
    """Nothing but a link to something else."""
    return block.linked > 0.9 and block.kind is not Kind.QUOTE and len(block.text) > 15
