"""The names in one article: repaired, completed and labelled alike, in steps that can be switched off.

Everything here holds within one article: what one article says never changes the names of another.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from schemas.article import Label
from services.tagger.folding import folded
from services.tagger.gazetteer import Gazetteer, Kind


class Refinement(StrEnum):
    """What is done to the names that the model finds. Each is measured in `tests/quality/test_entities.py`."""

    BOUNDARIES = "boundaries"
    """Titles, possessives, numbers, line breaks and addresses cut off; lists taken apart."""
    GAZETTEER = "gazetteer"
    """What is known of a name before: countries, cities, nationalities, agencies, parties."""
    CONTEXT = "context"
    """What the words beside a name say: "Ms Weiss", "Weiss said", "the newspaper"."""
    ACRONYMS = "acronyms"
    """A name and the acronym in brackets behind it are one organisation."""
    LABELS = "labels"
    """One name has one label in an article, and a lone surname is its person."""
    RECURRENCE = "recurrence"
    """A name that the model missed where it stands again."""


EVERY_REFINEMENT = frozenset(Refinement)


class Span(NamedTuple):
    """Where an entity is named, `start <= i < end` in characters, and what it is."""

    start: int
    end: int
    label: Label
    entity: str | None = None
    """The canonical name, where whoever found the span knows it: a gazetteer of the user's own. It has a word."""


class Name(NamedTuple):
    """A repaired span: the text there, and its words folded for comparing."""

    start: int
    end: int
    label: Label
    text: str
    words: tuple[str, ...]
    entity: str | None = None


MAX_NAME_LENGTH = 200
"""Characters. What is longer is a list or a broken line; and from 32,766 bytes on Elasticsearch refuses a keyword
and with it the article."""


def find_names(
    body: str, spans: Iterable[Span], gazetteer: Gazetteer, refinements: frozenset[Refinement]
) -> list[Name]:
    """The names of an article in the order of the text, without overlap, from the spans of a model.

    The spans may overlap, lie outside the body or come in any order.
    """
    given = [span for span in spans if 0 <= span.start < span.end <= len(body)]
    if Refinement.BOUNDARIES in refinements:
        found = [name for span in given for name in _repaired(body, span, gazetteer)]
    else:
        found = [name for span in given if (name := _name(body, span.start, span.end, span.label, span.entity))]
    names = _without_overlap(found)
    if Refinement.BOUNDARIES in refinements:
        names = _without_compounds(names)
    if Refinement.GAZETTEER in refinements:
        names = _known(body, names, gazetteer)
    if Refinement.CONTEXT in refinements:
        names = _as_called(body, names, gazetteer)
    if Refinement.ACRONYMS in refinements:
        names = _with_acronyms(body, names)
    if Refinement.LABELS in refinements:
        names = _labelled_alike(body, names)
    if Refinement.RECURRENCE in refinements:
        names = _recurring(body, names)
    return names


def _name(body: str, start: int, end: int, label: Label, entity: str | None = None) -> Name | None:
    text = body[start:end]
    if len(text) > MAX_NAME_LENGTH:
        return None
    words = folded(text)
    return Name(start, end, label, text, words, entity) if any(map(str.isalpha, "".join(words))) else None


# ---------------------------------------------------------------- boundaries

