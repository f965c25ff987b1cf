"""Plain text: repair what transport broke, and split it into paragraphs. What the author wrote stays.

All functions are idempotent: what they return comes back unchanged. They take time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from html import unescape
from html.entities import html5
from itertools import pairwise
from typing import NamedTuple
from unicodedata import combining, is_normalized, normalize

import ftfy
from ftfy.badness import is_bad

from schemas.article import Change

LONGEST_WRAPPED_LINE = 120
"""Characters. A longer line was not wrapped to a width: mail and wire copy wraps at 60 to 100."""

SHORTEST_WRAPPED_LINE = 30
"""Characters. Lines that are all shorter were not wrapped to a width: a list, a verse, an address."""

MOST_PASSES = 8
"""Repairs can uncover one another (an entity that spells mojibake); real text needs one or two passes."""

MOST_MARKS = 30
"""Marks on one letter, as in the Stream-Safe Text Format of Unicode. No language comes near it, and the time to
bring more into form NFC grows with the square of their number."""

Changes = tuple[Change, ...]

_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,  # done here: ftfy takes one pass for each `amp;` of `&amp;amp;amp;`
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,  # done here: it is slow where marks pile up, see `_PILED_MARKS`
    explain=True,
)
_CHANGES_BY_STEP = {
    "fix_line_breaks": Change.SPACES,
    "remove_terminal_escapes": Change.INVISIBLE,
    "remove_control_chars": Change.INVISIBLE,
}
"""What a step of ftfy means to us; all others mend mojibake."""

_AMPERSAND = re.compile(r"&(?:(?:amp|AMP|#0{0,5}38|#[xX]0{0,5}26);)+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_UNSEEN = (
    "\x00-\x08\x0e-\x1b\x7f-\x9f"  # control characters; those that are white space are folded
    "\xad"  # soft hyphen
    "\u034f\u180e"  # combining grapheme joiner, Mongolian vowel separator
    "\u200b\u2060-\u2064\ufeff"  # zero-width space, word joiner, invisible operators, byte order mark
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidi controls
    "\ufff9-\ufffc\ufffe\uffff"  # annotation controls, object replacement, no characters at all
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]+")
_SUSPECT = re.compile(f"[{_UNSEEN}\u200c\u200d\ud800-\udfff\U000e0000-\U000e007f]")
_FOR_FTFY = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x9f\u206a-\u206f\ufeff\ufff9-\ufffc\ud800-\udfff]")
_NOT_ORDINARY = re.compile(
    "[^\t-\r -~\xa0-\xac\xae-\u024f"  # Latin letters with their accents
    "\u0400-\u0482\u048a-\u052f\u0621-\u063a\u0641-\u064a"  # Cyrillic and Arabic letters, without marks
    "\u3001-\u3029\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"  # Chinese, Japanese, Korean
    "\u2010-\u2027\u202f-\u205e\u20a0-\u20bf\u2122]"  # dashes, quotation marks, currencies
)
"""Nothing else can be invisible or in another form than NFC: most texts need no closer look."""
_LETTERS_WITH_JOINERS = "\u0600-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
"""Arabic, Syriac, N'Ko, the scripts of India, Tibetan, Burmese, Khmer, Mongolian."""
_EMOJI = "\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_IDLE_JOINER = re.compile(
    f"(?<![{_LETTERS_WITH_JOINERS}{_EMOJI}\ufe0f])[\u200c\u200d]"
    f"|(?<=[{_EMOJI}\ufe0f])(?:\u200c|\u200d(?![{_EMOJI}]))"
)
_HIDDEN_TAGS = re.compile("(\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f)|[\U000e0000-\U000e007f]+")
"""Tag characters carry text that nobody sees, except behind a black flag (the flag of Wales)."""


