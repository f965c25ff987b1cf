"""Which entity each name of an article is: people joined, organisations folded, places on the map.

An id is the same in every article: `person:kim-jong-un`, `organisation:united-nations`, `place:FR` (ISO 3166-1),
`place:US-TX` (ISO 3166-2), `place:geonames:2988507`; for a place that no table knows, `place:` and its name.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.article import Label, Location
from services.tagger.folding import folded
from services.tagger.gazetteer import Gazetteer, Kind, KnownPlace
from services.tagger.names import Name, bracketed_acronyms, is_acronym, without_legal_form


class Canonical(NamedTuple):
    """An entity: its id, the name that it is shown under, and for a known place where it is."""

    id: str
    name: str
    country: str | None = None
    location: Location | None = None


@dataclass(frozen=True)
class Aliases:
    """What a user says that names mean: label and folded name -> canonical name; and entity id -> Wikidata's."""

    names: Mapping[tuple[Label, tuple[str, ...]], str]
    wikidata: Mapping[str, str]


NO_ALIASES = Aliases({}, {})


def canonical_entities(
    body: str, names: Sequence[Name], gazetteer: Gazetteer, aliases: Aliases, hints: Iterable[str] = ()
) -> list[Canonical]:
    """The entity of each name, in their order. `hints` are names of places that the article is said to be from."""
    people = _people([name for name in names if name.label is Label.PERSON])
    organisations = _organisations(body, [name for name in names if name.label is Label.ORGANISATION], gazetteer)
    places = _Places(body, [name for name in names if name.label is Label.PLACE], gazetteer, hints)
    found = []
    for name in names:
        alias = name.entity or aliases.names.get((name.label, name.words))
        if name.label is Label.PLACE:
            found.append(places.named(alias) if alias else places.of(name))
        elif alias:
            found.append(Canonical(entity_id(name.label, alias), alias))
        elif name.label is Label.PERSON:
            full = people[name.words]
            meant = aliases.names.get((name.label, folded(full)), full)
            found.append(Canonical(entity_id(name.label, meant), meant))
        else:
            full = organisations[name.words, name.text.isupper()]
            meant = aliases.names.get((name.label, folded(full)), full)
            found.append(Canonical(entity_id(name.label, meant), meant))
    return found


def entity_id(label: Label, name: str) -> str:
    """The same in every article that calls the entity by this name."""
    words = folded(name)
    return f"{label}:{'-'.join(words[1:] if words[0] == 'the' and len(words) > 1 else words)}"


# ---------------------------------------------------------------- people


def _people(names: Sequence[Name]) -> dict[tuple[str, ...], str]:
    """The canonical name of every folded name: the fullest form in the article, the first of equals.

    A shorter form is joined to the only longer one that it can stand for; where there are two, as with Kim between
    Kim Jong Un and Kim Yo Jong, the shorter form is a person of its own.
    """
    written: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        written.setdefault(name.words, []).append(name.text)
    canonical: dict[tuple[str, ...], str] = {}
    first = {words: i for i, words in enumerate(written)}
    people: list[tuple[str, ...]] = []
    for words, texts in sorted(written.items(), key=lambda item: -len(item[0])):
        full = _full_names(words, people, first)
        if len(full) == 1:
            canonical[words] = canonical[full[0]]
            continue
        people.append(words)
        # "KIM JONG UN" is how a headline writes it.
        text = next((text for text in texts if not (text.isupper() or text.islower())), texts[0])
        canonical[words] = " ".join(text.split())
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


# ---------------------------------------------------------------- organisations