_EDGE = "\t\n\r \u00a0\"'“”‘’„‚«»‹›`´,;:!?¡¿…·•*&|/\\_~^=<>[]{}™®©–—-"
_MISS = r"Miss(?!\s(?:World|Universe|Earth|International|America|USA)\b)"
"""Miss World is a title, and World no person."""
# Only titles without which a person is known as well: "Pope Francis" and "King Charles" stay whole.
_TITLE = (
    rf"(?:Mr|Mrs|Ms|{_MISS}|Dr|Prof|Professor|Sen|Senator|Rep|Gov|Gen|Col|Lt|Sgt|Capt|Maj|Rev|President"
    r"|Vice President|Prime Minister|Chancellor|Judge|Justice|Congressman|Congresswoman|Ambassador"
    r"|Coach)\b\.?\s++(?=\w)"
)
_NO_NAME = (
    rf"[{re.escape(_EDGE)}.()#@]|(?i:the)\s++(?!Hague\b)|(?:anti|ex|non|post|pre|pro)-(?=[A-Z])"
    r"|(?:a|an|and|or|of|but|RT|Today|Yesterday|Tomorrow|Hello|Hi|Hey|Dear|Thanks|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\s++"
)
# The repeated groups are possessive: they never give back what they took, so that no text makes them slow.
_LEADING = re.compile(rf"(?:{_NO_NAME})*+")
_LEADING_PERSON = re.compile(rf"(?:{_NO_NAME}|{_TITLE}|\d[\d.,:/-]*+\s++)*+")
# The model's tokenizer leaves "U.S.-made" in one piece, unlike "US-made".
_AFTER_ABBREVIATION = re.compile(r"(?<=\.)-[a-z]+$")
_TRAILING_WORD = re.compile(r"\s(?:and|or|of|the|for|in|on|at|to|by|with|from|said|says)$")
_TRAILING_NUMBER = re.compile(r"\s[\d#$€£][\d.,:/%-]*+$")
_TRAILING_YEAR = re.compile(r"\s\d{4,}[\d.,:/%-]*+$")
# A line, a dash between words, a long number and a sentence's end stand between names and never in one.
_SENTENCE_END = re.compile(r"(?<=[a-z]{5})\.$")
_BREAK = re.compile(r"\s*\n\s*|\s[-–—]{1,2}\s|\s\d{5,}\s|(?<=[a-z]{3}[.?!])\s(?=[A-Z])")
_COMMA = re.compile(r",\s(?!(?:Jr|Sr|Inc|Ltd|LLC|LLP|Co|Corp|PLC|plc|S\.A|N\.A|L\.P|P\.C|II|III|IV)\b)")
_LEGAL_FORM = re.compile(r"(?:Inc|Corp|Co|Ltd|LLC|LLP|PLC|AG|GmbH|SA|NV|Jr|Sr|II|III|IV)\.?")
_ADDRESS = re.compile(r"://|www\.|\S@\S+\.\S|\.(?:com|org|net|html?)\b(?=\S|$)")


def _repaired(body: str, span: Span, gazetteer: Gazetteer) -> list[Name]:
    """The names in a span, without article, title, possessive, numbers and the marks around them; often one."""
    names = []
    start = span.start
    text = body[start : span.end]
    if span.entity is not None or gazetteer.organisation(text):
        name = _name(body, start, span.end, span.label, span.entity)
        return [name] if name else []
    for break_ in [*_breaks(text, span.label, gazetteer), None]:
        end = span.start + (break_[0] if break_ else len(text))
        name = _trimmed(body, start, end, span.label)
        if name and (not name.text.islower() or _known_in_small_letters(name, gazetteer)):
            names += _place_in_place(body, name, gazetteer)
        start = span.start + (break_[1] if break_ else 0)
    return names


def _breaks(text: str, label: Label, gazetteer: Gazetteer) -> list[tuple[int, int]]:
    found = [match.span() for match in _BREAK.finditer(text)]
    if gazetteer.places_named(text) or gazetteer.organisation(text):
        found = [span for span in found if "\n\n" in text[slice(*span)]]  # a line that was broken in a known name
    parts = _COMMA.split(text)
    if label is not Label.ORGANISATION or all(len(part.split()) <= 2 for part in parts):
        found += [match.span() for match in _COMMA.finditer(text)]
    return sorted(found)


def _trimmed(body: str, start: int, end: int, label: Label) -> Name | None:
    text = body[start:end]
    leading = (_LEADING_PERSON if label is Label.PERSON else _LEADING).match(text)
    offset = leading.end() if leading else 0
    text = _SENTENCE_END.sub("", _without_tail(text[offset:], label))
    name = _name(body, start + offset, start + offset + len(text), label)
    no_name = _ADDRESS.search(text) or text in _NO_NAMES or _LEGAL_FORM.fullmatch(text)
    return None if no_name else name


_NO_NAMES = frozenset(
    {
        "AD",
        "AI",
        "AIDS",
        "AMA",
        "ATM",
        "BC",
        "BCE",
        "CD",
        "CE",
        "CEO",
        "CFO",
        "COO",
        "COVID",
        "CPI",
        "CTO",
        "DIY",
        "DNA",
        "DVD",
        "EPS",
        "ETF",
        "FAQ",
        "GDP",
        "GMT",
        "GNP",
        "GPS",
        "GST",
        "HIV",
        "HR",
        "HTML",
        "ID",
        "IMO",
        "IPO",
        "IQ",
        "IT",
        "LCD",
        "LED",
        "LGBT",
        "LOL",
        "MP",
        "MPs",
        "MRI",
        "NGO",
        "NGOs",
        "OK",
        "PC",
        "PDF",
        "PIN",
        "PM",
        "PMI",
        "PR",
        "QR",
        "RNA",
        "ROI",
        "RT",
        "SARS",
        "SMS",
        "SUV",
        "SUVs",
        "TV",
        "UFO",
        "URL",
        "USB",
        "UTC",
        "VAT",
        "VIP",
        "WMD",
        "XML",
    }
)
"""Capitals that an English text has for things, which a model takes for organisations."""