def _ranges_of_marks() -> str:
    """What combines with the character before it, as ranges of a pattern."""
    marks = [code for code in range(0x300, 0x1F000) if combining(normalize("NFD", chr(code))[0])]
    starts = [code for code, before in zip(marks, [0, *marks], strict=False) if code != before + 1]
    ends = [code for code, after in zip(marks, [*marks[1:], 0], strict=True) if code != after - 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


_PILED_MARKS = re.compile(f"([{_ranges_of_marks()}]{{{MOST_MARKS}}})[{_ranges_of_marks()}]+")
_NO_SINGLE_SPACE = re.compile(r"\s{2,}|[\t-\r\x1c-\x1f\x85\u2028\u2029]")

_LINE_END = re.compile(r"\r{1,2}\n|[\n\r\x0b\x0c\u2028]")  # `\r\r\n` is `\r\n` that was translated once more
_MANY_LINE_ENDS = re.compile("\n{3,}")
_PARAGRAPH_SEPARATOR = "\u2029"
_NEXT_LINE = "\x85"
_NO_NEXT_LINE = re.compile("[\n\x80-\x84\x86-\x9f]|(?:^|[^\\S\x85]|[\xc0-\xff])\x85|\x85(?=[^\\S\x85])")
_ENDS_BY_NEXT_LINE = re.compile("[.!?:\"'»”’]\x85|\x85\x85")

_ESCAPED_BREAKS = re.compile(r"(?:(?:\\r)?\\n)+")
_OTHER_ESCAPE = re.compile(r"""\\(?![nrt"'/])""")

_INLINE_NAMES = "a abbr b big cite code del em font i ins kbd mark q s small span strike strong sub sup time tt u"
_BLOCK_NAMES = "article blockquote div figcaption figure h1 h2 h3 h4 h5 h6 header li main ol section ul"
_INLINE = frozenset(_INLINE_NAMES.split())
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_ALONE = _BLOCKS | {"br", "hr", "p", "img", "wbr"}
"""Tags that are taken off without the other half of their pair; `a <b> tag` may be what an author wrote."""
_NAMES = "|".join(sorted(_INLINE | _ALONE))
_TAG = re.compile(rf"<(/?)({_NAMES})((?:\s[^<>]*+|/)?)>", re.IGNORECASE)
_TAG_GONE = "\uffff"
"""Stands for a tag inside a line until the invisible is removed: a reader never saw either."""

_QUOTES = re.compile(r"(?:\s?>)+")

_SENTENCE_END = re.compile(r"[.!?…:;。！？：।؟۔][\"'“”’»«)\]›」』]{0,4}$")
_SURE_ITEM = re.compile(r"[*•‣◦▪●○■□►▶➤✓✔](?=\s)")
_ITEM = re.compile(r"[-–—·](?=\s)|([0-9]{1,3}|[a-z])[.)](?=\s)")
_CJK = re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uff60]")
_CJK_ROOM = 3
"""Characters. Punctuation must not start a line, so that a Chinese or Japanese line may end so much early."""

_HYPHENS = ("-", "\u2010")
_SOFT_HYPHEN = re.compile(r"(?:\xad|&shy;|&#173;)\s*$")
_WORDS = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_LAST_WORD = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,60})[-\u2010]$")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_OPENING_WORDS = (
    "all anti cross eight ex five four full half hard high ill large left long mid multi neo nine non north off "
    "post quasi right self semi seven short single six small south third three two ultra vice well west wide east"
)
_CLOSING_WORDS = (
    "backed based driven elect friendly funded led looking owned profile ranking related sized term winning year"
)
_OPENERS = frozenset(_OPENING_WORDS.split())
"""Words that open compounds which are written with a hyphen, and seldom a word that is not: well-known."""
_CLOSERS = frozenset(_CLOSING_WORDS.split())
"""Words that close such compounds: Paris-based, state-owned."""
_CONJUNCTIONS = frozenset(
    {"and", "bzw", "eller", "en", "et", "och", "oder", "of", "og", "or", "ou", "sowie", "und"}
)
"""Behind a hyphen that stands for the rest of a word: pre- and post-war, Ein- und Ausfuhr."""
_LONGEST_WORD = 60


class _Line(NamedTuple):
    """A repaired line, or a paragraph: what was done to it, its indent in columns, whether a word goes on.

    `tab`: a tab is in the indent, which then counts as eight columns and may have been one.
    """

    text: str
    done: Changes = ()
    indent: int = 0
    soft_hyphen: bool = False
    tab: bool = False


def repair(text: str) -> str:
    """`text` on one line, with mojibake, HTML entities, odd spaces and invisible characters put right.

    Form NFC. Curly quotes, ligatures and full-width characters stay as the author wrote them, and so do
    joiners between letters that need them (Persian, Hindi) and inside emoji. All runs of white space become
    one plain space. The result is empty where nothing visible is left.
    """
    return _repaired(text, _folded, [])


