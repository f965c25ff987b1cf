"""Whether the index that runs is the one that this version would make, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from schemas.document import INDEX_ALIAS, NOT_RETRACTED, STANDBY_ALIAS
from services.runtime.settings import ServiceSettings
from services.setup.app import MAPPINGS, SETTINGS, template

SET_UP = "newsflow setup"
MIGRATE = "newsflow index migrate"

COMPARED_SETTINGS = ("analysis", "mapping")
"""Parts of an index's settings that decide what can be found and what is refused. The others (shards, replicas,
refresh) are the operator's."""


class Kind(StrEnum):
    """In which way the running index is not the shipped one."""

    MISSING_FIELD = "missing_field"
    """The mapping lacks it; with it the index would refuse no document."""
    LATER_FIELD = "later_field"
    """A sub-field that came after the index was made: the documents from before it are not found by it."""
    OTHER_FIELD = "other_field"
    """Mapped otherwise; no index can change that."""
    OTHER_SETTING = "other_setting"
    """An analyzer or a limit that is not as shipped."""
    FOREIGN_FIELD = "foreign_field"
    """Not ours: no document of ours has it."""
    ALIAS = "alias"
    """Not there, or without its filter, or not where writes go."""
    STANDBY = "standby"
    """A second index takes every write too: a migration has not come to its end."""


HARMLESS = frozenset({Kind.FOREIGN_FIELD, Kind.STANDBY})
"""Kinds that are good to know of; the index does all that it should."""


@dataclass(frozen=True)
class Difference:
    """What is not as shipped. `field` is a dotted field or setting, or an alias or index; None is `not there`."""

    kind: Kind
    field: str
    running: Any
    shipped: Any
    todo: str


@dataclass(frozen=True)
class Running:
    """The index behind the alias, as Elasticsearch describes it."""

    index: str
    documents: int
    mappings: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def version(self) -> int:
        """Of the mapping that the index was made with; 0 where it does not say."""
        version = self.mappings.get("_meta", {}).get("version", 0)
        return version if isinstance(version, int) else 0


