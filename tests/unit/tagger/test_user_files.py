"""Files of the user's own: aliases and Wikidata's items."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.article import Label
from services.tagger.user_files import UserFile, read_aliases, read_wikidata


def test_aliases(tmp_path: Path) -> None:
    file = tmp_path / "aliases.tsv"
    file.write_text("# a comment\n\nperson\tAnna Berg\tThe Boss;A. Berg\n")
    assert read_aliases(file) == {
        (Label.PERSON, ("anna", "berg")): "Anna Berg",
        (Label.PERSON, ("boss",)): "Anna Berg",
        (Label.PERSON, ("a", "berg")): "Anna Berg",
    }


def test_items_of_wikidata(tmp_path: Path) -> None:
    file = tmp_path / "wikidata.tsv"
    file.write_text("person:anna-berg\tQ42\n")
    assert read_wikidata(file) == {"person:anna-berg": "Q42"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("person\tAnna Berg", "aliases.tsv:1: 2 fields and not 3: put one tab between two"),
        ("dog\tRex\tRexie", "aliases.tsv:1: the label is 'dog' and must be one of person, organisation, place"),
        ("person\tAnna Berg\t;", "aliases.tsv:1: a name without letters"),
    ],
)
def test_a_mistake_in_the_aliases_is_named(line: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "aliases.tsv"
    file.write_text(line + "\n")
    with pytest.raises(ValueError, match=told):
        read_aliases(file)


def test_a_mistake_in_the_items_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wikidata.tsv"
    file.write_text("person:anna-berg\t42\n")
    with pytest.raises(ValueError, match=r"wikidata\.tsv:1: the item is '42' and must be like Q42"):
        read_wikidata(file)


def test_a_file_is_read_again_when_it_changes_and_a_mistake_in_it_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "wikidata.tsv"
    file.write_text("person:anna-berg\tQ1\n")
    watched: UserFile[dict[str, str]] = UserFile(file, read_wikidata, {})
    assert watched.current() == {"person:anna-berg": "Q1"}
    file.write_text("person:anna-berg\tQ2\n")
    os.utime(file, ns=(1, 1))
    assert watched.current() == {"person:anna-berg": "Q2"}
    file.write_text("person:anna-berg\tno item\n")
    os.utime(file, ns=(2, 2))
    assert watched.current() == {"person:anna-berg": "Q2"}
    file.unlink()
    assert watched.current() == {"person:anna-berg": "Q2"}


def test_without_a_file_nothing_is_said() -> None:
    assert UserFile(None, read_wikidata, {"a": "b"}).current() == {"a": "b"}