def _organisations(
    body: str, names: Sequence[Name], gazetteer: Gazetteer
) -> dict[tuple[tuple[str, ...], bool], str]:
    """The canonical name of every folded name, apart for those in capitals: "WHO" is no "Who".

    In this order: what the article itself says by brackets, what the gazetteer knows, and an acronym of the only
    organisation in the article whose initials it has.
    """
    full_of = {short: without_legal_form(full) for full, short in bracketed_acronyms(body, names)}
    long_names = {without_legal_form(name.text) for name in names if len(name.words) > 1}
    first: dict[tuple[str, ...], str] = {}
    canonical: dict[tuple[tuple[str, ...], bool], str] = {}
    for name in names:
        key = name.words, name.text.isupper()
        if key in canonical:
            continue
        text = without_legal_form(name.text)
        known = gazetteer.organisation(full_of.get(text, text)) or gazetteer.organisation(text)
        if text in full_of:
            canonical[key] = gazetteer.organisation(full_of[text]) or full_of[text]
        elif known:
            canonical[key] = known
        else:
            spelled = [full for full in long_names if text.isupper() and is_acronym(text, full)]
            full = spelled[0] if len(spelled) == 1 else text
            canonical[key] = first.setdefault(folded(full), " ".join(full.split()))
    return canonical


# ---------------------------------------------------------------- places

_MENTIONED = 1.6
"""What a country weighs more that the article mentions, as do its cities: forty times, but not Georgia in the US
by that alone."""
_MOST_MENTIONED = 0.4
_MENTIONED_OF_MANY = 0.9
"""The same for a country of `DIVISIONS`: a small town there is told with its state, so that Geneva in an article
about the United States is still the one in Switzerland."""
_OTHER_DIVISION = 1.0
"""What a state weighs more where another of its country is mentioned: Georgia beside Alabama."""
_SAME_DIVISION = 1.5
"""What a city weighs more whose state is mentioned, and a state one of whose cities is."""
_SAME_DIVISION_BY_CITY = 0.3
"""What a city weighs more where another one of its state is mentioned: New York makes no Geneva of that state."""
_CLEAR = 2.2
"""By how much a place must outweigh its namesakes to tell something about the other places."""
_FARTHEST_KM = 900
"""From a region's middle to a city of it. The widest regions of a country are about this wide."""

_LITTLE_KNOWN = 6.0
"""Weight below which a place is not meant where the text says that it is in a country without one of its name."""

DIVISIONS = frozenset({"AU", "CA", "DE", "GB", "US"})
"""Countries of whose cities the table has the division by its ISO code."""

_IN = re.compile(
    r"(?:,\s(?:in\s)?(?:the\s)?|\sin\s(?:the\s)?|\s\()(?:[a-z]+(?:ern|al)\s)?(?:state of\s|province of\s)?"
)
_STATE = (" state", " State")
_LIST = re.compile(r",?\s(?:and|or)\s(?:the\s)?[A-Z]|,\s[A-Z][\w.’'-]*(?:\s[A-Z][\w-]*)*,?\s(?:and|or)\s")
"""What stands behind the second of three places that are told one after the other."""
_CITY_OF = re.compile(
    r"(?P<around>[A-Z][\w.’'-]*(?:\s[A-Z][\w.-]*){0,2}?)(?:['’]s)?\s(?:[a-z-]+\s){0,2}"
    r"(?:city|town|capital|port|village|resort|suburb|state|province)(?:\s(?:city|town))?,?(?:\sof)?\s$"
)
_LOOK_BACK = 70
"""Characters before a place in which "the Ontario city of" is looked for."""
_CAPITALISED = re.compile(r"\b[A-Z][a-z]+(?:\s[A-Z][a-z]+)?")


