"""The tagger's core, with a model that finds what the tests say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.article import Entities, Label
from services.tagger.core import VERSION, tag_articles
from services.tagger.names import Span

from .marking import NOTHING_KNOWN, Fake, article, finds, names, tag, tag_marked


@pytest.mark.parametrize(
    ("marked", "mention"),
    [
        ("It left [the United States|place].", "United States"),
        ("[The United Nations|organisation] said so.", "United Nations"),
        ("[The Hague|place] is a city.", "The Hague"),
        ("[Kim's|person] train", "Kim"),
        ("[Kim’s|person] train", "Kim"),
        ("the [United States’|place] answer", "United States"),
        ("called [“Kim”|person] there", "Kim"),
        ("[ Kim, |person]then", "Kim"),
        ("[--London|place]", "London"),
        ("[Mr Kim|person] and", "Kim"),
        ("[President Joe Biden|person] and", "Joe Biden"),
        ("[Pope Francis|person] and", "Pope Francis"),
        ("[Mr Bean|organisation], a film", "Mr Bean"),
        ("in [the U.S.|place] now", "U.S."),
        ("at [Intel Corp.|organisation] now", "Intel Corp."),
        ("and [Tatra a.s..|organisation]", "Tatra a.s."),
        ("the [U.S.-made|place] car", "U.S."),
        ("[Kim Jong-un|person] left", "Kim Jong-un"),
        ("a [non-U.S.|place] bank", "U.S."),
        ("by [al-Qaeda|organisation]", "al-Qaeda"),
        ("the bank ([ING)|organisation]", "ING"),
        ("the [Treasury (UK)|organisation]", "Treasury (UK)"),
        ("the [Treasury (|organisation]UK)", "Treasury"),
        ("by [Payments of India (NPCI|organisation]) in", "Payments of India"),
        ("the [Treasury (UK) (HM|organisation])", "Treasury (UK)"),
        ("the [Treasury (of (the) UK|organisation]", "Treasury"),
        ("the [City (of|place] London)", "City"),
        ("wait: [Austria &|place] the", "Austria"),
        ("Austria [& Hungary|place] objected", "Hungary"),
        ("at [S&P Global|organisation] now", "S&P Global"),
        ("[Chrysler\n\nCorp.|organisation] earned", "Chrysler"),
        ("[\n\nChrysler|organisation] earned", "Chrysler"),
        ("[3M|organisation] earned", "3M"),
        ("[मोदी|person] said", "मोदी"),
    ],
)
def test_boundaries_are_repaired(marked: str, mention: str) -> None:
    tagged = tag_marked(marked)
    assert [one.text for one in tagged.mentions] == [mention]
    assert [tagged.body[one.start : one.end] for one in tagged.mentions] == [mention]


@pytest.mark.parametrize("text", ["", " ", "2026", "4,036.83", "“”", "the ", "\n\n", "A" * 201])
def test_what_holds_no_name_is_dropped(text: str) -> None:
    tagged = tag_marked(f"x [{text}|organisation] y")
    assert tagged.mentions == ()
    assert names(tagged) == {}


@pytest.mark.parametrize("span", [Span(-1, 3, Label.PLACE), Span(3, 2, Label.PLACE), Span(0, 99, Label.PLACE)])
def test_a_span_outside_the_body_is_dropped(span: Span) -> None:
    assert tag("Paris", [span]).mentions == ()


def test_of_overlapping_spans_the_first_and_longest_is_kept() -> None:
    spans = [Span(9, 18, Label.PLACE), Span(0, 3, Label.PERSON), Span(0, 11, Label.PERSON)]
    assert [one.text for one in tag("Kim Jong Un Pyongyang", spans).mentions] == ["Kim Jong Un"]


def test_one_name_has_the_label_of_most_of_its_mentions() -> None:
    tagged = tag_marked("[Granada|organisation] [GRANADA|place] [Granada|organisation] [the Granada|person]")
    assert names(tagged) == {"organisations": [("Granada", 4)]}
    assert {one.label for one in tagged.mentions} == {Label.ORGANISATION}


def test_a_tie_of_labels_goes_to_the_first() -> None:
    assert names(tag_marked("[Orange|place] and [Orange|organisation]")) == {"places": [("Orange", 2)]}
    assert names(tag_marked("[Orange|organisation] and [Orange|place]")) == {"organisations": [("Orange", 2)]}


@pytest.mark.parametrize(
    ("marked", "found"),
    [
        ("the mercenary group [Wagner|person].", {"organisations": [("Wagner", 1)]}),
        ("by Czech banks [Komercni|person].", {"organisations": [("Komercni", 1)]}),
        ("[The Chosun Ilbo|person] newspaper", {"organisations": [("Chosun Ilbo", 1)]}),
        ("the company [Musk|person] founded", {"people": [("Musk", 1)]}),
        ("a [Murdoch|person] newspapers deal", {"people": [("Murdoch", 1)]}),
        ("the environment agency [Ibama|person] said", {"organisations": [("Ibama", 1)]}),
        ("the news agency [Yonhap|person] said", {"organisations": [("Yonhap", 1)]}),
        ("The agency [Musk|person] runs", {"people": [("Musk", 1)]}),
        # In capitals it is part of a name, and who follows is often its head.
        ("the Security Agency [William Crowell|person]", {"people": [("William Crowell", 1)]}),
        ("[Yonhap|person], the South Korean news agency, said", {"organisations": [("Yonhap", 1)]}),
        ("by [Le Monde|person], a French newspaper.", {"organisations": [("Le Monde", 1)]}),
        ("[Kommersant|person], a Russian business daily; he", {"organisations": [("Kommersant", 1)]}),
        ("[Musk|person], the US space agency's head, said", {"people": [("Musk", 1)]}),
        ("[Musk|person], the US agency said, had", {"people": [("Musk", 1)]}),
        ("told [Musk|person], the agency, that", {"people": [("Musk", 1)]}),
        ("[Musk|person], the head of a US space agency, said", {"people": [("Musk", 1)]}),
        ("[Musk|person], a US lawyer for the newspaper, said", {"people": [("Musk", 1)]}),
        # Two mentions against one: what a noun says is no more than a vote.
        ("car company [Musk|person] runs; [Musk|person], [Musk|person]", {"people": [("Musk", 3)]}),
    ],
)
def test_a_noun_beside_it_tells_an_organisation(marked: str, found: object) -> None:
    assert names(tag_marked(marked)) == found


@pytest.mark.parametrize(
    ("marked", "found"),
    [
        (
            "[Sergei Shoigu|person] left. After [Shoigu|organisation]’s visit, [Shoigu|place] and [Shoigu|place]",
            {"people": [("Sergei Shoigu", 4)]},
        ),
        (
            "[Kim Jong Un|person] at the [UN|organisation]",
            {"people": [("Kim Jong Un", 1)], "organisations": [("UN", 1)]},
        ),
        (
            "[Bill Ford|person] of [Ford Motor Co.|organisation] said [Ford|organisation] would",
            {"people": [("Bill Ford", 1)], "organisations": [("Ford Motor", 1), ("Ford", 1)]},
        ),
        (
            "[Jack London|person] lived in [London|place]. [London|place] was",
            {"people": [("Jack London", 1)], "places": [("London", 2)]},
        ),
    ],
)
def test_a_lone_surname_is_the_person_who_has_it(marked: str, found: object) -> None:
    assert names(tag_marked(marked)) == found


def test_shorter_forms_are_joined_to_the_only_full_name() -> None:
    tagged = tag_marked(
        "[Kim|person] met [Mr Kim|person]. [Kim’s|person] full name is [Kim Jong Un|person], "
        "or [Kim Jong-un|person], or [Jong Un|person]. [Vladimir Putin|person], [Putin|person]."
    )
    assert names(tagged) == {"people": [("Kim Jong Un", 6), ("Vladimir Putin", 2)]}
    assert [one.entity_id for one in tagged.mentions] == ["person:kim-jong-un"] * 6 + ["person:vladimir-putin"] * 2


def test_a_form_of_two_full_names_is_an_entity_of_its_own() -> None:
    tagged = tag_marked("[Kim Jong Un|person] and [Kim Yo Jong|person]: [Kim|person] said, [Jong Un|person]")
    assert names(tagged) == {"people": [("Kim Jong Un", 2), ("Kim Yo Jong", 1), ("Kim", 1)]}
    assert tagged.people[2].id == "person:kim"


def test_middle_names_do_not_make_two_people_of_one() -> None:
    tagged = tag_marked("[George Bush|person], [George W. Bush|person], [Bush|person], [Laura|person]")
    assert names(tagged) == {"people": [("George W. Bush", 3), ("Laura", 1)]}


def test_a_word_amid_the_only_full_name_is_joined_to_it() -> None:
    tagged = tag_marked("[Luiz Inácio Lula da Silva|person]; [Lula|person], [Inacio|person], [Da|person]")
    assert names(tagged) == {"people": [("Luiz Inácio Lula da Silva", 3), ("Da", 1)]}


def test_a_word_amid_two_full_names_is_an_entity_of_its_own() -> None:
    tagged = tag_marked("[Ann Lula Silva|person] and [Luiz Lula Costa|person]: [Lula|person]")
    assert names(tagged) == {"people": [("Ann Lula Silva", 1), ("Luiz Lula Costa", 1), ("Lula", 1)]}


def test_a_word_amid_a_full_name_that_comes_only_later_is_an_entity_of_its_own() -> None:
    tagged = tag_marked("[Buddha|person], a boy, is taught by [Living Buddha Migmar|person]")
    assert names(tagged) == {"people": [("Buddha", 1), ("Living Buddha Migmar", 1)]}


def test_a_name_at_the_end_of_a_full_name_goes_before_one_amid_another() -> None:
    tagged = tag_marked("[Madeleine Korbel Albright|person], daughter of [Josef Korbel|person]: [Korbel|person]")
    assert names(tagged) == {"people": [("Josef Korbel", 2), ("Madeleine Korbel Albright", 1)]}


def test_organisations_and_places_are_not_joined_by_parts() -> None:
    tagged = tag_marked("[Bank of China|organisation], [China|place], [Bank|organisation], [West China|place]")
    assert names(tagged) == {
        "organisations": [("Bank of China", 1), ("Bank", 1)],
        "places": [("China", 1), ("West China", 1)],
    }


@pytest.mark.parametrize(
    ("marked", "entity_id", "name"),
    [
        ("[US|place] [U.S.|place] [the US|place]", "place:us", "US"),
        ("[the United Nations|organisation] [United Nations|organisation]", "organisation:united-nations", None),
        ("[Lech Wałęsa|person] [Lech Walesa|person] [LECH WALESA|person]", "person:lech-walesa", "Lech Wałęsa"),
        ("[KIM JONG UN|person] [Kim Jong Un|person]", "person:kim-jong-un", "Kim Jong Un"),
        ("[NATO|organisation] [Nato|organisation]", "organisation:nato", "NATO"),
        ("[BRUSSELS|place] [Brussels|place]", "place:brussels", "Brussels"),
        ("[BRUSSELS|place] [BRUSSELS|place]", "place:brussels", "BRUSSELS"),
        ("[PUTIN|person] [Putin|person]", "person:putin", "Putin"),
        ("[Rolls-Royce|organisation] [Rolls Royce|organisation]", "organisation:rolls-royce", "Rolls-Royce"),
        ("[O’Neill|person] [O'Neill|person]", "person:oneill", "O’Neill"),
        ("[Procter & Gamble|organisation]", "organisation:procter-gamble", None),
        ("[Горбачёв|person] [ГОРБАЧЁВ|person]", "person:горбачёв", "Горбачёв"),
        ("[习近平|person]", "person:习近平", None),
        ("[मोदी|person]", "person:मोदी", None),
        ("[Straße|place] [STRASSE|place]", "place:strasse", "Straße"),
    ],
)
def test_names_are_compared_without_case_dots_and_accents(marked: str, entity_id: str, name: str | None) -> None:
    tagged = tag_marked(marked)
    assert {one.entity_id for one in tagged.mentions} == {entity_id}
    ((entity,),) = names(tagged).values()
    assert entity == (name or tagged.mentions[0].text, marked.count("|"))


def test_a_canonical_name_stands_on_one_line() -> None:
    tagged = tag_marked("by [Bank  of Foo|organisation], [the Bank of Foo|organisation]")
    assert names(tagged) == {"organisations": [("Bank of Foo", 2)]}


def test_two_known_people_in_one_span_are_two_mentions() -> None:
    tagged = tag_marked("[Kim Jong Un|person], [Ann Putin|person]: [Kim-Putin|person] or [Putin–Kim|person] talks")
    assert names(tagged) == {"people": [("Kim Jong Un", 3), ("Ann Putin", 3)]}
    assert [one.text for one in tagged.mentions][2:] == ["Kim", "Putin", "Putin", "Kim"]
    assert all(tagged.body[one.start : one.end] == one.text for one in tagged.mentions)


def test_a_name_with_a_hyphen_stays_one() -> None:
    tagged = tag_marked("[Smith-Jones|person] met [Ann Smith|person]")
    assert names(tagged) == {"people": [("Smith-Jones", 1), ("Ann Smith", 1)]}


def test_entities_are_ordered_by_count_and_first_mention() -> None:
    tagged = tag_marked("[Rome|place] [Oslo|place] [Bonn|place] [Oslo|place] [Kyiv|place] [Bonn|place]")
    assert names(tagged) == {"places": [("Oslo", 2), ("Bonn", 2), ("Rome", 1), ("Kyiv", 1)]}
    assert [place.country_iso_code for place in tagged.places] == [None] * 4
    assert [place.location for place in tagged.places] == [None] * 4


def test_mentions_are_ordered_by_start_whatever_the_order_of_the_spans() -> None:
    tagged = tag("Rome and Oslo", [Span(9, 13, Label.PLACE), Span(0, 4, Label.PLACE)])
    assert [one.text for one in tagged.mentions] == ["Rome", "Oslo"]


def test_an_article_keeps_what_it_had_and_states_the_versions() -> None:
    given = article("In Rome.")
    (tagged,) = tag_articles([given], finds([Span(3, 7, Label.PLACE)]), NOTHING_KNOWN)
    assert tagged.versions == {"cleaner": "1", "model": "fake-1", "tagger": VERSION}
    assert tagged.model_dump(include=set(type(given).model_fields), exclude={"versions"}) == given.model_dump(
        exclude={"versions"}
    )


def test_an_article_in_another_language_passes_without_entities_and_says_so() -> None:
    def find_spans(texts: Sequence[str]) -> list[list[Span]]:
        assert texts == ["In Rome.", "In Oslo.", "In Bonn."]
        return [[Span(3, 7, Label.PLACE)] for _ in texts]

    articles = [
        article("In Rome.", "en-GB"),
        article("In Paris.", "fr"),
        article("In Oslo.", "EN"),
        article("In Bonn.", "und"),
    ]
    tagged = tag_articles(articles, {"en": Fake(find_spans)}, NOTHING_KNOWN)
    assert [names(one).get("places") for one in tagged] == [[("Rome", 1)], None, [("Oslo", 1)], [("Bonn", 1)]]
    assert [one.entities for one in tagged] == [
        Entities.TAGGED,
        Entities.UNSUPPORTED_LANGUAGE,
        Entities.TAGGED,
        Entities.TAGGED,
    ]
    assert tagged[1].mentions == ()
    assert tagged[1].versions == {"cleaner": "1", "tagger": VERSION}


def test_a_model_is_not_asked_for_nothing() -> None:
    def find_spans(texts: Sequence[str]) -> list[list[Span]]:
        raise AssertionError(texts)

    (tagged,) = tag_articles([article("In Paris.", "fr")], {"en": Fake(find_spans)}, NOTHING_KNOWN)
    assert tagged.entities is Entities.UNSUPPORTED_LANGUAGE
    assert tag_articles([], {"en": Fake(find_spans)}, NOTHING_KNOWN) == []


def test_each_article_is_read_by_the_model_of_its_language() -> None:
    def finds_in(label: Label, version: str) -> Fake:
        return Fake(lambda texts: [[Span(3, 7, label)] for _ in texts], version)

    models = {"en": finds_in(Label.PLACE, "english-1"), "fr": finds_in(Label.PERSON, "french-1")}
    given = [
        article("In Rome.", "fr"),
        article("In Oslo."),
        article("In Bonn.", "fr-CA"),
        article("In Lyon.", "und"),
    ]
    tagged = tag_articles(given, models, NOTHING_KNOWN)
    assert [one.mentions[0].text for one in tagged] == ["Rome", "Oslo", "Bonn", "Lyon"]
    assert [one.versions["model"] for one in tagged] == ["french-1", "english-1", "french-1", "english-1"]
    assert [one.mentions[0].label for one in tagged] == [Label.PERSON, Label.PLACE, Label.PERSON, Label.PLACE]


def test_english_words_say_nothing_about_a_text_in_another_language() -> None:
    said = article("Le Berg said", "fr")
    (french,) = tag_articles([said], {"fr": Fake(lambda _: [[Span(3, 7, Label.PLACE)]])}, NOTHING_KNOWN)
    english = said.model_copy(update={"language": "en"})
    (other,) = tag_articles([english], finds([Span(3, 7, Label.PLACE)]), NOTHING_KNOWN)
    assert (french.mentions[0].label, other.mentions[0].label) == (Label.PLACE, Label.PERSON)


def test_a_model_that_loses_a_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        tag_articles([article("In Rome."), article("In Oslo.")], {"en": Fake(lambda _: [[]])}, NOTHING_KNOWN)


def test_odd_spaces_are_read_as_plain_ones_and_stay_in_the_text() -> None:
    tagged = tag_marked("[Ada\u00a0Lee|person] met [Ada Lee|person] at 10\u202fa.m.")

    assert [(one.name, one.count) for one in tagged.people] == [("Ada Lee", 2)]
    assert [one.text for one in tagged.mentions] == ["Ada\u00a0Lee", "Ada Lee"]
    assert tagged.body.endswith("10\u202fa.m.")


def test_the_model_sees_plain_spaces() -> None:
    seen: list[str] = []

    def find(bodies: Sequence[str]) -> list[list[Span]]:
        seen.extend(bodies)
        return [[] for _ in bodies]

    tag_articles([article("En\u00a0France, 10\u202f000\u2009€")], {"en": Fake(find)}, NOTHING_KNOWN)

    assert seen == ["En France, 10 000 €"]