def _known_in_small_letters(name: Name, gazetteer: Gazetteer) -> bool:
    """A word without any capital is a name in a chat, and in the news that of an agency ("dpa")."""
    places = gazetteer.places_named(name.text)
    city = name.label is Label.PLACE and places and places[0][1] >= _LEAST_BESIDE
    return bool(city) or gazetteer.organisation(name.text) is not None


def _place_in_place(body: str, name: Name, gazetteer: Gazetteer) -> list[Name]:
    """ "Houston Texas" as Houston and Texas."""
    words = list(_SPACED.finditer(name.text))
    if name.label is not Label.PLACE or not 2 <= len(words) <= _LONGEST_PAIR or gazetteer.places_named(name.text):
        return [name]
    for word in words[1:]:
        around = gazetteer.places_named(name.text[word.start() :])
        if around and around[0][0].kind is not Kind.CITY and gazetteer.places_named(name.text[: word.start()]):
            middle = name.start + word.start()
            parts = (_trimmed(body, name.start, middle, Label.PLACE), _trimmed(body, middle, name.end, Label.PLACE))
            return [part for part in parts if part]
    return [name]


_LONGEST_PAIR = 6
"""Words of a place and the country it is in."""


def _without_tail(text: str, label: Label) -> str:
    text = _AFTER_ABBREVIATION.sub("", text)
    number = _TRAILING_YEAR if label is Label.ORGANISATION else _TRAILING_NUMBER
    while True:
        kept = _TRAILING_WORD.sub("", number.sub("", text.rstrip(_EDGE)))
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


def _without_overlap(names: Iterable[Name]) -> list[Name]:
    """In the order of the text; of names that overlap the first, and of those that start together the longest."""
    kept: list[Name] = []
    for name in sorted(names, key=lambda name: (name.start, -name.end)):
        if not kept or kept[-1].end <= name.start:
            kept.append(name)
    return kept


_COMPOUND = re.compile(r"([^\s–—/-]+)[–—/-]([^\s–—/-]+)")


def _without_compounds(names: list[Name]) -> list[Name]:
    """Split "Kim-Putin" into Kim and Putin where the article knows both as people by other mentions."""
    people = [name for name in names if name.label is Label.PERSON]
    halves = {name: pair for name in people if (pair := _halves(name))}
    known = {(word,) for name in people if name not in halves for word in (name.words[0], name.words[-1])}
    split: list[Name] = []
    for name in names:
        pair = halves.get(name, [])
        split += pair if pair and all(half.words in known for half in pair) else [name]
    return split


def _halves(name: Name) -> list[Name]:
    pair = _COMPOUND.fullmatch(name.text)
    if not pair:
        return []
    return [
        Name(name.start + pair.start(i), name.start + pair.end(i), name.label, pair[i], folded(pair[i]))
        for i in (1, 2)
    ]


# ---------------------------------------------------------------- what is known before

# A run of capitalised words, with the small ones that stand in names: each part of it may be a known name.
_RUN = re.compile(r"\b[A-Z][\w’'&.-]*+(?:\s(?:(?:of|the|and|for)\s)?[A-Z][\w’'&.-]*+)*+")
_WELL_KNOWN = 8.0
"""Weight from which a city that the model missed is added."""
_PLACE_BEFORE = re.compile(r"\b(?:in|near|outside|across|from|to|at)\s$", re.IGNORECASE)
_LOOK_BACK = 40
"""Characters before a name in which a word about it is looked for."""
_LOOK_AHEAD = 80
"""Characters after a name in which a word about it is looked for."""


