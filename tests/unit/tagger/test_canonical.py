"""Which entity a name is, with the tables of known names."""

from __future__ import annotations

import pytest

from schemas.article import Label, TaggedArticle
from services.tagger.canonical import Aliases
from services.tagger.core import Knowledge, tag_articles
from services.tagger.folding import folded
from services.tagger.gazetteer import load_gazetteer
from services.tagger.names import EVERY_REFINEMENT, Span

from .marking import article, finds, marked_spans


def tag(marked: str, aliases: Aliases | None = None, located: str | None = None) -> TaggedArticle:
    body, spans = marked_spans(marked)
    knowledge = Knowledge(load_gazetteer(), EVERY_REFINEMENT, aliases or Aliases({}, {}))
    given = article(body).model_copy(update={"located": located})
    (tagged,) = tag_articles([given], finds(spans), knowledge)
    return tagged


def ids(tagged: TaggedArticle) -> list[str]:
    return [mention.entity_id for mention in tagged.mentions]


PARIS_TEXAS, PARIS = "place:geonames:4717560", "place:geonames:2988507"
GENEVA, BIRMINGHAM_ALABAMA, HEALTHSOUTH = (
    "place:geonames:2660646",
    "place:geonames:4049979",
    "organisation:healthsouth",
)
LONDON_ONTARIO, LONDON = "place:geonames:6058560", "place:geonames:2643743"


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("in [Paris|place] today", [PARIS]),
        ("in [Paris|place], [Texas|place], and [Paris|place] again", [PARIS_TEXAS, "place:US-TX", PARIS_TEXAS]),
        ("the [Texas|place] town of [Paris|place]", ["place:US-TX", PARIS_TEXAS]),
        ("[London|place], [Paris|place] and [Texas|place]", [LONDON, PARIS, "place:US-TX"]),
        ("the Canadian city of [London|place]", [LONDON_ONTARIO]),
        ("[London|place] in [Ontario|place], then [London|place]", [LONDON_ONTARIO, "place:CA-ON", LONDON_ONTARIO]),
        ("in [Georgia|place] and in [Armenia|place]", ["place:GE", "place:AM"]),
        ("the [US|place] in [Georgia|place]", ["place:US", "place:GE"]),
        ("in [Atlanta|place], [Georgia|place]", ["place:geonames:4180439", "place:US-GA"]),
        ("in [Georgia|place] and in [Alabama|place]", ["place:US-GA", "place:US-AL"]),
        ("[Washington|place] and [Moscow|place]", ["place:geonames:4140963", "place:geonames:524901"]),
        ("the [US|place], the [U.S.|place], [America|place], the [United States|place]", ["place:US"] * 4),
        ("[Hyderabad|place] in [Pakistan|place]", ["place:geonames:1176734", "place:PK"]),
        ("[Hyderabad|place]", ["place:geonames:1269843"]),
        ("in [Little Nowhereham|place], [France|place]", ["place:FR:little-nowhereham", "place:FR"]),
        ("in [Little Nowhereham|place]", ["place:little-nowhereham"]),
        # A famous city is meant though a country with a town of its name is mentioned, or a city beside that town.
        ("the [US|place] at talks in [Geneva|place]", ["place:US", GENEVA]),
        (
            "from [Chicago|place] and [New York|place], [US|place], to [Geneva|place]",
            ["place:geonames:4887398", "place:geonames:5128581", "place:US", GENEVA],
        ),
        ("in [Illinois|place]: [Geneva|place] voted", ["place:US-IL", "place:geonames:4893591"]),
        # A little known one elsewhere is not, where the text says in which country it lies.
        ("in [Silao|place], [Mexico|place], today", ["place:MX:silao", "place:MX"]),
        ("in [Moscow|place] and [Ukraine|place]", ["place:geonames:524901", "place:UA"]),
        ("by [Moscow|place] in [Ukraine|place]", ["place:geonames:524901", "place:UA"]),
        (
            "[Birmingham|place], Ala.-based [Healthsouth|organisation]",
            [BIRMINGHAM_ALABAMA, "place:US-AL", HEALTHSOUTH],
        ),
        ("in [Quebec|place] today", ["place:CA-QC"]),
    ],
)
def test_a_place_is_the_one_that_is_meant(marked: str, expected: list[str]) -> None:
    assert ids(tag(marked)) == expected


def test_one_name_may_mean_two_places_of_one_article() -> None:
    tagged = tag("from [Birmingham|place], [Alabama|place], to [Birmingham|place], [England|place]")
    assert len({place.id for place in tagged.places}) == 4
    assert {place.country_iso_code for place in tagged.places if place.name == "Birmingham"} == {"US", "GB"}


def test_a_city_has_a_country_and_a_point_and_a_country_has_none() -> None:
    tagged = tag("in [Pyongyang|place], [North Korea|place]")
    city, country = tagged.places
    assert (city.name, city.country_iso_code) == ("Pyongyang", "KP")
    assert city.location is not None
    assert abs(city.location.lat - 39.03) < 0.1
    assert abs(city.location.lon - 125.75) < 0.1
    assert (country.id, country.country_iso_code, country.location) == ("place:KP", "KP", None)


def test_where_it_was_reported_from_tells_which_place_is_meant() -> None:
    assert ids(tag("in [Tripoli|place]", located="Beirut")) != ids(tag("in [Tripoli|place]"))


@pytest.mark.parametrize(
    ("marked", "names"),
    [
        ("[Siemens AG|organisation] and [Siemens|organisation]", {"Siemens": 2}),
        ("the [UN|organisation], the [U.N.|organisation], [United Nations|organisation]", {"United Nations": 3}),
        (
            "the [Real Estate Council of Ontario|organisation] (RECO) said. [RECO|place] and RECO",
            {"Real Estate Council of Ontario": 4},
        ),
        ("[Foo Bar Group|organisation] and the [FBG|organisation]", {"Foo Bar Group": 2}),
        # The article's own words go before what is known.
        ("the [Andhra Party|organisation] ([AP|organisation])", {"Andhra Party": 2}),
    ],
)
def test_an_organisation_has_one_name(marked: str, names: dict[str, int]) -> None:
    assert {one.name: one.count for one in tag(marked).organisations} == names


def test_an_alias_of_the_user_decides() -> None:
    aliases = Aliases(
        {
            (Label.PERSON, folded("Boss")): "Anna Berg",
            (Label.ORGANISATION, folded("Acme")): "Acme Holdings",
            (Label.PLACE, folded("Big Apple")): "New York City",
        },
        {"person:anna-berg": "Q1"},
    )
    tagged = tag("[the Boss|person] of [Acme|organisation] in the [Big Apple|place]", aliases)
    assert [(one.id, one.name, one.wikidata) for one in tagged.people] == [("person:anna-berg", "Anna Berg", "Q1")]
    assert [one.name for one in tagged.organisations] == ["Acme Holdings"]


def test_a_nationality_is_no_place() -> None:
    assert ids(tag("[American|place] officials and the [French|organisation]")) == []


def test_a_span_with_an_entity_is_that_entity() -> None:
    knowledge = Knowledge(load_gazetteer())
    span = Span(0, 3, Label.ORGANISATION, "Foo Fighters")
    (tagged,) = tag_articles([article("Foo won.")], finds([span]), knowledge)
    assert [one.name for one in tagged.organisations] == ["Foo Fighters"]
