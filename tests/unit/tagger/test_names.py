"""Each refinement on its own: what it does to the names of one article."""

from __future__ import annotations

import pytest

from schemas.article import Label
from services.tagger.gazetteer import load_gazetteer
from services.tagger.names import Refinement, find_names

from .marking import marked_spans

SHORT = {Label.PERSON: "person", Label.ORGANISATION: "organisation", Label.PLACE: "place"}


def found(marked: str, *refinements: Refinement) -> list[str]:
    body, spans = marked_spans(marked)
    names = find_names(body, spans, load_gazetteer(), frozenset(refinements))
    assert all(body[name.start : name.end] == name.text for name in names)
    return [f"{name.text}|{name.label}" for name in names]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("[Anna Berg\nPeter Falk|person] left", ["Anna Berg|person", "Peter Falk|person"]),
        ("in [New\nYork|place] now", ["New\nYork|place"]),
        ("[LONDON - Reuters|organisation]", ["LONDON|organisation", "Reuters|organisation"]),
        ("[Ohio 44122 USA|place]", ["Ohio|place", "USA|place"]),
        ("[Anna Berg, Peter Falk|person] left", ["Anna Berg|person", "Peter Falk|person"]),
        ("[Martin King, Jr.|person] left", ["Martin King, Jr.|person"]),
        ("[Marvel Consultants, Inc.|organisation] left", ["Marvel Consultants, Inc.|organisation"]),
        (
            "[UN Environment. Investments|organisation] in",
            ["UN Environment|organisation", "Investments|organisation"],
        ),
        ("[Houston Texas|place]", ["Houston|place", "Texas|place"]),
        ("[Papworth and|organisation] the", ["Papworth|organisation"]),
        ("[Monday Anna Berg 1996|person]", ["Anna Berg|person"]),
        ("[Group of 20|organisation]", ["Group of 20|organisation"]),
        ("[RT @Berg|person]", ["Berg|person"]),
        ("[https://example.org/a|person]", []),
        ("[hahaha|person]", []),
        ("[chicago|place]", ["chicago|place"]),
        ("[GDP|organisation]", []),
    ],
)
def test_boundaries(marked: str, expected: list[str]) -> None:
    assert found(marked, Refinement.BOUNDARIES) == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("to [Mauritius|organisation]", ["Mauritius|place"]),
        ("from [Raleigh|organisation]", ["Raleigh|place"]),
        ("by [Raleigh|organisation]", ["Raleigh|organisation"]),
        ("the [White House|place] said", ["White House|organisation"]),
        ("said [TASS|person]", ["TASS|organisation"]),
        ("the [Dutch|organisation]", []),
        ("It is in Iceland.", ["Iceland|place"]),
        ("Democrats won.", ["Democrats|organisation"]),
        ("[Badlands National Park|organisation]", ["Badlands National Park|place"]),
        ("[New York City Health Corporation|place]", ["New York City Health Corporation|organisation"]),
        ("[Holland & Hart|person], LLP;", ["Holland & Hart, LLP|organisation"]),
        ("[Jordan Lee|person] and [Jordan|place]", ["Jordan Lee|person", "Jordan|place"]),
        ("[Jordan Lee|person] and Jordan left", ["Jordan Lee|person"]),
    ],
)
def test_gazetteer(marked: str, expected: list[str]) -> None:
    assert found(marked, Refinement.GAZETTEER) == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("Ms [Weiss|organisation] left", ["Weiss|person"]),
        ("“No,” [Zimmer|organisation] says.", ["Zimmer|person"]),
        ("“No,” Leive said.", ["Leive|person"]),
        ("“No,” he said. “No,” He said.", []),
        ("[Reuters|organisation] said", ["Reuters|organisation"]),
        ("[Moscow|place] said", ["Moscow|place"]),
        ("the space agency [Roscosmos|organisation] said", ["Roscosmos|organisation"]),
        ("the space agency [Roscosmos|person] said", ["Roscosmos|organisation"]),
    ],
)
def test_context(marked: str, expected: list[str]) -> None:
    assert found(marked, Refinement.CONTEXT) == expected


def test_acronyms() -> None:
    marked = "[Avalanche Rescue Teams|organisation] (ART) came. [ART|place] left. The ART"
    assert found(marked, Refinement.ACRONYMS) == ["Avalanche Rescue Teams|organisation"] + ["ART|organisation"] * 3
    assert found("[Kim Jong Un|place] (ART)", Refinement.ACRONYMS) == ["Kim Jong Un|place"]


def test_labels() -> None:
    marked = "[Bose|organisation] and [Bose|person] and [Bose|organisation]"
    assert found(marked, Refinement.LABELS) == ["Bose|organisation"] * 3


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("[Anna Berg|person] left. Then Berg came.", ["Anna Berg|person", "Berg|person"]),
        ("[Will Will|person] left. Will will come", ["Will Will|person"]),
        ("in [Nowhereham|place]. Nowhereham is", ["Nowhereham|place"] * 2),
        ("in [Nowhereham|place], near New Nowhereham", ["Nowhereham|place"]),
        ("in [Nowhereham|place]. Nowherehams", ["Nowhereham|place"]),
        ("by [Nexus|organisation]. The Nexus is", ["Nexus|organisation"]),
    ],
)
def test_recurrence(marked: str, expected: list[str]) -> None:
    assert found(marked, Refinement.RECURRENCE) == expected


def test_without_refinements_spans_are_names_as_they_are() -> None:
    assert found("[the UN's|organisation] and [GDP|organisation]") == ["the UN's|organisation", "GDP|organisation"]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        # An abbreviation is a state with its dot alone.
        ("Mass protests began. I'll see. Ill patients waited. Wash your hands.", []),
        ("She moved to Cambridge, Mass., in May.", ["Mass.|place"]),
        # Who works there speaks.
        ("The chief economist at [Komercni Banka|organisation] said so.", ["Komercni Banka|organisation"]),
        ("[Orton|organisation] said so.", ["Orton|person"]),
        # What is called a town is one, wherever it stands.
        (
            "[Yining|person] was calm. In the town of [Yining|person] all was quiet. [Yining|organisation] slept.",
            ["Yining|place", "Yining|place", "Yining|place"],
        ),
        ("[Miss World|person] was crowned.", ["Miss World|person"]),
        ("[Miss Marple|person] was there.", ["Marple|person"]),
    ],
)
def test_what_news_articles_showed(marked: str, expected: list[str]) -> None:
    assert [each for each in found(marked, *Refinement) if each != "Cambridge|place"] == expected
