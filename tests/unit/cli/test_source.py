from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Newsflow


def test_a_project_is_written_and_named_on_standard_output(newsflow: Newsflow, tmp_path: Path) -> None:
    folder = tmp_path / "council"
    said = newsflow("source", "new", "city-council", folder)
    assert said.status == 0
    assert sorted(said.out.splitlines()) == sorted(str(file) for file in folder.iterdir())
    assert f"pip install -e {folder}" in said.told


def test_without_a_folder_it_is_named_after_the_source(
    newsflow: Newsflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert newsflow("source", "new", "city-council").status == 0
    assert (tmp_path / "newsflow-source-city-council" / "pyproject.toml").is_file()


def test_neither_kafka_nor_a_setting_is_needed(newsflow: Newsflow, tmp_path: Path) -> None:
    said = newsflow("source", "new", "--help")
    assert said.status == 0
    assert "plug-in project" in said.out


@pytest.mark.parametrize(("name", "why"), [("City", "lower-case letters"), ("seeds", "installed already")])
def test_a_name_that_cannot_be_is_wrong_use(newsflow: Newsflow, tmp_path: Path, name: str, why: str) -> None:
    said = newsflow("source", "new", name, tmp_path / "new")
    assert (said.status, said.out) == (2, "")
    assert why in said.told
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_wrong_use(newsflow: Newsflow, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        assert newsflow("source", "new", "city-council", folder).status == 2
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["notes.txt"]
