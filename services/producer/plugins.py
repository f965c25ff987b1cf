"""The sources that are installed: those of Newsflow, and those of any other distribution in the environment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from inspect import getdoc, isclass, signature
from typing import Any

from pydantic import BaseModel

from services.producer.source import GROUP

OURS = "newsflow"

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True)
class Installed:
    """A source by its name: the class, or why it is left out."""

    name: str
    distribution: str
    source: type[Any] | None
    error: str | None = None

    @property
    def summary(self) -> str:
        """The first line of its help, or why it is left out."""
        return self.error or (getdoc(self.source) or "").split("\n", maxsplit=1)[0]


def installed_sources() -> list[Installed]:
    """Every source, loaded and checked, Newsflow's own first; never raises for what a plug-in does."""
    return [_load(point) if error is None else _left_out(point, error) for point, error in _named()]


def find_source(name: str) -> Installed | None:
    """The source called `name`, loaded and checked; no other one is loaded. None where there is none."""
    for point, error in _named():
        if point.name == name and error is None:
            return _load(point)
    return None


def source_names() -> list[str]:
    """The names of all sources, none of them loaded."""
    return [point.name for point, error in _named() if error is None]


def check_source(source: Any) -> list[str]:
    """What is wrong with a source's class, each in one line that says what to do; empty where nothing is."""
    if not (isclass(source) and issubclass(source, BaseModel)):
        return [f"it is no class derived from pydantic.BaseModel but {source!r}"]
    problems = []
    if not (source.__doc__ or "").strip() or source.__doc__ == BaseModel.__doc__:
        problems.append("it has no docstring: that is its help")
    articles = getattr(source, "articles", None)
    if not callable(articles):
        problems.append("it has no method `articles(self, run)`")
    elif list(signature(articles).parameters)[1:2] == [] or len(signature(articles).parameters) != 2:
        problems.append("its method must be `articles(self, run)`: it takes self and the run, and no more")
    problems += [
        f"its field `{name}` has no description: write `Field(description=…)`"
        for name, field in source.model_fields.items()
        if not field.description
    ]
    return problems


def check_settings(source: type[BaseModel]) -> list[str]:
    """Which of a source's fields have the name of an option that every run has, each in one line."""
    return [
        f"its field `{name}` has the name of an option of every run: call it otherwise"
        for name in source.model_fields
        if name in RUN_OPTIONS
    ]


RUN_OPTIONS = frozenset({"follow", "every", "rate", "since", "until", "from_start", "json", "json_", "help"})
"""The options of `newsflow produce NAME` that are not the source's own."""


def _named() -> list[tuple[EntryPoint, str | None]]:
    """The entry points in order, Newsflow's own first, each with the reason for which it is left out."""
    points = sorted(
        entry_points(group=GROUP),
        key=lambda point: (_distribution(point) != OURS, point.name, _distribution(point)),
    )
    taken: dict[str, str] = {}
    named: list[tuple[EntryPoint, str | None]] = []
    for point in points:
        where = _distribution(point)
        error = None
        if not set(point.name) <= NAME_CHARACTERS or point.name.startswith("-"):
            error = f"its name {point.name!r} must be of lower-case letters, digits and hyphens"
        elif point.name in taken:
            error = f"the name {point.name} is taken by {taken[point.name]}: uninstall one of both"
        else:
            taken[point.name] = where
        named.append((point, error))
    return named


def _load(point: EntryPoint) -> Installed:
    where = _distribution(point)
    try:
        source = point.load()
        problems = check_source(source) or check_settings(source)
    except ModuleNotFoundError as error:
        extra = " (newsflow[producer])" if where == OURS else ""
        return _left_out(point, f"it needs {error.name}, which is not installed here{extra}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return _left_out(point, f"it cannot be loaded: {type(error).__name__}: {error}")
    if problems:
        return _left_out(point, "; ".join(problems))
    return Installed(point.name, where, source)


def _left_out(point: EntryPoint, error: str) -> Installed:
    return Installed(point.name, _distribution(point), None, " ".join(error.split()))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def problems_of(sources: Iterable[Installed]) -> list[str]:
    """A line for each source that is left out."""
    return [
        f"source {each.name} of {each.distribution} is left out: {each.error}" for each in sources if each.error
    ]