def _known(body: str, names: list[Name], gazetteer: Gazetteer) -> list[Name]:
    """The names without nationalities, known ones with their label, and known ones that were missed."""
    people = {
        word
        for name in names
        if name.label is Label.PERSON and len(name.words) > 1 and not _is_known_city(name.text, gazetteer)
        for word in name.words
    }
    labelled = [
        _with_known_label(body, name, people, gazetteer)
        for name in names
        if name.entity or not gazetteer.nationality(name.text)
    ]
    completed = _with_missed(labelled, list(_missed(body, labelled, people, gazetteer)))
    return _places_beside_places(body, completed, people, gazetteer)


def _places_beside_places(body: str, names: list[Name], people: set[str], gazetteer: Gazetteer) -> list[Name]:
    """Cities that the model took for something else: "Lincoln, Nebraska", "London and Copenhagen"."""
    found = list(names)
    for i, name in enumerate(names):
        if name.label is Label.PLACE or name.entity or not people.isdisjoint(name.words):
            continue
        places = gazetteer.places_named(name.text)
        if not places or gazetteer.organisation(name.text):
            continue
        following = names[i + 1] if i + 1 < len(names) else None
        if following and following.label is Label.PLACE and body[name.end : following.start] == ", ":
            around = [place for place, _ in gazetteer.places_named(following.text) if place.kind is not Kind.CITY]
            inside = {(place.country, place.division) for place, _ in places}
            if any((wide.country, wide.division) in inside or not wide.division for wide in around):
                found[i] = name._replace(label=Label.PLACE)
        for other in (found[i - 1] if i else None, following):
            between = body[min(name.end, other.end) : max(name.start, other.start)] if other else ""
            if other and other.label is Label.PLACE and between == " and " and places[0][1] >= _LEAST_BESIDE:
                found[i] = name._replace(label=Label.PLACE)
    return found


_ORGANISATION_ENDS = re.compile(
    r"\s(?:(?:Inc|Corp|Ltd|LLC|LLP|PLC|plc|AG|GmbH|SA|NV|Co)\.?|Corporation|Company|University|Association|Associates"
    r"|Commission|Committee|Council|Federation|Foundation|Institute|Ministry|Department|Agency|Authority|Organi[sz]ation"
    r"|Party|Union|Airlines|Airways|Newspaper|Magazine|Times|Post|News|Holdings|Industries|Partners|Technologies)$"
)
_PLACE_ENDS = re.compile(
    r"\s(?:Airport|Avenue|Bay|Beach|Boulevard|Bridge|Canyon|County|Creek|Desert|Glacier|Gulf|Highway|Hills|Islands?"
    r"|Lake|Mountains?|Ocean|Park|Peninsula|Province|River|Road|Sea|Square|Street|Tower|Valley|Village)$"
)
_FIRM_AFTER = re.compile(r",?\s(?:Inc|Corp|Ltd|LLC|LLP|PLC|plc|GmbH)\b\.?")


def _by_form(body: str, name: Name) -> Name:
    """With the label that its last word tells, and the legal form that stands behind it."""
    if form := _FIRM_AFTER.match(body, name.end):
        text = body[name.start : form.end()]
        return Name(name.start, form.end(), Label.ORGANISATION, text, folded(text))
    if _ORGANISATION_ENDS.search(name.text):
        return name._replace(label=Label.ORGANISATION)
    if _PLACE_ENDS.search(name.text) and len(name.words) > 1:
        return name._replace(label=Label.PLACE)
    return name


def _is_known_city(text: str, gazetteer: Gazetteer) -> bool:
    places = gazetteer.places_named(text)
    return bool(places and places[0][1] >= _LEAST_BESIDE)


def _with_known_label(body: str, name: Name, people: set[str], gazetteer: Gazetteer) -> Name:
    if name.entity is None:
        name = _by_form(body, name)
    if name.entity or (len(name.words) == 1 and name.words[0] in people):
        return name
    places = gazetteer.places_named(name.text)
    organisation = gazetteer.organisation(name.text)
    if organisation and (not places or places[0][1] < _LEAST_IN):
        return name._replace(label=Label.ORGANISATION)
    if not places or organisation or name.label is Label.PLACE:
        return name
    best, weight = places[0]
    said_to_be_in = _PLACE_BEFORE.search(body, max(0, name.start - _LOOK_BACK), name.start)
    several_words = len(name.words) > 1 and people.isdisjoint(name.words)
    if (
        best.kind is not Kind.CITY
        or (said_to_be_in and weight >= _LEAST_IN)
        or (several_words and weight >= _LEAST_BESIDE)
    ):
        return name._replace(label=Label.PLACE)
    return name


