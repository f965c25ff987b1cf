"""What is known of names before an article is read: countries, regions, cities, nationalities, organisations.

The tables are in `data/`: cities from GeoNames (`deploy/gazetteer.py`), the others kept by hand.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from sys import intern

from schemas.article import Location
from services.tagger.folding import folded


class Kind(StrEnum):
    """How large a known place is."""

    COUNTRY = "country"
    REGION = "region"
    CITY = "city"


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """A place under its canonical name.

    `id` is `place:FR` (ISO 3166-1), `place:US-TX` (ISO 3166-2), `place:geonames:2988507` or a name of ours;
    `division` the state that it is, or is in; `weight` says how often one means it: ten times as often is 1 more.
    """

    id: str
    name: str
    kind: Kind
    country: str | None
    division: str
    lat: float | None
    lon: float | None
    weight: float

    @property
    def location(self) -> Location | None:
        """Its point, where it has one."""
        return None if self.lat is None or self.lon is None else Location(lat=self.lat, lon=self.lon)


@dataclass(frozen=True)
class Gazetteer:
    """The tables by folded name. An acronym ("US", "WHO") is known in capitals alone, and an abbreviation ("Mass.",
    "Ill.") with its dot alone: its key has one.
    """

    places: Mapping[str, Sequence[tuple[KnownPlace, float]]]
    """What the name can mean, each with its weight under this name, the weightiest first."""
    organisations: Mapping[str, str]
    nationalities: Mapping[str, str]
    """"french", "dutchman" -> the ISO code of the country."""
    acronyms: frozenset[str]
    """The keys that count in capitals alone."""

    def places_named(self, text: str) -> Sequence[tuple[KnownPlace, float]]:
        """The places that a name can mean, with their weights."""
        key = self._key(text)
        if key and text.endswith(".") and (found := self.places.get(f"{key}.")):
            return found
        return self.places.get(key, ()) if key else ()

    def organisation(self, text: str) -> str | None:
        """The canonical name of a known organisation."""
        key = self._key(text)
        return self.organisations.get(key) if key else None

    def nationality(self, text: str) -> str | None:
        """The country of "French", "Frenchman", "Frenchmen" and "Germans"."""
        if not text[:1].isupper():
            return None
        key = " ".join(folded(text))
        men = key.removesuffix("men") + "man"
        return (
            self.nationalities.get(key)
            or self.nationalities.get(key.removesuffix("s"))
            or (self.nationalities.get(men) if key.endswith("men") else None)
        )

    def _key(self, text: str) -> str | None:
        key = " ".join(folded(text))
        return None if key in self.acronyms and not text.isupper() else key


NO_GAZETTEER = Gazetteer({}, {}, {}, frozenset())

COUNTRY_WEIGHT = 9.6
"""Ten times as often as by its name one means a country rather than the largest city of the same name."""

REGION_WEIGHT = 7.5
"""Between a country and a city of a million."""

OTHER_NAME = 1.5
"""How much less a city weighs under a name that is not its own: Victoria is no part of Hong Kong."""

LONGEST_ACRONYM = 5
"""Letters of a name in capitals that counts in capitals alone: "WHO" is not "who"."""


@cache
def load_gazetteer() -> Gazetteer:
    """Read the tables (0.3 s and 45 MB)."""
    places: dict[str, list[tuple[KnownPlace, float]]] = {}
    nationalities: dict[str, str] = {}
    organisations: dict[str, str] = {}
    acronyms: set[str] = set()
    for place, names, people in (*_countries(), *_regions()):
        for key in _keys(names, acronyms):
            places.setdefault(key, []).append((place, place.weight))
        nationalities.update((" ".join(folded(each)), str(place.country)) for each in people)
    for place, keys in _cities():
        for i, key in enumerate(keys):
            places.setdefault(key, []).append((place, place.weight - (OTHER_NAME if i else 0)))
    for name, others in _lines("organisations.tsv", 2):
        for key in _keys([name, *others.split(";")], acronyms):
            organisations.setdefault(key, name)
    for key, found in places.items():
        if len(found) == 1:
            continue
        # Two names of a place may be one when folded.
        found[:] = sorted(_region_first(key, dict.fromkeys(found)), key=lambda each: -each[1])
    return Gazetteer(places, organisations, nationalities, frozenset(acronyms))


_ABBREVIATION = re.compile(r"[A-Z][a-z]+\.")
"""Without its dot it may be a word: "Mass protests", "I'll"."""


def _region_first(key: str, found: Iterable[tuple[KnownPlace, float]]) -> Iterator[tuple[KnownPlace, float]]:
    """A region is meant by its own name before the city in it that is called so: Quebec."""
    found = list(found)
    for place, weight in found:
        if place.kind is Kind.REGION and " ".join(folded(place.name)) == key:
            cities = [other for city, other in found if city.kind is Kind.CITY and city.country == place.country]
            yield place, max(weight, *(other + 0.1 for other in cities)) if cities else weight
        else:
            yield place, weight


def _keys(names: Iterable[str], acronyms: set[str]) -> Iterator[str]:
    for name in filter(None, names):
        key = " ".join(folded(name))
        if name.isupper() and len(key) <= LONGEST_ACRONYM:
            acronyms.add(key)
        yield f"{key}." if _ABBREVIATION.fullmatch(name) else key


def _countries() -> Iterator[tuple[KnownPlace, list[str], list[str]]]:
    for code, name, others, people in _lines("countries.tsv", 4):
        place = KnownPlace(f"place:{code}", name, Kind.COUNTRY, code, "", None, None, COUNTRY_WEIGHT)
        yield place, [name, *others.split(";")], [each for each in people.split(";") if each]


def _degrees(degrees: str) -> float | None:
    return float(degrees) if degrees else None


def _regions() -> Iterator[tuple[KnownPlace, list[str], list[str]]]:
    for code, name, others, country, lat, lon in _lines("regions.tsv", 6):
        division = code.partition("-")[2] if code[:2].isupper() else ""
        place = KnownPlace(
            f"place:{code}",
            name,
            Kind.REGION,
            country or None,
            division,
            _degrees(lat),
            _degrees(lon),
            REGION_WEIGHT,
        )
        yield place, [name, *others.split(";")], []


def _lines(name: str, fields: int) -> Iterator[list[str]]:
    for line in (files("services.tagger") / "data" / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            parts = line.split("\t")
            yield parts + [""] * (fields - len(parts))


def _cities() -> Iterator[tuple[KnownPlace, list[str]]]:
    with (files("services.tagger") / "data" / "cities.tsv.gz").open("rb") as file, gzip.open(file, "rt") as lines:
        for line in lines:
            number, name, country, division, lat, lon, inhabitants, languages, capital, keys = line.rstrip(
                "\n"
            ).split("\t")
            weight = (
                math.log10(int(inhabitants) + 1000) + math.log10(1 + int(languages)) + (1.0 if capital else 0.0)
            )
            place = KnownPlace(
                f"place:geonames:{number}",
                name,
                Kind.CITY,
                intern(country),
                intern(division),
                float(lat),
                float(lon),
                weight,
            )
            yield place, keys.split(";")
