"""The bytes of an HTML page as text, and a page without what holds no text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring
from pydantic_core import to_json
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

MOST_BAD = 0.05
"""Share of the characters beyond ASCII that may be undecodable. A page with a foreign comment is still in the
encoding that it states; one in another encoding has nearly all of them wrong."""

DETECTED_BYTES = 131_072
"""So much of a page is enough to tell its encoding."""

STATED_BYTES = 8_192
"""How far a page is searched for the encoding that it states: browsers look at 1,024 bytes, which is too few."""

LONGEST_ATTRIBUTE = 256
"""Characters; a shorter attribute is not worth a look for inline data."""

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

_STATED = re.compile(rb"""charset\s{0,8}=\s{0,8}["']?\s{0,8}([\w.:-]{1,40})""", re.IGNORECASE)
_IN_PAGE = re.compile(
    rb"""<(?:meta\s[^>]{0,512}?charset\s{0,8}=|\?xml\s[^>]{0,128}?encoding\s{0,8}=)\s{0,8}["']?\s{0,8}"""
    rb"""([\w.:-]{1,40})""",
    re.IGNORECASE,
)

_WIDER = {"gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs", "iso8859-11": "cp874"}
"""What a browser reads under these names is more than Python's codec of the name knows."""

_WITHOUT_TEXT = ("script", "style", "svg")
_GONE = "without-text"
_AS_WRITTEN = ("xmp", "plaintext", "noembed", "noframes")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_HTML_ONLY = frozenset(
    {"p", "div", "article", "section", "main", "table", "ul", "ol", "h1", "h2", "h3", "h4", "body"}
)
_TEXT_ATTRIBUTES = frozenset({"alt", "title", "content", "value", "placeholder", "aria-label", "summary", "label"})
_DATA = re.compile(r"data:[\w.+-]{1,100}/[\w.+-]{1,100}(?:;[\w=.-]{1,100}){0,8},[^\s\"')]*")


def decode_page(content: bytes, content_type: str = "") -> str:
    """The text of a page; `content_type` is the header of that name, whole.

    Of the byte order mark, the header's charset, the page's own statement and what the bytes look like, the first
    counts that the bytes agree with. Undecodable bytes become U+FFFD; NULs are left out. Never raises, and the text
    holds no half of a surrogate pair.
    """
    best, fewest = "", -1
    for encoding in _encodings(content, content_type):
        text = content.decode(encoding, errors="replace")
        # One at the end is where a crawler cut the page off.
        bad = text.count("\ufffd", 0, -1)
        if fewest < 0 or bad < fewest:
            best, fewest = text, bad
        if not bad or bad <= MOST_BAD * (len(text) - len(text.encode("ascii", "ignore"))):
            best = text
            break
    return best.removeprefix("\ufeff").replace("\0", "")


def page_bytes(html: str) -> int:
    """How many bytes a page takes within a record: in UTF-8, escaped as JSON has it."""
    return len(to_json(html))


def slim_page(html: str, limit: int) -> str:
    """The page; where it is over `limit` (as `page_bytes` counts), without what no text is in. It may stay over it.

    Taken out are scripts (but JSON-LD), styles, drawings, comments, and data within attributes. A page that is
    nested deeper than the parser follows stays as it is: text would be lost without a word.
    """
    if page_bytes(html) <= limit:
        return html
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True, collect_ids=False)
    try:
        root = document_fromstring(_CONTROLS.sub("", html).encode(errors="replace"), parser=parser)
    except etree.ParserError:  # no element and no text at all
        return html
    if any("Excessive depth" in error.message for error in parser.error_log):
        return html
    for element in root.iter(etree.Element):
        _slim(element)
    etree.strip_elements(root, _GONE, with_tail=False)
    slim: str = etree.tostring(root.getroottree(), encoding="unicode", method="html")
    return slim


def _encodings(content: bytes, content_type: str) -> Iterator[str]:
    """What the encoding may be, the most trusted first; always at least one."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            yield encoding
    stated = _STATED.search(content_type.encode(errors="replace"))
    if stated and (codec := _codec(stated[1])) and _possible(codec, content):
        yield codec
    own = _IN_PAGE.search(content, 0, STATED_BYTES)
    if own and (codec := _codec(own[1])):
        # Its statement could be read as ASCII, which in UTF-16 it is not.
        yield "utf-8" if codec.startswith("utf-16") else codec
    yield _codec((detect_encoding(content, max_len=DETECTED_BYTES) or "").encode()) or "utf-8"
    yield "utf-8"


def _codec(label: bytes) -> str | None:
    """Python's codec for what browsers know under a label; none for any other, such as `zip` or `idna`."""
    name = map_encoding_to_html5(label.decode("ascii", "replace").strip().lower(), fallback_utf8=False)
    return _WIDER.get(name, name) if name else None


def _possible(codec: str, content: bytes) -> bool:
    """Any bytes at all are UTF-16, but no page without a NUL among its bytes is."""
    return not codec.startswith("utf-16") or b"\0" in content[:STATED_BYTES]


def _holds_no_text(element: HtmlElement) -> bool:
    if element.tag == "script":
        return (element.get("type") or "").split(";")[0].strip().lower() != "application/ld+json"
    # A drawing that nobody closed holds the rest of the page.
    return element.tag != "svg" or not any(inner.tag in _HTML_ONLY for inner in element.iter(etree.Element))


def _slim(element: HtmlElement) -> None:
    if element.tag in _WITHOUT_TEXT and _holds_no_text(element):
        element.tag = _GONE
    elif element.tag in _AS_WRITTEN:
        # Their markup was read as text, and would be written as such: within any other element it is read so again.
        element.tag = "pre"
    elif element.tag == "iframe":
        element.text = None  # shown by no browser that knows frames
    for name, value in element.items():
        if len(value) > LONGEST_ATTRIBUTE and "data:" in value and name not in _TEXT_ATTRIBUTES:
            slim = _DATA.sub("data:,", value)
            whole = slim.lstrip().startswith("data:") and len(slim) > LONGEST_ATTRIBUTE
            element.set(name, "" if whole else slim)