def repair_line(text: str) -> tuple[str, Changes]:
    """As `repair`, with what was done, each change once in the order in which it was needed first.

    A single no-break, narrow or other space between two visible characters stays as the author wrote it
    (`« mot »`, `10 000 €`). No change is stated where only white space around the line went.
    """
    if text.isascii() and text.isprintable() and "&" not in text and "  " not in text:
        return text.strip(), ()
    done: list[Change] = []
    return _repaired(text, _with_odd_spaces, done), tuple(dict.fromkeys(done))


def _repaired(text: str, fold: Callable[[str], str], done: list[Change]) -> str:
    for _ in range(MOST_PASSES):
        before, text = text, _repaired_once(text, fold, done)
        if text == before:
            break
    return text


def _repaired_once(text: str, fold: Callable[[str], str], done: list[Change]) -> str:
    if "&" in text:
        before, text = text, _ENTITY.sub(_character, _AMPERSAND.sub("&", text))
        if text != before:
            done.append(Change.ENTITIES)
    if not text.isascii() or not text.isprintable():
        ordinary = not _NOT_ORDINARY.search(text)
        # What ftfy would leave as it is need not pass through all its steps.
        if is_bad(text) or (not ordinary and _FOR_FTFY.search(text)):
            text = "\n".join(_mended(part, done) for part in text.split("\n"))
            ordinary = False
        text = text if ordinary else _composed(text, done)
    elif "  " not in text:
        return text.strip()
    before, text = text, fold(text)
    if text != before and text != before.strip():
        done.append(Change.SPACES)
    return text


def _composed(text: str, done: list[Change]) -> str:
    """Without the invisible, and in form NFC."""
    if _SUSPECT.search(text):
        before, text = text, _IDLE_JOINER.sub("", _HIDDEN_TAGS.sub(r"\1", _INVISIBLE.sub("", text)))
        if text != before:
            done.append(Change.INVISIBLE)
    before, text = text, _PILED_MARKS.sub(r"\1", text)
    if text != before or not is_normalized("NFC", text):
        text = normalize("NFC", text)
        done.append(Change.NORMALIZED)
    return text


def _folded(text: str) -> str:
    return " ".join(text.split())


def _with_odd_spaces(text: str) -> str:
    return _NO_SINGLE_SPACE.sub(" ", text).strip()


def _mended(text: str, done: list[Change]) -> str:
    mended, steps = ftfy.fix_and_explain(text, _FTFY)
    if mended != text:
        done += [_CHANGES_BY_STEP.get(parameter, Change.MOJIBAKE) for _, parameter in steps or ()]
    return str(mended)


def _character(entity: re.Match[str]) -> str:
    name = entity[0][1:]
    return unescape(entity[0]) if name.startswith("#") else html5.get(name, entity[0])


def split_paragraphs(body: str) -> Iterator[str]:
    """The paragraphs of `split_text`, all white space in them plain, as `repair` leaves it."""
    for text, _ in split_text(body):
        yield text if text.isascii() else repair(text)


def split_text(body: str) -> Iterator[tuple[str, Changes]]:
    """The paragraphs of a plain text in order, repaired as by `repair_line`, none empty, with what was done.

    Blank lines separate paragraphs, and a paragraph that was wrapped to a width is put on one line again, with
    words that were divided at the end of a line made whole where the text or the parts tell that they are one.
    In a text without blank lines every line is a paragraph, unless the lines are wrapped: then a paragraph ends
    at a line with room for the next word, and starts at an indent. A line of a list starts a paragraph.

    Quote marks of mail go where every line has them. HTML tags that were left in are taken off: those of blocks
    and line breaks end a paragraph, others count as invisible. So do line breaks that came as `\\n` in two
    characters, where there are several at the end of sentences.
    """
    paragraphs = list(_split(body))
    for _ in range(MOST_PASSES):
        uncovered = _layout_uncovered(paragraphs)
        if uncovered is None:
            break
        paragraphs = [
            part._replace(done=(*done, *part.done)) for text, done, *_ in uncovered for part in _split(text)
        ]
    for paragraph in paragraphs:
        yield paragraph.text, tuple(dict.fromkeys(paragraph.done))


