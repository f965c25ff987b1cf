from __future__ import annotations

import pytest

from services.cleaner.language import LONGEST_SAMPLE, tell_language

ENGLISH = "The ministers met for three hours on Tuesday and agreed on a plan. "
GERMAN = "Die Minister haben am Dienstag drei Stunden lang beraten und sich auf einen Plan geeinigt. "


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Les ministres se sont réunis mardi pendant trois heures et ont adopté un plan.", "fr"),
        ("Министры совещались во вторник три часа и согласовали план.", "ru"),
        ("部长们星期二开会三个小时，就一项计划达成一致。", "zh"),
        (ENGLISH.upper(), "en"),
    ],
)
def test_tells_the_language_of_a_sentence(text: str, language: str) -> None:
    told, confidence = tell_language(text, None)

    assert told == language
    assert 0.5 <= confidence <= 1


def test_the_text_goes_before_what_the_publisher_states() -> None:
    assert tell_language(GERMAN, "en")[0] == "de"


@pytest.mark.parametrize("text", ["", "—", "Oui.", "12 : 3", "===== ----- ===== +++++"])
def test_the_statement_holds_where_the_text_does_not_tell(text: str) -> None:
    language, confidence = tell_language(text, "FR-ca")

    assert language == "fr"
    assert 0 <= confidence < 0.5


@pytest.mark.parametrize("text", ["", "—", "Oui.", "12 : 3", "===== ----- ===== +++++"])
def test_is_undetermined_where_nothing_tells(text: str) -> None:
    assert tell_language(text, None) == ("und", 0.0)


def test_reads_no_more_than_its_sample() -> None:
    sample = (ENGLISH * 100)[:LONGEST_SAMPLE]

    assert tell_language(sample + GERMAN * 1000, None) == tell_language(sample, None)
