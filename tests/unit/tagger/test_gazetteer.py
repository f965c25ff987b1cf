"""The tables of known names, and the tool that makes the largest of them."""

from __future__ import annotations

import gzip
import math

import pycountry
import pytest

from deploy.gazetteer import CITIES, rows
from services.tagger.gazetteer import Gazetteer, Kind, load_gazetteer


@pytest.fixture(scope="module")
def gazetteer() -> Gazetteer:
    return load_gazetteer()


def test_the_table_of_cities_is_what_its_tool_makes() -> None:
    assert gzip.decompress(CITIES.read_bytes()).decode().splitlines() == rows()


def test_every_country_of_iso_3166_is_there_by_its_names(gazetteer: Gazetteer) -> None:
    for country in pycountry.countries:
        for name in {country.name, getattr(country, "common_name", country.name)}:
            found = [place.country for place, _ in gazetteer.places_named(name) if place.kind is Kind.COUNTRY]
            assert country.alpha_2 in found, name


def test_every_region_with_an_iso_code_is_one_of_its_country(gazetteer: Gazetteer) -> None:
    regions = {place for found in gazetteer.places.values() for place, _ in found if place.kind is Kind.REGION}
    assert len(regions) > 300
    for place in regions:
        if place.division and place.country:
            assert place.id.startswith(f"place:{place.country}-")
            assert place.lat is not None


def test_points_of_regions_lie_near_the_cities_of_their_country(gazetteer: Gazetteer) -> None:
    cities: dict[str, list[tuple[float, float]]] = {}
    regions = {}
    for found in gazetteer.places.values():
        for place, _ in found:
            if place.lat is None or place.lon is None or place.country is None:
                continue
            if place.kind is Kind.CITY:
                cities.setdefault(place.country, []).append((place.lat, place.lon))
            else:
                regions[place.name, place.country] = (place.lat, place.lon)
    for (name, country), (lat, lon) in regions.items():
        # Gaza and the West Bank have cities of their own, the others lie within their country: 9 degrees, 1,000 km.
        nearest = min(math.hypot(lat - a, (lon - b) * math.cos(math.radians(lat))) for a, b in cities[country])
        assert nearest < 9, name


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("US", "place:US"),
        ("U.S.", "place:US"),
        ("Great Britain", "place:GB"),
        ("Côte d’Ivoire", "place:CI"),
        ("Burma", "place:MM"),
        ("Texas", "place:US-TX"),
        ("Kiev", "place:geonames:703448"),
        ("Kyiv", "place:geonames:703448"),
        ("Bombay", "place:geonames:1275339"),
        ("Paris", "place:geonames:2988507"),
        ("London", "place:geonames:2643743"),
        ("Donetsk", "place:geonames:709717"),
    ],
)
def test_a_name_means_first_what_is_meant_most(name: str, id_: str, gazetteer: Gazetteer) -> None:
    assert gazetteer.places_named(name)[0][0].id == id_


@pytest.mark.parametrize("name", ["us", "who", "is", "Who", "Rote Stadt"])
def test_no_word_is_a_place(name: str, gazetteer: Gazetteer) -> None:
    assert not gazetteer.places_named(name)


def test_a_translation_is_no_other_name(gazetteer: Gazetteer) -> None:
    assert "Casablanca" not in {place.name for place, _ in gazetteer.places_named("White House")}


def test_organisations_are_known_by_acronym_in_capitals_alone(gazetteer: Gazetteer) -> None:
    assert gazetteer.organisation("WHO") == "World Health Organization"
    assert gazetteer.organisation("U.N.") == gazetteer.organisation("UN") == "United Nations"
    assert gazetteer.organisation("Who") is None


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("French", "FR"),
        ("Frenchmen", "FR"),
        ("Germans", "DE"),
        ("South Korean", "KR"),
        ("american", None),
        ("Paris", None),
    ],
)
def test_nationalities(text: str, country: str | None, gazetteer: Gazetteer) -> None:
    assert gazetteer.nationality(text) == country