@dataclass(frozen=True)
class Comparison:
    """The running index beside the shipped template. `index` and `version` are None where there is no alias."""

    alias: str
    index: str | None
    version: int | None
    shipped_version: int
    documents: int
    standby: str | None
    differences: tuple[Difference, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing need be done."""
        return all(each.kind in HARMLESS for each in self.differences)


def compare(client: Elasticsearch, settings: ServiceSettings) -> Comparison:
    """Compare the index behind the alias of the articles with what set-up makes; raises the client's errors."""
    alias, standby_alias = settings.name(INDEX_ALIAS), settings.name(STANDBY_ALIAS)
    indices = _behind(client, alias)
    standby = next(iter(_behind(client, standby_alias)), None)
    found = list(check_alias(alias, indices))
    version, documents = None, 0
    name = _written(indices)
    if name is not None:
        running = _running(client, name)
        version, documents = running.version, running.documents
        found += check(running)
    if standby is not None:
        found.append(_standby(standby_alias, standby))
    return Comparison(alias, name, version, shipped_version(), documents, standby, tuple(found))


def _behind(client: Elasticsearch, alias: str) -> dict[str, dict[str, Any]]:
    """Index -> how the alias stands on it."""
    try:
        answer = client.indices.get_alias(name=alias)
    except NotFoundError:
        return {}
    return {index: each["aliases"][alias] for index, each in answer.items()}


def _written(indices: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The index that takes the writes, else the last by name."""
    written = [name for name, each in indices.items() if each.get("is_write_index")]
    return max(written or indices, default=None)


def _running(client: Elasticsearch, index: str) -> Running:
    found = client.indices.get(index=index)[index]
    # All of them, those that the alias hides included.
    documents = client.count(index=index)["count"]
    return Running(index, documents, found["mappings"], found["settings"]["index"])


def _standby(alias: str, index: str) -> Difference:
    return Difference(
        Kind.STANDBY,
        alias,
        index,
        None,
        f"{index} takes every write too: newsflow index migrate goes on with a switch that is not done, newsflow "
        "index back goes back to it, newsflow index finish gives it up",
    )


def check_alias(alias: str, indices: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    """What is wrong with the alias; `indices` is what it stands on, each with how."""
    if not indices:
        yield Difference(Kind.ALIAS, alias, None, dict(NOT_RETRACTED), f"{SET_UP} makes it")
    for index, each in indices.items():
        running = each.get("filter")
        if running != NOT_RETRACTED:
            todo = (
                f"{SET_UP} adds the filter"
                if running is None
                else "it has a filter of your own, which set-up leaves: without must_not exists "
                "retracted.time in it, retracted articles are hits"
            )
            yield Difference(Kind.ALIAS, f"{alias} on {index}", running, dict(NOT_RETRACTED), todo)
    # Of one index alone Elasticsearch takes it for granted, unless it is told otherwise.
    default = len(indices) == 1
    if indices and not any(each.get("is_write_index", default) for each in indices.values()):
        yield Difference(
            Kind.ALIAS,
            alias,
            sorted(indices),
            None,
            "no index behind it takes writes: give one of them is_write_index, or take the alias from the others",
        )


def shipped_version() -> int:
    """Of the mapping that this version ships."""
    version: int = template(MAPPINGS)["template"]["mappings"]["_meta"]["version"]
    return version


def check(running: Running) -> list[Difference]:
    """What the index is that it should not be, or lacks: fields first, by name, then settings."""
    shipped = template(MAPPINGS)["template"]
    ours, theirs = _flat(shipped["mappings"]["properties"]), _flat(running.mappings.get("properties", {}))
    later = _later(shipped["mappings"], running)
    differences = [
        _missing(name, mapping, ours, running) if name not in theirs else _other(name, theirs[name], mapping)
        for name, mapping in ours.items()
        if _topmost(name, ours, theirs) and theirs.get(name) != mapping
    ]
    differences += [
        Difference(
            Kind.LATER_FIELD,
            name,
            f"since version {running.version}",
            f"since version {since}",
            f"{MIGRATE}: a document from before version {since} is not found by it",
        )
        for name, since in later.items()
        if theirs.get(name) == ours[name] and running.documents
    ]
    differences += [
        Difference(
            Kind.FOREIGN_FIELD,
            name,
            mapping,
            None,
            "no document of ours has it: it costs nothing, and the next migration leaves it out",
        )
        for name, mapping in theirs.items()
        if name not in ours and _topmost(name, theirs, ours)
    ]
    return sorted(differences, key=lambda each: each.field) + list(_settings(running, shipped))


def _flat(properties: Mapping[str, Any], above: str = "") -> dict[str, dict[str, Any]]:
    """Dotted name -> parameters of every field, object and sub-field; numbers and truth values as in JSON."""
    found: dict[str, dict[str, Any]] = {}
    for name, mapping in properties.items():
        own = {key: value for key, value in mapping.items() if key not in ("properties", "fields")}
        found[f"{above}{name}"] = {"type": "object", **own} if "type" not in own else own
        for below in ("properties", "fields"):
            found |= _flat(mapping.get(below, {}), f"{above}{name}.")
    return found


def _topmost(name: str, its: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all that the field stands in is there too, in the same way: else only the outermost is told."""
    parts = name.split(".")
    above = [".".join(parts[:end]) for end in range(1, len(parts))]
    return all(each in others and _is_object(its[each]) == _is_object(others[each]) for each in above)


def _is_object(mapping: Mapping[str, Any]) -> bool:
    return bool(mapping["type"] == "object")


def _later(mappings: Mapping[str, Any], running: Running) -> dict[str, int]:
    """Sub-field -> the version since which it is there, of those that are younger than the index."""
    since = {
        name: int(version) for version, names in mappings["_meta"]["sub_fields_since"].items() for name in names
    }
    return {name: version for name, version in since.items() if version > running.version}


def _missing(
    name: str, mapping: Mapping[str, Any], ours: Mapping[str, Mapping[str, Any]], running: Running
) -> Difference:
    above = ours.get(name.rpartition(".")[0])
    # A sub-field is made from the text that is there; only a copy makes it for the documents of before.
    again = above is not None and not _is_object(above) and running.documents
    todo = f"{SET_UP} adds it" + (f", then {MIGRATE} for the documents that are there" if again else "")
    return Difference(Kind.MISSING_FIELD, name, None, mapping, todo)


def _other(name: str, running: Mapping[str, Any], shipped: Mapping[str, Any]) -> Difference:
    return Difference(Kind.OTHER_FIELD, name, running, shipped, f"{MIGRATE}: no index changes what a field is")


def _settings(running: Running, shipped: Mapping[str, Any]) -> Iterator[Difference]:
    """Dynamic fields, analyzers and limits that are not as shipped. What only the index has, it keeps."""
    if running.mappings.get("dynamic") != shipped["mappings"]["dynamic"]:
        now = running.mappings.get("dynamic")
        yield Difference(Kind.OTHER_SETTING, "dynamic", now, shipped["mappings"]["dynamic"], MIGRATE)
    wanted = {**shipped["settings"], **template(SETTINGS)["template"]["settings"]}
    for part in COMPARED_SETTINGS:
        ours, theirs = dict(_leaves(wanted[part], part)), dict(_leaves(running.settings.get(part, {}), part))
        for name, value in ours.items():
            if not _holds(name, theirs.get(name), value):
                yield Difference(Kind.OTHER_SETTING, name, theirs.get(name), value, MIGRATE)


def _holds(name: str, running: Any, shipped: Any) -> bool:
    """Whether the index has this setting as shipped, or has more room."""
    if name.endswith(".limit") and str(running).isdigit():
        return int(running) >= int(shipped)
    return bool(running == shipped)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Dotted setting -> its value, as Elasticsearch tells it: numbers are texts there."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    else:
        yield name, value if isinstance(value, list) else str(value)