_LEAST_IN = 5.5
"""Weight from which a city is one where something is said to be in it: some 30,000 inhabitants."""
_LEAST_BESIDE = 6.0
"""Weight from which a city of several words is no person, and one beside another place no organisation."""


def _missed(body: str, names: list[Name], people: set[str], gazetteer: Gazetteer) -> Iterator[Name]:
    taken = [(name.start, name.end) for name in names]
    for run in _RUN.finditer(body):
        at = bisect_left(taken, (run.start(), run.start()))
        if any(start < run.end() and run.start() < end for start, end in taken[max(0, at - 1) : at + 1]):
            continue
        words = [(match.start() + run.start(), match.end() + run.start()) for match in _SPACED.finditer(run[0])]
        if len(words) == 1 and words[0][0] and folded(run[0]) and folded(run[0])[0] in people:
            continue
        label = _label_of_run(body, run.start(), run.end(), gazetteer)
        if label and (name := _trimmed(body, run.start(), run.end(), label)):
            yield name
    for based in _BASED.finditer(body):
        if gazetteer.places_named(based[1]) and (name := _name(body, *based.span(1), Label.PLACE)):
            yield name


_SPACED = re.compile(r"\S+")
# "Birmingham, Ala.-based Healthsouth" is one run of capitalised words.
_BASED = re.compile(r",\s([A-Z][\w’']*+\.?(?:\s[A-Z][\w’']*+\.?){0,2})-based\b")


def _label_of_run(body: str, start: int, end: int, gazetteer: Gazetteer) -> Label | None:
    """What a whole run of capitalised words is, where that is known."""
    text = _SENTENCE_END.sub("", _without_tail(body[start:end], Label.PLACE))
    places = gazetteer.places_named(text)
    if gazetteer.organisation(text) and not places:
        return Label.ORGANISATION
    if not places or (text.isupper() and len(text) < 3):
        return None
    best, weight = places[0]
    if best.kind is not Kind.CITY:
        return Label.PLACE
    said_to_be_in = _PLACE_BEFORE.search(body, max(0, start - _LOOK_BACK), start)
    # Only a city has two words like "Buenos Aires".
    return Label.PLACE if weight >= _WELL_KNOWN and (said_to_be_in or " " in text) else None


def _with_missed(names: list[Name], missed: list[Name]) -> list[Name]:
    return _without_overlap([*names, *missed]) if missed else names


# ---------------------------------------------------------------- what the words beside it say

_SPEECH = (
    "said|says|say|told|tells|added|adds|explained|explains|argued|argues|wrote|writes|recalled|recalls|admitted"
    "|admits|insisted|insists|joked|replied|thinks|thought|believes|believed|remembers|remembered|laughed|laughs"
)
_SPEAKS = re.compile(rf"\s(?:{_SPEECH})\b")
_SPOKEN_BY = re.compile(
    r"[,?!]['\"”’]\s(?:said|says|added|adds|explained|explains|recalled|recalls)\s(?:[a-z]+\s){0,2}$"
)
_HONORIFIC = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Dame)\.?\s$")
_HONOURED = re.compile(rf"\b(?:Mr|Mrs|Ms|{_MISS}|Dr|Prof)\.?\s(?=[A-Z])((?:[A-Z][\w’'-]*+\s?){{1,3}})")
_LONGEST_SURNAME = 2
"""Words. Of three on the model's own label is mostly right: "the Sunshine Skyway Bridge said" does not come."""
_FOLLOWS_NAME = re.compile(r"[\w.’'-]+\s$")


def _as_called(body: str, names: list[Name], gazetteer: Gazetteer) -> list[Name]:
    """Labels by the words beside a name, and people that were missed and are said to speak."""
    return _with_missed(
        [_as_beside(body, name, gazetteer) for name in names], list(_speakers(body, names, gazetteer))
    )


def _as_beside(body: str, name: Name, gazetteer: Gazetteer) -> Name:
    if name.entity:
        return name
    if _HONORIFIC.search(body, max(0, name.start - 6), name.start):
        return name._replace(label=Label.PERSON)
    said_to_be_organisation = _ORGANISATION_BEFORE.search(
        body, max(0, name.start - _LOOK_BACK), name.start
    ) or _ORGANISATION_AFTER.match(body, name.end, name.end + _LOOK_AHEAD)
    if said_to_be_organisation:
        return name._replace(label=Label.ORGANISATION) if name.label is Label.PERSON else name
    # "the chief economist at Komercni Banka said": it is not the bank that speaks, but still no person.
    of_someone = name.label is Label.ORGANISATION and _OF_SOMEONE.search(
        body, max(0, name.start - _LOOK_BACK), name.start
    )
    if _speaks(body, name.start, name.end) and not of_someone and _may_be_surname(name.text, gazetteer):
        return name._replace(label=Label.PERSON)
    return name


