from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from services.cli import produce
from services.producer.plugins import (
    RUN_OPTIONS,
    Installed,
    check_settings,
    check_source,
    find_source,
    installed_sources,
    problems_of,
    source_names,
)
from services.producer.source import Run
from services.producer.sources.files import Files, Seeds, Stdin
from tests.unit.producer.installed import GOOD, SitePackages, packages

__all__ = ["packages"]  # a fixture

OURS = {"seeds": Seeds, "files": Files, "stdin": Stdin}


def installed() -> dict[str, Installed]:
    return {each.name: each for each in installed_sources()}


def error_of(name: str) -> str:
    """Why it is left out; all others stay."""
    found = installed()
    assert {each: found[each].source for each in OURS} == OURS
    assert found[name].source is None
    assert [line for line in problems_of(found.values()) if line.startswith(f"source {name} of ")] == [
        f"source {name} of {found[name].distribution} is left out: {found[name].error}"
    ]
    error = found[name].error
    assert error is not None
    assert "\n" not in error
    return error


def test_newsflows_own_sources_are_installed_and_come_first(packages: SitePackages) -> None:
    packages.install("aaa")
    found = list(installed().values())
    assert {each.name: each.source for each in found if each.name in OURS} == OURS
    ours = [each.distribution == "newsflow" for each in found]
    assert ours == sorted(ours, reverse=True)
    assert found[-1].name == "aaa"


def test_a_plug_in_is_a_source_by_its_name(packages: SitePackages) -> None:
    packages.install("gazette-plugin", points={"gazette": "Gazette"})
    found = installed()["gazette"]
    assert (found.distribution, found.error, found.summary) == ("gazette-plugin", None, "The gazette's notices.")
    assert find_source("gazette") == found
    assert "gazette" in source_names()


def test_no_plug_in_is_loaded_before_it_is_called(packages: SitePackages) -> None:
    packages.install("gazette")
    packages.install("another", "raise RuntimeError('it was loaded')")
    assert {"gazette", "another"} <= set(source_names())
    assert find_source("seeds") is not None
    assert not packages.loaded("gazette")
    found = find_source("gazette")
    assert found is not None
    assert found.source is not None
    assert packages.loaded("gazette")
    assert packages.tried == ["gazette"]


def test_an_unknown_name_is_none() -> None:
    assert find_source("nobody") is None
    assert find_source("") is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import newsflow_nothing", ["newsflow_nothing", "not installed here"]),
        ("from json import nothing", ["ImportError", "nothing"]),
        ("class Gazette(:", ["SyntaxError"]),
        ("raise RuntimeError('two\\n  lines')", ["RuntimeError: two lines"]),
        ("raise SystemExit(3)", ["SystemExit: 3"]),
        ("import asyncio; raise asyncio.CancelledError", ["CancelledError"]),
        ("\0", ["SyntaxError"]),
        ("", ["AttributeError", "Gazette"]),
        ("Gazette = 3", ["no class derived from pydantic.BaseModel", "3"]),
        ("class Gazette:\n    '''Help.'''\n    def articles(self, run): ...", ["pydantic.BaseModel"]),
        (GOOD.replace('"""The gazette', '"" "The gazette').replace('"""', '"'), ["SyntaxError"]),
    ],
)
def test_what_cannot_be_loaded_is_named_and_left_out(packages: SitePackages, code: str, said: list[str]) -> None:
    packages.install("gazette", code)
    error = error_of("gazette")
    for each in said:
        assert each in error


def test_an_entry_point_that_names_no_object_is_left_out(packages: SitePackages) -> None:
    packages.install("gazette", points={"gazette": "not a name", "well": "Gazette"})
    assert "cannot be loaded" in error_of("gazette")
    assert installed()["well"].error is None


def test_ctrl_c_while_a_plug_in_is_loaded_ends_the_command(packages: SitePackages) -> None:
    packages.install("gazette", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        installed_sources()


def test_a_missing_library_of_ours_is_named_with_its_extra(packages: SitePackages) -> None:
    packages.install("newsflow", "import feedparser_nothing", points={"feeds": "Feeds"}, module="our_feeds")
    assert error_of_ours() == "it needs feedparser_nothing, which is not installed here (newsflow[producer])"


def error_of_ours() -> str | None:
    """The stand-in hides the real distribution of that name, and its sources."""
    return installed()["feeds"].error


@pytest.mark.parametrize("name", ["City", "city_council", "city council", "città", "-city", "city.council"])
def test_a_name_that_no_command_has_is_left_out(packages: SitePackages, name: str) -> None:
    packages.install("gazette", points={name: "Gazette", "well": "Gazette"})
    assert "lower-case letters, digits and hyphens" in error_of(name)
    assert installed()["well"].error is None
    assert name not in source_names()
    assert find_source(name) is None


def test_a_name_that_is_taken_stays_with_who_has_it(packages: SitePackages) -> None:
    packages.install("aardvark", points={"seeds": "Gazette", "notices": "Gazette"})
    packages.install("zebra", points={"notices": "Gazette"})
    found = installed_sources()
    seeds = [each for each in found if each.name == "seeds"]
    assert [(each.distribution, each.source is Seeds) for each in seeds] == [
        ("newsflow", True),
        ("aardvark", False),
    ]
    assert "taken by newsflow" in str(seeds[1].error)
    notices = [each for each in found if each.name == "notices"]
    assert [(each.distribution, each.error is None) for each in notices] == [("aardvark", True), ("zebra", False)]
    taken = find_source("seeds")
    assert taken is not None
    assert taken.source is Seeds
    assert source_names().count("notices") == 1


# ---------------------------------------------------------------- a class


class Good(BaseModel):
    """Good."""

    path: str = Field(description="The file.")

    def articles(self, run: Run) -> list[Any]:
        return []


def test_a_good_class_has_no_problems() -> None:
    assert check_source(Good) == check_settings(Good) == []


def test_each_problem_of_a_class_is_told() -> None:
    class Bad(BaseModel):
        path: str
        url: str = Field(default="", description="")

    problems = check_source(Bad)
    assert [
        any(word in problem for problem in problems) for word in ("docstring", "articles", "`path`", "`url`")
    ] == [True] * 4
    assert len(problems) == 4


def test_an_inherited_docstring_is_none_of_its_own_help() -> None:
    class Child(Good):
        pass

    assert check_source(Child) == ["it has no docstring: that is its help"]


@pytest.mark.parametrize(
    "articles",
    [
        "def articles(self): ...",
        "def articles(self, run, more): ...",
        "@staticmethod\n    def articles(): ...",
    ],
)
def test_articles_takes_the_run_and_no_more(articles: str) -> None:
    made: dict[str, Any] = {"BaseModel": BaseModel}
    exec(f"class Made(BaseModel):\n    '''Help.'''\n    {articles}", made)
    (problem,) = check_source(made["Made"])
    assert "articles(self, run)" in problem


def test_a_setting_with_the_name_of_an_option_of_every_run_is_left_out(packages: SitePackages) -> None:
    code = GOOD.replace(
        "    def articles", "    follow: bool = Field(default=False, description='On.')\n\n    def articles"
    )
    packages.install("gazette", code.replace("import BaseModel", "import BaseModel, Field"))
    assert "`follow`" in error_of("gazette")


def test_those_options_are_the_commands_own() -> None:
    names = {parameter.name for parameter in produce._RUN_OPTIONS}
    assert names | {"json", "help"} == RUN_OPTIONS
