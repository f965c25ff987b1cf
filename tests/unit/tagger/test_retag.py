"""A stored document to the article that is tagged anew, and to the record that brings its entities back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.article import Entities, Label, digest_of_body
from services.cli.retag import RetagSettings
from services.tagger.core import VERSION, tag_articles
from services.tagger.load import load_tagger, versions_of
from services.tagger.names import Span
from services.tagger.retag import retagged, stored_article
from services.tagger.settings import TaggerSettings

from .marking import NOTHING_KNOWN, article, finds

SOURCE = {
    "id": "0" * 32,
    "revision": 17,
    "event": {"created": "2026-02-01T08:00:00Z"},
    "publisher": {"name": "harbour-post.example"},
    "language": "en-GB",
    "located": "Porto",
    "body": "Ada Marsh is back.\n\nIn Porto.",
}


def test_a_stored_document_is_an_article_again() -> None:
    again = stored_article(SOURCE)
    assert again.body == SOURCE["body"]
    assert (again.id, again.revision, again.language, again.located) == ("0" * 32, 17, "en-GB", "Porto")
    assert again.received == datetime(2026, 2, 1, 8, tzinfo=UTC)
    assert stored_article({name: value for name, value in SOURCE.items() if name != "located"}).located is None


def test_the_record_has_the_entities_and_of_which_text_they_are() -> None:
    (tagged,) = tag_articles([stored_article(SOURCE)], finds([Span(0, 9, Label.PERSON)]), NOTHING_KNOWN)
    record = retagged(tagged)
    assert (record.id, record.revision, record.entities) == (tagged.id, 17, Entities.TAGGED)
    assert record.body_digest == digest_of_body(str(SOURCE["body"]))
    assert [one.name for one in record.people] == ["Ada Marsh"]
    assert record.mentions == tagged.mentions
    assert record.versions == {"model": "fake-1", "tagger": VERSION}


# ---------------------------------------------------------------- versions


def settings(**given: Any) -> TaggerSettings:
    return TaggerSettings(kafka_bootstrap_servers="-", **given)


def test_retag_has_the_settings_of_the_tagger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Or it would give the articles other names than the tagger does."""
    given = {"TAGGER_ALIASES": str(tmp_path), "TAGGER_REFINEMENTS": "labels", "TAGGER_PROCESSES": "3"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    retag = RetagSettings(kafka_bootstrap_servers="-", elasticsearch_url="http://127.0.0.1:1")
    assert {name: getattr(retag, name) for name in TaggerSettings.model_fields} == settings().model_dump()
    assert (retag.aliases, retag.processes) == (tmp_path, 3)


@pytest.mark.usefixtures("loaded_once")
def test_versions_are_those_that_the_tagger_stamps(tmp_path: Path) -> None:
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text("person\tAda Marsh\tThe Ferrywoman\n")
    for one in (settings(), settings(aliases=aliases), settings(refinements="labels")):
        models, version = versions_of(one)
        (tagged,) = load_tagger(one)([article("Ada Marsh is back.")])
        assert tagged.versions == {"cleaner": "1", "model": models["en"], "tagger": version}
        assert list(models) == ["en"]


def test_whatever_decides_about_names_is_in_the_version(tmp_path: Path) -> None:
    names, other = tmp_path / "names.jsonl", tmp_path / "other"
    names.write_text('{"label": "ORG", "pattern": "Foo"}\n')
    other.write_text("")
    every = [
        settings(),
        settings(refinements=""),
        settings(refinements="labels"),
        settings(gazetteer=names),
        settings(aliases=other),
        settings(wikidata=other),
    ]
    versions = [versions_of(one)[1] for one in every]
    assert versions[0] == VERSION
    assert len(set(versions)) == len(versions)
    names.write_text('{"label": "ORG", "pattern": "Bar"}\n')
    assert versions_of(settings(gazetteer=names))[1] not in versions
    with pytest.raises(FileNotFoundError):
        versions_of(settings(aliases=tmp_path / "none"))


@pytest.mark.usefixtures("loaded_once")
def test_a_file_that_changes_changes_the_version(tmp_path: Path) -> None:
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text("person\tAda Marsh\tAda M\n")
    tag = load_tagger(settings(aliases=aliases))
    (first,) = tag([article("Ada Marsh is back.")])
    aliases.write_text("person\tAda Marsh the Elder\tAda Marsh\n")
    (second,) = tag([article("Ada Marsh is back.")])
    assert second.people[0].name == "Ada Marsh the Elder"
    assert first.versions["tagger"] != second.versions["tagger"] == versions_of(settings(aliases=aliases))[1]