_OF_SOMEONE = re.compile(r"\b(?:at|for|from|of|with)\s(?:the\s)?$")


def _speaks(body: str, start: int, end: int) -> bool:
    return bool(
        _SPEAKS.match(body, end, end + _LOOK_AHEAD) or _SPOKEN_BY.search(body, max(0, start - _LOOK_BACK), start)
    )


def _may_be_surname(text: str, gazetteer: Gazetteer) -> bool:
    """Whether it is written as a person's name, and is not known as something else."""
    places = gazetteer.places_named(text)
    return bool(
        all(word[:1].isupper() and word[1:] and not word.isupper() for word in text.split())
        and text.replace("-", "").replace("’", "").replace("'", "").replace(" ", "").isalpha()
        and len(text.split()) <= _LONGEST_SURNAME
        and not gazetteer.organisation(text)
        and not gazetteer.nationality(text)
        and not (places and places[0][1] >= _LEAST_IN)
    )


def _speakers(body: str, names: list[Name], gazetteer: Gazetteer) -> Iterator[Name]:
    taken = [(name.start, name.end) for name in names]
    for match in _QUOTED_SPEAKER.finditer(body):
        start, end = match.span(1) if match[1] else match.span(2)
        at = bisect_left(taken, (start, start))
        if any(first < end and start < last for first, last in taken[max(0, at - 1) : at + 1]):
            continue
        if body[start:end] in _NO_SPEAKER or not _may_be_surname(body[start:end], gazetteer):
            continue
        if name := _name(body, start, end, Label.PERSON):
            yield name


_QUOTED_SPEAKER = re.compile(
    rf"[,.?!…]['\"”’]\s([A-Z][a-z’'-]+)\s(?:{_SPEECH})\b|[,?!]['\"”’]\s(?:said|says|added|adds)\s([A-Z][a-z’'-]+)(?=[.,;])"
)
_NO_SPEAKER = frozenset(
    {
        "He",
        "She",
        "It",
        "They",
        "We",
        "You",
        "I",
        "The",
        "This",
        "That",
        "One",
        "Who",
        "But",
        "And",
        "Mr",
        "Mrs",
        "Ms",
        "Dr",
        "Another",
        "Others",
        "Some",
        "Officials",
        "Police",
        "Nobody",
        "Everyone",
    }
)


# ---------------------------------------------------------------- acronyms

_IN_BRACKETS = re.compile(r"\s\(([A-Z][A-Za-z.&-]{1,9})\)")
_SMALL = frozenset({"of", "the", "and", "for", "in", "on", "de", "la", "del", "des", "du", "a", "an", "to"})


def _with_acronyms(body: str, names: list[Name]) -> list[Name]:
    """An organisation's acronym in brackets behind it is that organisation wherever it stands."""
    acronyms = {short for _, short in bracketed_acronyms(body, names)}
    if not acronyms:
        return names
    labelled = [name._replace(label=Label.ORGANISATION) if name.text in acronyms else name for name in names]
    return _with_missed(labelled, list(_occurrences(body, labelled, dict.fromkeys(acronyms, Label.ORGANISATION))))


def bracketed_acronyms(body: str, names: Iterable[Name]) -> list[tuple[str, str]]:
    """Names and the acronyms in brackets behind them."""
    return [
        (name.text, match[1])
        for name in names
        if name.label is not Label.PERSON
        and (match := _IN_BRACKETS.match(body, name.end))
        and is_acronym(match[1], name.text)
    ]


def is_acronym(short: str, full: str) -> bool:
    """Whether `short` is made of the first letters of the words of `full`, small words left out or not."""
    letters = [letter for letter in short.casefold() if letter.isalpha()]
    words = [part for word in full.replace("-", " ").split() for part in [word.casefold()] if part[:1].isalpha()]
    every = [word[0] for word in words]
    large = [word[0] for word in words if word not in _SMALL]
    return len(letters) > 1 and letters in (every, large)


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


# ---------------------------------------------------------------- one name, one label


