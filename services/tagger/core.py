"""From the spans that a model finds to an article's entities: repaired, labelled alike, and joined.

Everything here holds within one article: what one article says never changes the entities of another.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.article import PLAIN_SPACES, DedupedArticle, Entity, Label, Mention, Place, TaggedArticle

VERSION = "2"
"""Changes whenever the same article and the same spans would give other entities."""

UNSUPPORTED_LANGUAGE = "entities_unsupported_language"
"""The flag of an article that no model here can read: it has no entities because nobody looked."""


class Span(NamedTuple):
    """Where an entity is named, `start <= i < end` in characters, and what it is."""

    start: int
    end: int
    label: Label


def tag_articles(
    articles: Sequence[DedupedArticle],
    find_spans: Callable[[Sequence[str]], list[list[Span]]],
    languages: frozenset[str],
    versions: Mapping[str, str],
) -> list[TaggedArticle]:
    """The articles in their order, each with its entities; `find_spans` is called once for all bodies.

    `languages` are the primary subtags (`en`) that the model knows and `versions` its version. An article in
    another language comes out without entities and flagged. One whose language is undetermined (`und`) is
    tagged: it is mostly too short to tell, and there a missed name costs a reader more than a wrong one.

    The spans may overlap, lie outside the body or come in any order. What comes out satisfies:
    `body[start:end] == text` for every mention, mentions in order without overlap, each of an entity of the
    article, and an entity's count is the number of its mentions.
    """
    readable = [article.language.split("-")[0].lower() in languages | {"und"} for article in articles]
    bodies = [article.body.translate(PLAIN_SPACES) for article, can in zip(articles, readable, strict=True) if can]
    found = zip(bodies, find_spans(bodies) if bodies else [], strict=True)
    return [
        _tagged(article, *next(found), {**versions, "tagger": VERSION}) if can else _untagged(article)
        for article, can in zip(articles, readable, strict=True)
    ]


def _untagged(article: DedupedArticle) -> TaggedArticle:
    return TaggedArticle(
        **{
            **dict(article),
            "flags": (*article.flags, UNSUPPORTED_LANGUAGE),
            "versions": {**article.versions, "tagger": VERSION},
        }
    )


def _tagged(
    article: DedupedArticle, body: str, spans: Iterable[Span], versions: Mapping[str, str]
) -> TaggedArticle:
    names = _without_overlap(name for span in spans if (name := _repaired(body, span)))
    names = _labelled_alike(body, _without_compounds(names))
    canonical = _canonical_names(names)
    mentions = tuple(
        Mention(
            text=article.body[name.start : name.end],
            start=name.start,
            end=name.end,
            label=name.label,
            entity_id=_entity_id(name.label, canonical[name.label, name.words]),
        )
        for name in names
    )
    # Entities of equal count stay in the order of their first mention.
    counted = Counter((name.label, canonical[name.label, name.words]) for name in names).most_common()
    ranked = [(label, _entity_id(label, name), name, count) for (label, name), count in counted]
    return TaggedArticle(
        **{
            **dict(article),
            "versions": {**article.versions, **versions},
            "people": tuple(
                Entity(id=entity_id, name=name, count=count)
                for label, entity_id, name, count in ranked
                if label is Label.PERSON
            ),
            "organisations": tuple(
                Entity(id=entity_id, name=name, count=count)
                for label, entity_id, name, count in ranked
                if label is Label.ORGANISATION
            ),
            "places": tuple(
                Place(id=entity_id, name=name, count=count)
                for label, entity_id, name, count in ranked
                if label is Label.PLACE
            ),
            "mentions": mentions,
        }
    )


class _Name(NamedTuple):
    """A repaired span: the text there, and its words folded for comparing."""

    start: int
    end: int
    label: Label
    text: str
    words: tuple[str, ...]


MAX_NAME_LENGTH = 200
"""Characters. What is longer is a list or a broken line; and from 32,766 bytes on Elasticsearch refuses a keyword
and with it the article."""

_EDGE = "\t\n\r \u00a0\"'“”‘’„‚«»‹›`´,;:!?¡¿…·•*&|/\\_~^=<>[]{}™®©–—-"
# Only titles without which a person is known as well: "Pope Francis" and "King Charles" stay whole.
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sen|Rep|Gov|Gen|Col|Lt|Sgt|President|Senator)\b\.?\s++(?=\w)"
_NO_NAME = rf"[{re.escape(_EDGE)}.()#@]|(?i:the)\s++(?!Hague\b)|(?:anti|ex|non|post|pre|pro)-(?=[A-Z])"
# The repeated groups are possessive: they never give back what they took, so that no text makes them slow.
_LEADING = re.compile(rf"(?:{_NO_NAME})*+")
_LEADING_PERSON = re.compile(rf"(?:{_NO_NAME}|{_TITLE})*+")
# The model's tokenizer leaves "U.S.-made" in one piece, unlike "US-made".
_AFTER_ABBREVIATION = re.compile(r"(?<=\.)-[a-z]+$")


def _repaired(body: str, span: Span) -> _Name | None:
    """The name in a span, without article, title, possessive and the marks around it; None if none is left."""
    start, end, label = span
    if not 0 <= start < end <= len(body):
        return None
    text = body[start:end]
    leading = (_LEADING_PERSON if label is Label.PERSON else _LEADING).match(text)
    offset = leading.end() if leading else 0
    # What follows the end of a paragraph belongs to another sentence.
    text = _without_tail(text[offset:].partition("\n\n")[0])
    if len(text) > MAX_NAME_LENGTH:
        return None
    words = _folded(text)
    if not any(map(str.isalpha, "".join(words))):
        return None
    return _Name(start + offset, start + offset + len(text), label, text, words)


def _without_tail(text: str) -> str:
    text = _AFTER_ABBREVIATION.sub("", text)
    while True:
        kept = text.rstrip(_EDGE)
        if kept.endswith(("'s", "’s", "'S", "’S")):
            kept = kept[:-2]
        elif kept.count("(") > kept.count(")"):
            kept = kept[: _unclosed(kept)]
        elif (
            kept.endswith("(")
            or (kept.endswith(")") and kept.count("(") < kept.count(")"))
            or (kept.endswith(".") and not kept[-2:-1].isalnum())  # but the dot of "U.S." and "Corp." stays
        ):
            kept = kept[:-1]
        if kept == text:
            return text
        text = kept


def _unclosed(text: str) -> int:
    """Where the first bracket opens that is not closed; the end of the text if all are."""
    opened: list[int] = []
    for i, character in enumerate(text):
        if character == "(":
            opened.append(i)
        elif character == ")" and opened:
            opened.pop()
    return opened[0] if opened else len(text)


# Letters that Unicode does not take apart into a Latin letter and a mark.
_LATIN = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_LATIN_MARKS = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_UNSPOKEN = re.compile(r"[.'’‘`]")


@lru_cache(maxsize=16_384)
def _folded(text: str) -> tuple[str, ...]:
    """The words of a name without case, dots, apostrophes, hyphens and the marks on Latin letters.

    Letters and marks of other scripts are kept: there a mark can be a vowel.
    """
    folded = _UNSPOKEN.sub("", text.casefold())
    if not folded.isascii():
        folded = _LATIN_MARKS.sub("", unicodedata.normalize("NFKD", folded.translate(_LATIN)).casefold())
        folded = unicodedata.normalize("NFC", folded)
    return tuple("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded).split())


def _entity_id(label: Label, name: str) -> str:
    """The same in every article that calls the entity by this name."""
    return f"{label}:{'-'.join(_folded(name))}"


def _without_overlap(names: Iterable[_Name]) -> list[_Name]:
    """In the order of the text; of names that overlap the first, and of those that start together the longest."""
    kept: list[_Name] = []
    for name in sorted(names, key=lambda name: (name.start, -name.end)):
        if not kept or kept[-1].end <= name.start:
            kept.append(name)
    return kept


_COMPOUND = re.compile(r"([^\s–—/-]+)[–—/-]([^\s–—/-]+)")


def _without_compounds(names: list[_Name]) -> list[_Name]:
    """Split "Kim-Putin" into Kim and Putin where the article knows both as people by other mentions."""
    people = [name for name in names if name.label is Label.PERSON]
    halves = {name: pair for name in people if (pair := _halves(name))}
    known = {(word,) for name in people if name not in halves for word in (name.words[0], name.words[-1])}
    split: list[_Name] = []
    for name in names:
        pair = halves.get(name, [])
        split += pair if pair and all(half.words in known for half in pair) else [name]
    return split


def _halves(name: _Name) -> list[_Name]:
    pair = _COMPOUND.fullmatch(name.text)
    if not pair:
        return []
    return [
        _Name(name.start + pair.start(i), name.start + pair.end(i), name.label, pair[i], _folded(pair[i]))
        for i in (1, 2)
    ]


_ORGANISATION_NOUN = (
    "(?-i:agency)|airline|bank|brewer|broadcaster|brokerage|carmaker|company|consultancy|daily|firm|group|insurer"
    "|magazine|manufacturer|militia|newspaper|party|publisher|retailer|union|unit"
)
# "the Russian mercenary group Wagner", but not "the company Musk founded"; "the environment agency Ibama", but not
# "the National Security Agency William Crowell".
_ORGANISATION_BEFORE = re.compile(
    rf"(?<!\bthe)(?<!\ba)(?<!\bthis)(?<!\bthat)(?<!\bhis)(?<!\bher)(?<!\btheir)\s(?:{_ORGANISATION_NOUN})s?\s$",
    re.IGNORECASE,
)
_ORGANISATION_AFTER = re.compile(
    r"\s(?:newspaper|daily|magazine|news agency|news service|broadcaster)\b"
    # ", the South Korean news agency,", but not ", the head of the agency,": that tells a person.
    r"|,\s(?:the|an?)\s(?:[A-Z][\w.-]*\s){1,3}(?:[a-z-]+\s)?(?:agency|newspaper|daily|magazine|broadcaster)[,.;]"
)
_PLACE_BEFORE = re.compile(r"\b(?:in|near|outside|across)\s$", re.IGNORECASE)
_LOOK_BACK = 40
"""Characters before a name in which a word about it is looked for."""
_LOOK_AHEAD = 80
"""Characters after a name in which a word about it is looked for."""


def _labelled_alike(body: str, names: list[_Name]) -> list[_Name]:
    """Give every mention of one name one label: what most of its mentions have, the first of them in a tie.

    Two errors that the model makes often are put right before: an organisation that a noun beside it names as
    such is no person (24 of 24 in 500 news articles), and a lone surname of someone in the article is that person
    (about nine in ten of 328 that the model called an organisation or a place).
    """
    names = [
        name._replace(label=Label.ORGANISATION)
        if name.label is Label.PERSON
        and (
            _ORGANISATION_BEFORE.search(body, max(0, name.start - _LOOK_BACK), name.start)
            or _ORGANISATION_AFTER.match(body, name.end, name.end + _LOOK_AHEAD)
        )
        else name
        for name in names
    ]
    surnames = _surnames(body, names)
    votes: dict[tuple[str, ...], Counter[Label]] = {}
    for name in names:
        label = Label.PERSON if name.text in surnames else name.label
        votes.setdefault(name.words, Counter())[label] += 1
    # most_common() keeps labels with equal votes in the order of their first vote.
    labels = {words: counted.most_common(1)[0][0] for words, counted in votes.items()}
    return [name._replace(label=labels[name.words]) for name in names]


def _surnames(body: str, names: list[_Name]) -> set[str]:
    """The last words of full names, as written ("Un" is not "UN"), without those that also name something else.

    That is: the first word of another name ("Bill Ford", "Ford Motor Co."), or what something is said to be in
    ("Jack London", "in London").
    """
    long_names = [name for name in names if len(name.words) > 1]
    surnames = {name.text.split()[-1] for name in long_names if name.label is Label.PERSON}
    others = {name.text.split()[0] for name in long_names if name.label is not Label.PERSON}
    places = {
        name.text
        for name in names
        if name.label is Label.PLACE
        and name.text in surnames
        and _PLACE_BEFORE.search(body, max(0, name.start - _LOOK_BACK), name.start)
    }
    return surnames - others - places


def _canonical_names(names: list[_Name]) -> dict[tuple[Label, tuple[str, ...]], str]:
    """The canonical name of every label and folded name: the fullest form in the article, the first of equals.

    A person's shorter forms are joined to the only longer one that they can stand for; where there are two, as
    with Kim between Kim Jong Un and Kim Yo Jong, the shorter form is a person of its own.
    """
    written: dict[tuple[Label, tuple[str, ...]], list[str]] = {}
    for name in names:
        written.setdefault((name.label, name.words), []).append(name.text)
    canonical: dict[tuple[Label, tuple[str, ...]], str] = {}
    first = {words: i for i, (_, words) in enumerate(written)}
    people: list[tuple[str, ...]] = []
    for (label, words), texts in sorted(written.items(), key=lambda item: -len(item[0][1])):
        full = _full_names(words, people, first) if label is Label.PERSON else []
        if len(full) == 1:
            canonical[label, words] = canonical[label, full[0]]
            continue
        if label is Label.PERSON:
            people.append(words)
        # "KIM JONG UN" is how a headline writes it and "BRUSSELS" a dateline, but "NATO" is an acronym, and "us"
        # not how a place is called.
        acronym = label is Label.ORGANISATION and len(words) == 1
        text = next((text for text in texts if acronym or not (text.isupper() or text.islower())), texts[0])
        canonical[label, words] = " ".join(text.split())
    return canonical


# Words of names that name nobody: "Da" is not Luiz Inácio Lula da Silva.
_PARTICLES = frozenset(
    {"al", "bin", "da", "das", "de", "del", "der", "di", "do", "dos", "du", "el", "la", "le", "van", "von", "y"}
)


def _full_names(
    short: tuple[str, ...], people: Iterable[tuple[str, ...]], first: Mapping[tuple[str, ...], int]
) -> list[tuple[str, ...]]:
    """Of people the longer names that a name is the beginning or the end of, or that without its middle names.

    If there are none, those that its one word stands amid, as Lula in Luiz Inácio Lula da Silva, unless it comes
    before one of them in the order `first` (so all 15 joined in 3,500 news articles were right, else 15 of 17).
    """
    count = len(short)
    longer = [name for name in people if count < len(name)]
    full = [
        name
        for name in longer
        if name[:count] == short or name[-count:] == short or (count == 2 and (name[0], name[-1]) == short)
    ]
    if full or count > 1 or short[0] in _PARTICLES:
        return full
    amid = [name for name in longer if short[0] in name]
    return amid if all(first[name] < first[short] for name in amid) else []
