"""`newsflow source new`, and the contract kit that its project is tried with."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from services.producer.new import write_project
from services.producer.plugins import check_settings, check_source
from services.producer.source import Run
from services.producer.testing import SourceContract
from tests.unit.producer.installed import SitePackages, packages

__all__ = ["packages"]  # a fixture

ROOT = Path(__file__).parents[3]

CONTRACT = {name for name in vars(SourceContract) if name.startswith("test_")}


def tried(folder: Path) -> dict[str, dict[str, str]]:
    """What `pytest` says of the tests in a folder: class -> test that failed -> why."""
    report = folder / "report.xml"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            ".",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stdout.decode() + done.stderr.decode()
    found: dict[str, dict[str, str]] = {}
    for case in ET.parse(report).iter("testcase"):
        failures = found.setdefault(case.attrib["classname"].rpartition(".")[2], {})
        for outcome in case:
            failures[case.attrib["name"]] = outcome.attrib.get("message", "")
    return found


# ---------------------------------------------------------------- the project


def test_a_new_project_has_all_that_an_installer_needs(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "council"
    written = write_project("city-council", folder)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "newsflow_source_city_council.py",
        "pyproject.toml",
        "test_newsflow_source_city_council.py",
    ]
    assert sorted(written) == sorted(folder.iterdir())
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["name"] == "newsflow-source-city-council"
    assert project["project"]["entry-points"]["newsflow.sources"] == {
        "city-council": "newsflow_source_city_council:CityCouncil"
    }
    assert not [file for file in written if "{{" in file.read_text("utf-8")], "the template was not filled in"


def test_a_new_project_passes_its_own_tests(tmp_path: Path) -> None:
    write_project("city-council", tmp_path)
    results = tried(tmp_path)
    assert results == {"TestCityCouncil": {}}


def test_the_project_in_the_documentation_is_what_the_command_writes(tmp_path: Path) -> None:
    """After a change of the template: newsflow source new bulletin docs/example-source."""
    write_project("bulletin", tmp_path)
    shown = ROOT / "docs" / "example-source"
    ignored = {"__pycache__", ".pytest_cache"}
    assert {file.name for file in shown.iterdir()} - ignored == {file.name for file in tmp_path.iterdir()}
    for file in tmp_path.iterdir():
        assert (shown / file.name).read_bytes() == file.read_bytes()


def test_the_ten_lines_in_the_documentation_are_a_source() -> None:
    page = (ROOT / "docs" / "sources.md").read_text("utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    made: dict[str, Any] = {"decisions_of": lambda year: [SimpleNamespace(number=f"{year}-1", text="Decided.")]}
    exec(code, made)
    assert check_source(made["CityCouncil"]) == check_settings(made["CityCouncil"]) == []
    (article,) = made["CityCouncil"](year=2025).articles(Run())
    assert article.id == "2025-1"


@pytest.mark.parametrize(
    "name", ["City", "city_council", "-city", "city-", "city--council", "1st", "", "città", "a b", "../a"]
)
def test_a_name_that_no_source_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name: lower-case letters"):
        write_project(name, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(tmp_path: Path, packages: SitePackages) -> None:
    packages.install("gazette")
    for name in ("seeds", "gazette"):
        with pytest.raises(ValueError, match=f"called {name} is installed already"):
            write_project(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty"):
        write_project("city-council", tmp_path)
    with pytest.raises(OSError, match="notes"):
        write_project("city-council", tmp_path / "notes.txt")
    assert [file.read_text("utf-8") for file in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert write_project("city-council", tmp_path)


# ---------------------------------------------------------------- the contract kit

HEAD = '''
import uuid
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field

from services.producer.source import Found, RawArticle, Reached, Trouble, Unusable
from services.producer.plugins import check_settings, check_source
from services.producer.source import Run
from services.producer.testing import SourceContract


def item(number, checkpoint=None, **fields):
    given = {"publisher": "p.example", "id": str(number), "body": "A text."} | fields
    return Found(f"line {number}", RawArticle(**given), checkpoint=checkpoint)


class Good(BaseModel):
    """Three articles, each with its checkpoint, a line that nobody can take, and a look at another part."""

    def articles(self, run):
        start = int(run.checkpoint() or 0)
        yield from (item(number, str(number)) for number in range(start + 1, 4))
        if start < 4:
            yield Unusable("line 4", "no text", checkpoint="4")
        yield Reached("other", "1")


class Whole(BaseModel):
    """The same three each time, without checkpoints: nothing in it is broken."""

    def articles(self, run):
        yield from map(self.one, range(3))

    def one(self, number):
        return item(number)
'''

READING = CONTRACT - {
    "test_its_class_can_be_a_plug_in",
    "test_its_settings_are_options",
    "test_it_ends_when_it_is_asked_to",
}
"""The tests that read what a source gives."""

BROKEN: dict[str, tuple[str, set[str]]] = {
    "NoDocstring(Good)": ("pass", {"test_its_class_can_be_a_plug_in"}),
    "NoDescription(Good)": (
        "'''Help.'''\n    path: str = 'x'",
        {"test_its_class_can_be_a_plug_in"},
    ),
    "TakesMore(Whole)": (
        "'''Help.'''\n    def articles(self, run, more=None):\n        return super().articles(run)",
        {"test_its_class_can_be_a_plug_in"},
    ),
    "Follow(Good)": (
        "'''Help.'''\n    follow: bool = Field(default=False, description='On.')",
        {"test_its_settings_are_options"},
    ),
    "Json(Good)": (
        "'''Help.'''\n    json_: bool = Field(default=False, description='On.')",
        {"test_its_settings_are_options"},
    ),
    "OnlyOne(Good)": (
        "'''Help.'''\n    def articles(self, run):\n        yield item(1)",
        {"test_it_gives_articles_that_can_be_sent"},
    ),
    "TooLarge(Whole)": (
        "'''Help.'''\n    def one(self, number):\n        return item(number, body='x' * 900_000)",
        {"test_it_gives_articles_that_can_be_sent"},
    ),
    "Troubled(Whole)": (
        "'''Help.'''\n    def articles(self, run):\n"
        "        yield from super().articles(run)\n        yield Trouble('', 'no answer')",
        {"test_it_reads_without_trouble"},
    ),
    "ByChance(Whole)": (
        "'''Help.'''\n    def one(self, number):\n        return item(number, id=str(uuid.uuid4()))",
        {"test_an_article_keeps_its_id"},
    ),
    "OneId(Whole)": (
        "'''Help.'''\n    def one(self, number):\n        return item(1)",
        {"test_no_two_articles_have_one_id"},
    ),
    "GoesBack(Good)": (
        "'''Help.'''\n    def articles(self, run):\n"
        "        yield from (item(n, str(n)) for n in range(int(run.checkpoint() or 1), 4))",
        {"test_it_goes_on_after_each_checkpoint"},
    ),
    "LeavesOneOut(Good)": (
        "'''Help.'''\n    def articles(self, run):\n"
        "        yield from (item(n, str(n + 1)) for n in range(int(run.checkpoint() or 0) + 1, 4))",
        {"test_it_goes_on_after_each_checkpoint"},
    ),
    "NeverGoesOn(Good)": (
        "'''Help.'''\n    def articles(self, run):\n        yield from (item(n, str(n)) for n in range(3))",
        {"test_it_goes_on_after_each_checkpoint"},
    ),
    "OtherPart(Good)": (
        # The checkpoint of one part moves the other one.
        "'''Help.'''\n    def articles(self, run):\n"
        "        start = max(map(int, run.checkpoints.values()), default=0)\n"
        "        for n in range(start + 1, 5):\n"
        "            yield Found(f'line {n}', item(n).article, part='ab'[n % 2], checkpoint=str(n - n % 2))",
        {"test_it_goes_on_after_each_checkpoint"},
    ),
    "NeverEnds(Good)": (
        "'''Help.'''\n    follows: ClassVar[bool] = True\n    def articles(self, run):\n"
        "        yield from super().articles(run)\n        while run.follow:\n            yield item(1)",
        {"test_it_ends_when_it_is_asked_to"},
    ),
    "GivesDict(Good)": (
        "'''Help.'''\n    def articles(self, run):\n        yield {'title': 'Ferries run again'}",
        READING,
    ),
    "Endless(Good)": (
        "'''Help.'''\n    def articles(self, run):\n        while True:\n            yield item(1)",
        READING,
    ),
}
"""A source broken on purpose -> its class's body, and the tests that must fail on it."""