class _Places:
    """The places of one article. A name has one meaning there, unless the text says another with it."""

    def __init__(self, body: str, names: Sequence[Name], gazetteer: Gazetteer, hints: Iterable[str]) -> None:
        self.gazetteer = gazetteer
        self.qualified: list[tuple[int, tuple[str, ...], Canonical]] = []
        self.plain: dict[tuple[str, ...], Canonical] = {}
        self.cities: set[tuple[str, ...]] = set()
        """Names that clearly mean a city."""
        # "BRUSSELS" is how a dateline writes it: another form is shown where there is one.
        texts = {
            name.words: name.text for name in sorted(names, key=lambda name: (not name.text.isupper(), -name.start))
        }
        choices = {words: gazetteer.places_named(text) for words, text in texts.items()}
        around = {name: place for i, name in enumerate(names) if (place := self._around(body, names, i))}
        countries, divisions = self._context(body, choices, around, hints)
        for name in names:
            state = gazetteer.places_named(f"{name.text} State") if body.startswith(_STATE, name.end) else ()
            if state:
                self.qualified.append((name.start, name.words, _canonical(state[0][0])))
        for name, place in around.items():
            inside = _inside(choices[name.words], place)
            if inside:
                self.qualified.append((name.start, name.words, _canonical(inside)))
            elif not choices[name.words] or choices[name.words][0][1] < _LITTLE_KNOWN:
                # A place of no table is where the article says it is.
                self.qualified.append((name.start, name.words, self._unknown(texts[name.words], place.country)))
        for words, text in texts.items():
            weighed = [
                (weight + self._context_weight(place, words, countries, divisions), -i, place)
                for i, (place, weight) in enumerate(choices[words])
            ]
            best = max(weighed, default=None, key=lambda each: each[:2])
            self.plain[words] = _canonical(best[2]) if best else self._unknown(text, None)

    def of(self, name: Name) -> Canonical:
        """The place of a mention: as said there, else as said last before, else as said later, else as weighed."""
        said = [(start, found) for start, words, found in self.qualified if words == name.words]
        before = [found for start, found in said if start <= name.start]
        return before[-1] if before else said[0][1] if said else self.plain[name.words]

    def named(self, text: str) -> Canonical:
        """The place that a user's file gives for a name."""
        known = self.gazetteer.places_named(text)
        return _canonical(known[0][0]) if known else self._unknown(text, None)

    def _unknown(self, text: str, country: str | None) -> Canonical:
        words = "-".join(folded(text))
        shown = " ".join(text.split())
        return Canonical(f"place:{country}:{words}" if country else f"place:{words}", shown, country)

    def _around(self, body: str, names: Sequence[Name], i: int) -> KnownPlace | None:
        """The country or region in which a text says that a place is: "Paris, Texas", "the Texas town of Paris"."""
        name = names[i]
        if (
            i + 1 < len(names)
            and _IN.fullmatch(body, name.end, names[i + 1].start)
            and not self._in_list(body, names, i)
        ):
            following = self._wide(names[i + 1].text, beside=name.words)
            if following:
                return following
        before = _CITY_OF.search(body, max(0, name.start - _LOOK_BACK), name.start)
        if not before:
            return None
        words = before["around"].split()
        for at in range(len(words)):
            text = " ".join(words[at:])
            if code := self.gazetteer.nationality(text):
                return next((p for p, _ in self._countries() if p.country == code), None)
            if found := self._wide(text, beside=name.words):
                return found
        return None

    def _countries(self) -> Iterable[tuple[KnownPlace, float]]:
        for found in self.gazetteer.places.values():
            yield from (each for each in found if each[0].kind is Kind.COUNTRY)

    def _wide(self, text: str, beside: tuple[str, ...]) -> KnownPlace | None:
        """The country or region of a name: of several the one that has a place beside it by its name."""
        wide = [place for place, _ in self.gazetteer.places_named(text) if place.kind is not Kind.CITY]
        choices = self.gazetteer.places.get(" ".join(beside), ())
        holding = [place for place in wide if place.country and _inside(choices, place)]
        return next(iter(holding or [place for place in wide if place.country]), None)

    def _context(
        self,
        body: str,
        choices: Mapping[tuple[str, ...], Sequence[tuple[KnownPlace, float]]],
        around: Mapping[Name, KnownPlace],
        hints: Iterable[str],
    ) -> tuple[Counter[str], dict[tuple[str, str], set[tuple[str, ...]]]]:
        """Countries by how many names tell of them, and divisions with the names that tell of them."""
        countries = Counter(self._nationalities(body))
        divisions: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        told = [*choices.items(), *((folded(hint), self.gazetteer.places_named(hint)) for hint in hints)]
        for words, found in told:
            if not found or (len(found) > 1 and found[0][1] - found[1][1] < _CLEAR):
                continue
            place = found[0][0]
            if place.country:
                countries[place.country] += 1
                if place.kind is Kind.CITY:
                    self.cities.add(words)
                if place.division:
                    divisions.setdefault((place.country, place.division), set()).add(words)
        for name, place in around.items():
            if place.country:
                countries[place.country] += 1
                if place.division:
                    divisions.setdefault((place.country, place.division), set()).add((*name.words, ""))
        return countries, divisions

    def _in_list(self, body: str, names: Sequence[Name], i: int) -> bool:
        """Whether a place stands in a list of places, so that the one after it is not where it is."""
        if i and body[names[i - 1].end : names[i].start] == ", ":
            return True
        return not self.gazetteer.places_named(names[i].text) and bool(_LIST.match(body, names[i + 1].end))

    def _nationalities(self, body: str) -> Iterator[str]:
        for match in _CAPITALISED.finditer(body):
            codes = (self.gazetteer.nationality(text) for text in (match[0], *match[0].split()))
            if code := next(filter(None, codes), None):
                yield code

    def _context_weight(
        self,
        place: KnownPlace,
        words: tuple[str, ...],
        countries: Mapping[str, int],
        divisions: Mapping[tuple[str, str], set[tuple[str, ...]]],
    ) -> float:
        """How much more a place weighs for what the article mentions beside it."""
        if place.country is None or place.country not in countries:
            return 0
        told = _MENTIONED_OF_MANY if place.country in DIVISIONS and place.kind is Kind.CITY else _MENTIONED
        told += _MOST_MENTIONED if countries[place.country] == max(countries.values()) else 0
        if not place.division:
            return told
        if others_there := divisions.get((place.country, place.division), set()) - {words}:
            by_city = place.kind is Kind.CITY and others_there <= self.cities
            return told + (_SAME_DIVISION_BY_CITY if by_city else _SAME_DIVISION)
        others = any(country == place.country for country, _ in divisions)
        by_its_name = place.kind is Kind.REGION and folded(place.name) == words
        return told + (_OTHER_DIVISION if by_its_name and others else 0)