def _labelled_alike(body: str, names: list[Name]) -> list[Name]:
    """Give every mention of one name one label: what most of its mentions have, the first of them in a tie.

    Before that a lone surname of someone in the article becomes that person: so were about nine in ten of 328 that
    the model called an organisation or a place.
    """
    surnames = _surnames(body, names)
    firms = {
        folded(without_legal_form(name.text))
        for name in names
        if name.label is Label.ORGANISATION and _LEGAL_FORM_AFTER.search(name.text)
    }
    votes: dict[tuple[str, ...], Counter[Label]] = {}
    for name in names:
        label = Label.PERSON if name.text in surnames else Label.ORGANISATION if name.words in firms else name.label
        votes.setdefault(name.words, Counter())[label] += 1
    for match in _TOWN_OF.finditer(body):
        if (words := folded(match[1])) in votes:
            votes[words][Label.PLACE] += len(names)  # "the town of Yining" decides
    # most_common() keeps labels with equal votes in the order of their first vote.
    labels = {words: counted.most_common(1)[0][0] for words, counted in votes.items()}
    return [name._replace(label=labels[name.words]) for name in names]


_TOWN_OF = re.compile(
    r"\b(?:capital|city|county|district|island|municipality|port|province|region|suburb|town|village)\sof\s"
    r"([A-Z][\w’'-]*+(?:\s[A-Z][\w’'-]*+)*+)"
)
_LEGAL_FORM_AFTER = re.compile(
    r",?\s(?:Inc|Incorporated|Corp|Corporation|Co|Company|Ltd|Limited|LLC|LLP|PLC|plc|AG|SE|SA|S\.A|NV|N\.V|GmbH|KG|AB"
    r"|ASA|A/S|Oyj|SpA|S\.p\.A|Pty|Bhd|KK)\.?$"
)


def without_legal_form(text: str) -> str:
    """ "Siemens AG" is Siemens."""
    return _LEGAL_FORM_AFTER.sub("", text) or text


def _surnames(body: str, names: list[Name]) -> set[str]:
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


# ---------------------------------------------------------------- missed where it stands again

_LEAST_LETTERS = 3


def _recurring(body: str, names: list[Name]) -> list[Name]:
    """With the mentions that the model missed of names, and of people by their surname."""
    times = Counter(name.text for name in names)
    wanted = {
        name.text: name.label
        for name in names
        # One word that a model once takes for an organisation is as often none.
        if _telling(name.text)
        and (name.label is not Label.ORGANISATION or len(name.words) > 1 or times[name.text] > 1)
    }
    for name in names:
        last = name.text.split()[-1]
        if name.label is Label.PERSON and len(name.words) > 1 and _telling(last):
            wanted.setdefault(last, Label.PERSON)
    # What also stands there in small letters is a word: "Will", "March".
    small = set(_SMALL_WORD.findall(body))
    wanted = {text: label for text, label in wanted.items() if text.lower() not in small}
    return _with_missed(names, list(_occurrences(body, names, wanted)))


def _telling(text: str) -> bool:
    return len(text) >= _LEAST_LETTERS and text[0].isupper() and "\n" not in text


def _occurrences(body: str, names: list[Name], wanted: Mapping[str, Label]) -> Iterator[Name]:
    """Where one of these texts stands alone: not within a name, nor beside another capitalised word."""
    taken = [(name.start, name.end) for name in names]
    for text in sorted(wanted, key=lambda text: (-len(text), text)):
        end = 0
        while (start := body.find(text, end)) >= 0:
            end = start + len(text)
            at = bisect_left(taken, (start, start))
            if any(first < end and start < last for first, last in taken[max(0, at - 1) : at + 1]):
                continue
            if _NOT_ALONE_AFTER.match(body, end) or _NOT_ALONE_BEFORE.search(
                body, max(0, start - _LOOK_BACK), start
            ):
                continue
            if name := _name(body, start, end, wanted[text]):
                yield name


_SMALL_WORD = re.compile(r"\b[a-z]+\b")
_NOT_ALONE_AFTER = re.compile(r"[\w&-]|['’.]\w{2}|\s[A-Z]")
_NOT_ALONE_BEFORE = re.compile(
    r"[\w&.’'-]$|(?<![.!?]\s)(?<![.!?][\"”’]\s)(?<!^)\b(?!The\s|A\s|An\s|In\s|At\s)[A-Z][\w’'-]*\s$"
)