def _layout_uncovered(paragraphs: list[_Line]) -> list[_Line] | None:
    """The paragraphs with what repair has spelled out made layout (`&lt;br&gt;`); `None` where there is none."""
    texts = [paragraph.text for paragraph in paragraphs]
    if not any("<" in text or "\\n" in text for text in texts):
        return None
    texts = [_unescaped(_without_tags(text)) for text in texts]
    if all(text == paragraph.text for text, paragraph in zip(texts, paragraphs, strict=True)):
        return None
    return [paragraph._replace(text=text) for text, paragraph in zip(texts, paragraphs, strict=True)]


def _split(body: str) -> Iterator[_Line]:
    body = _with_line_ends(body)
    if "<" in body:
        body = "\n\n".join(map(_without_tags, body.split("\n\n")))
    plan = _plan_for(body)
    lines = _unquoted([_line(line, plan) for line in _MANY_LINE_ENDS.sub("\n\n", body).split("\n")])
    while lines and not lines[-1].text:
        lines.pop()
    first = next((index for index, line in enumerate(lines) if line.text), len(lines))
    lines = lines[first:]
    if len(lines) == 1:
        yield lines[0]
        return
    words = _Vocabulary(body)
    if not all(line.text for line in lines):
        blocks = list(_blocks(lines))
        widths = (_width(block) for block in blocks if _breaks_off(block))
        width = max((each for each in widths if each <= LONGEST_WRAPPED_LINE), default=0)
        for block in blocks:
            yield from _joined(block, _own_width(block, width), words)
    elif _is_wrapped(lines):
        yield from _joined(lines, _width(lines), words)
    else:
        yield from lines


def _with_line_ends(body: str) -> str:
    """All ways to end a line made `\\n`, and `\\n\\n` between paragraphs."""
    if not body.isprintable():
        body = _LINE_END.sub("\n", body).replace(_PARAGRAPH_SEPARATOR, "\n\n")
        # Most often it is an ellipsis that was read in the wrong encoding.
        if _NEXT_LINE in body and _ENDS_BY_NEXT_LINE.search(body) and not _NO_NEXT_LINE.search(body):
            body = body.replace(_NEXT_LINE, "\n")
    if "\\n" in body:
        body = "\n".join(map(_unescaped, body.split("\n")))
    return body


def _unescaped(line: str) -> str:
    """`line` with its line breaks, where it holds several as two characters each."""
    if line.count("\\n") < 2 or _OTHER_ESCAPE.search(line):
        return line
    runs = list(_ESCAPED_BREAKS.finditer(line))
    at_ends = sum(
        _SENTENCE_END.search(line, max(0, run.start() - 6), run.start()) is not None
        and not line[run.end() : run.end() + 2].lstrip()[:1].islower()
        for run in runs
    )
    if at_ends * 2 < len(runs):
        return line
    return _ESCAPED_BREAKS.sub(lambda run: "\n" * run[0].count("n"), line)


def _names_of_tags(text: str) -> frozenset[str]:
    """The names of tags to take off: HTML tags that need no pair, and those of which the text has both halves."""
    ends: dict[bool, set[str]] = {False: set(), True: set()}
    for tag in _TAG.finditer(text):
        if _is_tag(tag):
            ends[bool(tag[1])].add(tag[2].lower())
    return frozenset((ends[False] & ends[True]) | ((ends[False] | ends[True]) & _ALONE))


def _is_tag(tag: re.Match[str]) -> bool:
    return "=" in tag[3] or tag[3].strip(" \t") in {"", "/"}


def _without_tags(text: str) -> str:
    if "<" not in text or not (names := _names_of_tags(text)):
        return text

    def replacement(tag: re.Match[str]) -> str:
        name = tag[2].lower()
        if name not in names or not _is_tag(tag):
            return tag[0]
        if name == "br":
            return "\n"
        return _TAG_GONE if name in _INLINE or name in {"img", "wbr"} else "\n\n"

    return _TAG.sub(replacement, text)


_Plan = list[tuple[str, str]]


def _plan_for(body: str) -> _Plan | None:
    """What undoes the mojibake of this text, where a line of it has some for sure."""
    if "\n" not in body or body.isascii() or not is_bad(body):
        return None
    bad = max((line for line in body.split("\n") if is_bad(line)), key=len, default="")
    plan = [(step.action, step.parameter) for step in ftfy.fix_encoding_and_explain(bad).explanation or ()]
    return plan if {action for action, _ in plan} == {"encode", "decode"} else None