def _inside(choices: Sequence[tuple[KnownPlace, float]], around: KnownPlace) -> KnownPlace | None:
    """The weightiest of the choices that is in a country or region."""
    inside = [
        place
        for place, _ in choices
        if place.id != around.id and place.country == around.country and place.kind is not Kind.COUNTRY
    ]
    if around.kind is Kind.REGION:
        if around.country in DIVISIONS:
            inside = [place for place in inside if place.division == around.division]
        elif around.lat is not None:
            near = [(distance_km(place, around), place) for place in inside if place.lat is not None]
            inside = [place for far, place in sorted(near, key=lambda each: each[0]) if far <= _FARTHEST_KM]
        inside = [place for place in inside if place.kind is Kind.CITY]
    return inside[0] if inside else None


def distance_km(one: KnownPlace, other: KnownPlace) -> float:
    """Along a great circle on a sphere of 6,371 km."""
    if one.lat is None or one.lon is None or other.lat is None or other.lon is None:
        return math.inf
    a, b = math.radians(one.lat), math.radians(other.lat)
    across = math.sin((b - a) / 2) ** 2
    along = math.cos(a) * math.cos(b) * math.sin(math.radians(other.lon - one.lon) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(across + along))


def _canonical(place: KnownPlace) -> Canonical:
    return Canonical(place.id, place.name, place.country, place.location)