WHY = {
    ("NoDocstring", "test_its_class_can_be_a_plug_in"): "it has no docstring",
    ("NoDescription", "test_its_class_can_be_a_plug_in"): "`path` has no description",
    ("Follow", "test_its_settings_are_options"): "`follow` has the name of an option of every run",
    ("OnlyOne", "test_it_gives_articles_that_can_be_sent"): "it must give two articles",
    ("TooLarge", "test_it_gives_articles_that_can_be_sent"): "900000 allowed",
    ("Troubled", "test_it_reads_without_trouble"): "no answer",
    ("ByChance", "test_an_article_keeps_its_id"): "different ids",
    ("OneId", "test_no_two_articles_have_one_id"): "one id for line 1 and line 1",
    ("GoesBack", "test_it_goes_on_after_each_checkpoint"): "after the checkpoint '1'",
    ("GivesDict", "test_it_reads_without_trouble"): "it gave a dict",
    ("Endless", "test_it_reads_without_trouble"): "does not end",
}
"""What the failure says, so that its author knows what to do."""


def test_on_each_source_that_is_broken_the_test_fails_that_is_there_for_it(tmp_path: Path) -> None:
    sources = {"Good(BaseModel)": ("", set[str]()), "Whole(BaseModel)": ("", set[str]())} | BROKEN
    text = [HEAD, *(f"\n\nclass {head}:\n    {body}\n" for head, (body, _) in BROKEN.items())]
    for head in sources:
        name = head.partition("(")[0]
        text.append(
            f"\n\nclass Test{name}(SourceContract):\n"
            f"    @pytest.fixture\n    def source(self):\n        return {name}()\n"
        )
    text.append("\n\nclass TestForgotten(SourceContract):\n    pass\n")
    (tmp_path / "test_broken.py").write_text("".join(text), encoding="utf-8")
    results = tried(tmp_path)
    expected = {f"Test{head.partition('(')[0]}": failing for head, (_, failing) in sources.items()}
    assert {name: set(failures) for name, failures in results.items()} == expected | {"TestForgotten": CONTRACT}
    for (name, test), why in WHY.items():
        assert why in results[f"Test{name}"][test]
    assert "write a fixture `source`" in results["TestForgotten"]["test_it_reads_without_trouble"]
    assert set().union(*(failing for _, failing in BROKEN.values() if len(failing) == 1)) == CONTRACT, (
        "each test has a source on which it alone fails"
    )