def _line(raw: str, plan: _Plan | None = None) -> _Line:
    """The line repaired; `plan` undoes mojibake that is too short to be told for itself."""
    if plan and not raw.isascii():
        with suppress(UnicodeError):  # this line was not in that encoding
            line = _line(ftfy.apply_plan(raw, plan))
            return line._replace(done=(Change.MOJIBAKE, *line.done))
    if raw[:1].isspace() or not raw.isascii() or "&" in raw:
        text, done = repair_line(raw)
        lead = raw[: len(raw) - len(raw.lstrip())]
        indent = lead.expandtabs(8).replace("\u3000", "  ")
        return _Line(text, done, len(indent), _SOFT_HYPHEN.search(raw) is not None, "\t" in lead)
    return _Line(*repair_line(raw))


def _unquoted(lines: list[_Line]) -> list[_Line]:
    """The lines without quote marks of mail, as many as all lines have.

    Two lines in a row must have them: a paragraph that starts with `>` is none of mail.
    """
    quoted = [line for line in lines if line.text]
    if len(quoted) < 2 or not all(line.text.startswith(">") for line in quoted):
        return lines
    if not any(one.text and two.text for one, two in pairwise(lines)):
        return lines
    marks = ((_QUOTES.match(line.text) or [""])[0].count(">") for line in quoted if line.text.strip("> "))
    depth = min(marks, default=1)
    return [_without_marks(line, depth) if line.text else line for line in lines]


def _without_marks(line: _Line, depth: int) -> _Line:
    marks = re.match(rf"(?:\s?>){{1,{depth}}}", line.text)
    text = line.text[marks.end() :] if marks else line.text
    whole, done = repair_line(text)
    return line._replace(text=whole, done=(*line.done, *done), indent=len(text) - len(text.lstrip()))


