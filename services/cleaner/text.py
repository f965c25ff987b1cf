"""Plain text: repair what transport broke, and split it into paragraphs. What the author wrote stays.

`repair` and `split_paragraphs` are idempotent: what they return comes back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from html.entities import html5

import ftfy

LONGEST_WRAPPED_LINE = 120
"""Characters. A longer line was not wrapped to a width: mail and wire copy wraps at 60 to 100."""

MOST_PASSES = 8
"""Repairs can uncover one another (an entity that spells mojibake); real text needs one or two passes."""

_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,  # done here: ftfy takes one pass for each `amp;` of `&amp;amp;amp;`
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization="NFC",
    explain=False,
)

_AMPERSAND = re.compile(r"&(?:(?:amp|AMP|#0{0,5}38|#[xX]0{0,5}26);)+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0e-\x1b\x7f-\x9f"  # control characters; those that are white space are folded
    "\xad"  # soft hyphen
    "\u034f\u180e"  # combining grapheme joiner, Mongolian vowel separator
    "\u200b\u2060-\u2064\ufeff"  # zero-width space, word joiner, invisible operators, byte order mark
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidi controls
    "\ufff9-\ufffc\ufffe\uffff"  # annotation controls, object replacement, no characters at all
    "]+"
)
_LETTERS_WITH_JOINERS = "\u0600-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
"""Arabic, Syriac, N'Ko, the scripts of India, Tibetan, Burmese, Khmer, Mongolian."""
_EMOJI = "\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_IDLE_JOINER = re.compile(
    f"(?<![{_LETTERS_WITH_JOINERS}{_EMOJI}\ufe0f])[\u200c\u200d]"
    f"|(?<=[{_EMOJI}\ufe0f])(?:\u200c|\u200d(?![{_EMOJI}]))"
)
_HIDDEN_TAGS = re.compile("(\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f)|[\U000e0000-\U000e007f]+")
"""Tag characters carry text that nobody sees, except behind a black flag (the flag of Wales)."""

_LINE_END = re.compile(r"\r\n|[\n\r\x0b\x0c\u2028]")  # not \x85: in the news it is a broken ellipsis
_PARAGRAPH_SEPARATOR = "\u2029"


def repair(text: str) -> str:
    """`text` on one line, with mojibake, HTML entities, odd spaces and invisible characters put right.

    Form NFC. Curly quotes, ligatures and full-width characters stay as the author wrote them, and so do
    joiners between letters that need them (Persian, Hindi) and inside emoji. All runs of white space become
    one plain space. The result is empty where nothing visible is left.
    """
    for _ in range(MOST_PASSES):
        before, text = text, _repair_once(text)
        if text == before:
            break
    return text


def _repair_once(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(_character, _AMPERSAND.sub("&", text))
    if not text.isascii() or not text.isprintable():
        text = ftfy.fix_text(text, _FTFY)
        text = _IDLE_JOINER.sub("", _HIDDEN_TAGS.sub(r"\1", _INVISIBLE.sub("", text)))
    return " ".join(text.split())


def _character(entity: re.Match[str]) -> str:
    name = entity[0][1:]
    return unescape(entity[0]) if name.startswith("#") else html5.get(name, entity[0])


def split_paragraphs(body: str) -> Iterator[str]:
    """The paragraphs of a plain text in order, repaired, none empty.

    Blank lines separate paragraphs, and a paragraph that was wrapped to a width is put on one line again. In a
    text without blank lines every line is a paragraph.
    """
    lines = _LINE_END.sub("\n", body).replace(_PARAGRAPH_SEPARATOR, "\n\n").strip().split("\n")
    yield from filter(None, map(repair, _blocks(lines) if any(map(_is_blank, lines)) else lines))


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    block: list[str] = []
    for line in [*lines, ""]:
        if not _is_blank(line):
            block.append(line.strip())
            continue
        width = max(map(len, block), default=0)
        yield from block if width > LONGEST_WRAPPED_LINE else join_wrapped(block, width)
        block = []


def join_wrapped(lines: Iterable[str], width: float) -> Iterator[str]:
    """The lines, each joined to the one before it where its sentence goes on.

    It goes on where a line starts with a small letter, and where its first word had no room in the `width`
    (characters) of the line before. Expects no blank line.
    """
    whole = ""
    last = 0
    for line in lines:
        if whole and (line[0].islower() or last + 1 + len(line.partition(" ")[0]) > width):
            whole += f" {line}"
        else:
            if whole:
                yield whole
            whole = line
        last = len(line)
    if whole:
        yield whole


def _is_blank(line: str) -> bool:
    return not _INVISIBLE.sub("", line).strip()