def _blocks(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    block: list[_Line] = []
    for line in lines:
        if line.text:
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _extent(line: _Line) -> int:
    return line.indent + len(line.text)


def _width(lines: Sequence[_Line]) -> int:
    """Columns of the longest line.

    An address of the web, which cannot be wrapped, does not count, nor does a line with a tab, which some programs
    take for one column and others for eight.
    """
    counting = [line for line in lines if " " in line.text or _CJK.match(line.text)]
    return max(map(_extent, [line for line in counting if not line.tab] or counting), default=0)


def _own_width(block: Sequence[_Line], width: int) -> int:
    """The width of a block where it is plain to see, `width` else."""
    own = _width(block)
    if own > LONGEST_WRAPPED_LINE or (
        len(block) > 2 and _breaks_off(block) and all(_is_full(line, after, own) for line, after in pairwise(block))
    ):
        return own
    return width


def _breaks_off(block: Sequence[_Line]) -> bool:
    """Whether a line but the last breaks off inside a sentence."""
    return any(not _SENTENCE_END.search(line.text[-6:]) for line in block[:-1])


def _is_full(line: _Line, after: _Line, width: float) -> bool:
    """Whether the next line's first word had no room in `width` columns."""
    if width < SHORTEST_WRAPPED_LINE:
        return False
    if _CJK.match(after.text):
        return _extent(line) + _CJK_ROOM > width
    return _extent(line) + 1 + len(after.text.partition(" ")[0]) > width


def _is_wrapped(lines: Sequence[_Line]) -> bool:
    """Whether lines without a blank one among them are the lines of wrapped paragraphs.

    They are where many of them break off inside a sentence and none of those had room for the next word.
    """
    width = _width(lines)
    if not SHORTEST_WRAPPED_LINE <= width <= LONGEST_WRAPPED_LINE:
        return False
    small = full = 0
    for line, after in pairwise(lines):
        if _SENTENCE_END.search(line.text[-6:]):
            continue
        first = after.text[0]
        if _is_full(line, after, width):
            small += first.islower() or line.soft_hyphen
            full += first.isalpha() and not first.isupper() and not first.islower()  # scripts without small letters
        elif first.islower():
            return False
    breaks = len(lines) - 1
    return small * 4 >= breaks or (full > 1 and full * 3 >= breaks)


def _joined(lines: Sequence[_Line], width: int, words: _Vocabulary) -> Iterator[_Line]:
    """The lines of a block by paragraphs, of which wrapped ones are put on one line."""
    if len(lines) == 1 or width > LONGEST_WRAPPED_LINE:
        yield from lines
        return
    indent = _first_line_indent(lines)
    parts = [lines[0]]
    for before, line in pairwise(lines):
        if _starts_paragraph(parts[0], before, line, width, indent):
            yield _one_line(parts, words)
            parts = []
        parts.append(line)
    yield _one_line(parts, words)


def _first_line_indent(lines: Sequence[_Line]) -> int | None:
    """From how many columns on an indent marks the first line of a paragraph; `None` where none does."""
    flush = min(line.indent for line in lines)
    deeper = sum(line.indent >= flush + 2 for line in lines)
    return flush + 2 if 0 < deeper * 3 <= len(lines) * 2 else None


def _starts_paragraph(first: _Line, before: _Line, line: _Line, width: int, indent: int | None) -> bool:
    """Whether `line` starts one behind the line `before` of the paragraph that starts with the line `first`."""
    if before.soft_hyphen:
        return False
    full = _is_full(before, line, width)
    if _SURE_ITEM.match(line.text):
        return True
    item = _ITEM.match(line.text)
    if item and (not full or _SENTENCE_END.search(before.text[-6:]) or _follows(_ITEM.match(first.text), item)):
        return True
    if indent is not None and line.indent >= indent:
        ended = _SENTENCE_END.search(before.text[-6:]) is not None
        goes_on = line.text[0].islower() or (full and before.indent >= indent)
        # The lines of a list's item stand deeper than its mark; a dash may also open somebody's words.
        hangs = (_ITEM.match(first.text) or _SURE_ITEM.match(first.text)) and line.indent > first.indent
        return not hangs and (ended or not goes_on)
    return not (line.text[0].islower() or full)


def _follows(one: re.Match[str] | None, two: re.Match[str]) -> bool:
    """Whether two marks are of one list: the same dash, or a number and the next."""
    if one is None or not one[1] or not two[1]:
        return one is not None and one[0] == two[0]
    if one[1].isdecimal() and two[1].isdecimal():
        return int(one[1]) + 1 == int(two[1])
    return ord(one[1][0]) + 1 == ord(two[1][0])


def _one_line(parts: list[_Line], words: _Vocabulary) -> _Line:
    if len(parts) == 1:
        return parts[0]
    pieces = [parts[0].text]
    done = [*parts[0].done, Change.LINES_JOINED]
    for before, line in pairwise(parts):
        if before.soft_hyphen:
            done.append(Change.HYPHENATION)
        elif before.text.endswith(_HYPHENS) and line.text[0].islower():
            between = words.between(before.text, line.text)
            if between is None:
                pieces[-1] = pieces[-1][:-1]
                done.append(Change.HYPHENATION)
            else:
                pieces.append(between)
        elif not (_CJK.match(before.text[-1]) and _CJK.match(line.text)):
            pieces.append(" ")
        done += line.done
        pieces.append(line.text)
    text, more = repair_line("".join(pieces))
    return _Line(text, (*done, *more))


class _Vocabulary:
    """The words of a text, read when a divided word asks for them."""

    def __init__(self, body: str) -> None:
        self._body = body
        self._words: frozenset[str] | None = None

    def between(self, before: str, after: str) -> str | None:
        """What to put between two lines, the first of which ends in a hyphen; `None` to take that hyphen away."""
        one, two = _LAST_WORD.search(before[-_LONGEST_WORD - 2 :]), _FIRST_WORD.match(after)
        if one is None or two is None:  # 5-\nyear
            return ""
        first, second = one[1].lower(), two[0].lower()
        if self._words is None:
            self._words = frozenset(word.lower().replace("\u2010", "-") for word in _WORDS.findall(self._body))
        if first + second in self._words:
            return None
        if f"{first}-{second}" in self._words:
            return ""
        if second in _CONJUNCTIONS:
            return " "
        compound = before[: -len(one[0])].endswith(_HYPHENS) or after[two.end() :].startswith(_HYPHENS)
        whole = min(len(first), len(second)) > 1 and first not in _OPENERS and second not in _CLOSERS
        return None if whole and not compound else ""


def join_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines, each that starts with a small letter joined to the one before it. Expects no empty line."""
    whole = ""
    for line in lines:
        if whole and line[0].islower():
            whole += f" {line}"
        else:
            if whole:
                yield whole
            whole = line
    if whole:
        yield whole
