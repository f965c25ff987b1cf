"""What is told of an index that is not as this version makes it; with Elasticsearch's own words in tests/live."""

from __future__ import annotations

from typing import Any, cast

import pytest
from elasticsearch import Elasticsearch, NotFoundError

from schemas.document import INDEX_VERSION, NOT_RETRACTED
from services.runtime.settings import ServiceSettings
from services.setup.app import MAPPINGS, SETTINGS, template
from services.setup.comparison import Difference, Kind, Running, check, check_alias, compare, shipped_version

INDEX = "news-articles-v2-000001"
STANDING = {"filter": NOT_RETRACTED, "is_write_index": True}


def as_texts(settings: Any) -> Any:
    """As Elasticsearch tells settings: numbers and truth values are texts."""
    if isinstance(settings, dict):
        return {name: as_texts(value) for name, value in settings.items()}
    return settings if isinstance(settings, list) else str(settings)


class Index:
    """An index as set-up makes it, for a test to change."""

    def __init__(self, documents: int = 1) -> None:
        shipped = template(MAPPINGS)["template"]
        self.documents = documents
        self.mappings: dict[str, Any] = shipped["mappings"]
        self.fields: dict[str, Any] = self.mappings["properties"]
        self.settings = as_texts(shipped["settings"] | template(SETTINGS)["template"]["settings"])

    def differences(self) -> list[Difference]:
        return check(Running(INDEX, self.documents, self.mappings, self.settings))

    def told(self) -> dict[str, tuple[Kind, str]]:
        """Field -> kind and what to do."""
        return {each.field: (each.kind, each.todo) for each in self.differences()}


@pytest.fixture
def index() -> Index:
    return Index()


def test_an_index_of_this_version_fits(index: Index) -> None:
    assert index.differences() == []


def test_a_missing_field_is_told_once_with_what_set_up_adds(index: Index) -> None:
    retracted = index.fields.pop("retracted")
    [found] = index.differences()
    assert (found.kind, found.field, found.running) == (Kind.MISSING_FIELD, "retracted", None)
    assert found.shipped == {"type": "object"}
    assert retracted["properties"].keys() == {"time", "by", "reason", "hold", "withdrawn"}
    assert found.todo == "newsflow setup adds it"


@pytest.mark.parametrize(("documents", "then"), [(1, True), (0, False)])
def test_a_missing_sub_field_is_made_by_a_migration_for_what_is_there(documents: int, then: bool) -> None:
    index = Index(documents)
    del index.fields["headline"]["fields"]["de"]
    told = index.told()["headline.de"]
    assert told[0] is Kind.MISSING_FIELD
    assert told[1].startswith("newsflow setup adds it")
    assert ("newsflow index migrate" in told[1]) is then


@pytest.mark.parametrize("meta", [{"version": 1}, {}, None, {"version": "1"}, {"migration": {}}])
def test_sub_fields_that_are_younger_than_the_index_are_found_by_its_version(
    index: Index, meta: dict[str, Any] | None
) -> None:
    if meta is None:
        del index.mappings["_meta"]
    else:
        index.mappings["_meta"] = meta
    told = index.told()
    since = template(MAPPINGS)["template"]["mappings"]["_meta"]["sub_fields_since"]["2"]
    assert sorted(told) == sorted(since)
    assert {kind for kind, _ in told.values()} == {Kind.LATER_FIELD}
    assert all("newsflow index migrate" in todo for _, todo in told.values())


def test_an_empty_index_has_no_documents_that_lack_them() -> None:
    index = Index(documents=0)
    index.mappings["_meta"] = {"version": 1}
    assert index.differences() == []


def test_what_came_later_and_is_not_there_is_told_once(index: Index) -> None:
    index.mappings["_meta"] = {"version": 1}
    del index.fields["headline"]["fields"]["suggest"]
    assert index.told()["headline.suggest"][0] is Kind.MISSING_FIELD
    assert len([each for each in index.differences() if each.field == "headline.suggest"]) == 1


@pytest.mark.parametrize(
    ("field", "mapping"),
    [
        ("section", {"type": "long"}),
        ("section", {"type": "keyword", "ignore_above": 256}),
        ("section", {"type": "keyword", "ignore_above": 512, "index": False}),
        ("url", {"type": "keyword"}),
    ],
)
def test_a_field_that_is_mapped_otherwise_needs_a_migration(
    index: Index, field: str, mapping: dict[str, Any]
) -> None:
    index.fields[field] = mapping
    [found] = index.differences()
    assert (found.kind, found.field, found.running) == (Kind.OTHER_FIELD, field, mapping)
    assert "newsflow index migrate" in found.todo


def test_an_object_in_the_place_of_a_field_is_mapped_otherwise(index: Index) -> None:
    index.fields["section"] = {"properties": {"name": {"type": "keyword"}}}
    [found] = index.differences()
    assert (found.kind, found.field) == (Kind.OTHER_FIELD, "section")


def test_a_sub_field_that_is_mapped_otherwise_is_told_by_its_own_name(index: Index) -> None:
    index.fields["body"]["fields"]["fr"]["analyzer"] = "english"
    assert index.told() == {"body.fr": (Kind.OTHER_FIELD, index.differences()[0].todo)}


def test_fields_that_are_not_ours_do_no_harm(index: Index) -> None:
    index.fields["own"] = {"properties": {"rating": {"type": "integer"}}}
    index.fields["headline"]["fields"]["raw"] = {"type": "keyword"}
    assert {name: kind for name, (kind, _) in index.told().items()} == {
        "own": Kind.FOREIGN_FIELD,
        "headline.raw": Kind.FOREIGN_FIELD,
    }


def test_an_analyzer_that_is_not_as_shipped_needs_a_migration(index: Index) -> None:
    index.settings["analysis"]["analyzer"]["news_folded"]["filter"] = ["lowercase"]
    del index.settings["analysis"]["normalizer"]
    told = {each.field: (each.kind, each.running, each.shipped) for each in index.differences()}
    assert told["analysis.analyzer.news_folded.filter"] == (
        Kind.OTHER_SETTING,
        ["lowercase"],
        ["lowercase", "asciifolding"],
    )
    assert told["analysis.normalizer.folded.type"] == (Kind.OTHER_SETTING, None, "custom")
    assert all("newsflow index migrate" in todo for _, todo in index.told().values())


def test_what_an_operator_sets_is_no_difference(index: Index) -> None:
    index.settings |= {"number_of_replicas": "2", "refresh_interval": "30s", "number_of_shards": "3", "uuid": "x"}
    index.settings["mapping"]["total_fields"]["limit"] = "1000"
    index.settings["analysis"]["analyzer"]["own"] = {"type": "custom", "tokenizer": "standard"}
    assert index.differences() == []


def test_a_limit_below_ours_is_one(index: Index) -> None:
    index.settings["mapping"]["total_fields"]["limit"] = "100"
    [found] = index.differences()
    assert (found.field, found.running, found.shipped) == ("mapping.total_fields.limit", "100", "200")


def test_fields_that_come_by_themselves_are_told(index: Index) -> None:
    index.mappings["dynamic"] = "true"
    assert index.told().keys() == {"dynamic"}
    assert index.told()["dynamic"][0] is Kind.OTHER_SETTING


# ---------------------------------------------------------------- the alias


def test_an_alias_as_set_up_makes_it_is_well() -> None:
    assert list(check_alias("a", {INDEX: STANDING})) == []


def test_a_missing_alias_is_made_by_set_up() -> None:
    [found] = check_alias("a", {})
    assert (found.kind, found.field, found.todo) == (Kind.ALIAS, "a", "newsflow setup makes it")


def test_a_missing_filter_is_added_by_set_up() -> None:
    [found] = check_alias("a", {INDEX: {"is_write_index": True}})
    assert (found.field, found.todo) == (f"a on {INDEX}", "newsflow setup adds the filter")


def test_another_filter_is_the_operators_to_change() -> None:
    [found] = check_alias("a", {INDEX: {"filter": {"match_all": {}}}})
    assert found.running == {"match_all": {}}
    assert "newsflow setup" not in found.todo
    assert "retracted.time" in found.todo


@pytest.mark.parametrize("writes", [{}, {"is_write_index": False}])
def test_an_alias_on_several_indices_must_say_where_writes_go(writes: dict[str, Any]) -> None:
    hidden = {"filter": NOT_RETRACTED, **writes}
    [found] = check_alias("a", {"a-2": hidden, "a-1": hidden})
    assert found.running == ["a-1", "a-2"]
    assert list(check_alias("a", {"a-2": STANDING, "a-1": hidden})) == []


def test_one_index_that_takes_no_writes_is_told() -> None:
    [found] = check_alias("a", {INDEX: {"filter": NOT_RETRACTED, "is_write_index": False}})
    assert "no index behind it takes writes" in found.todo


# ---------------------------------------------------------------- as a whole


class Client:
    """Stands for the Elasticsearch client."""

    def __init__(self, index: Index, aliases: dict[str, dict[str, Any]]) -> None:
        self.index = index
        self.aliases = aliases
        self.indices = self

    def get_alias(self, name: str) -> dict[str, Any]:
        if name not in self.aliases:
            raise NotFoundError("", cast("Any", None), None)
        return {index: {"aliases": {name: each}} for index, each in self.aliases[name].items()}

    def get(self, index: str) -> dict[str, Any]:
        return {index: {"mappings": self.index.mappings, "settings": {"index": self.index.settings}}}

    def count(self, index: str) -> dict[str, int]:
        assert index.startswith("night-news-articles-v")
        return {"count": self.index.documents}


SETTINGS_OF_NIGHT = ServiceSettings(kafka_bootstrap_servers="127.0.0.1:1", newsflow_prefix="night-")
ALIAS, STANDBY = "night-news-articles", "night-news-articles-standby"


def compared(index: Index, aliases: dict[str, dict[str, Any]]) -> Any:
    return compare(cast("Elasticsearch", Client(index, aliases)), SETTINGS_OF_NIGHT)


def test_all_is_well(index: Index) -> None:
    found = compared(index, {ALIAS: {"night-news-articles-v2-000001": STANDING}})
    assert found.fits
    assert (found.alias, found.index, found.standby) == (ALIAS, "night-news-articles-v2-000001", None)
    assert (found.version, found.shipped_version, found.documents) == (INDEX_VERSION, INDEX_VERSION, 1)
    assert shipped_version() == INDEX_VERSION


def test_without_an_alias_nothing_is_compared(index: Index) -> None:
    found = compared(index, {})
    assert (found.fits, found.index, found.version, len(found.differences)) == (False, None, None, 1)


def test_the_index_that_takes_the_writes_is_compared(index: Index) -> None:
    hidden: dict[str, Any] = {"filter": NOT_RETRACTED}
    aliases = {ALIAS: {"night-news-articles-v1-000001": STANDING, "night-news-articles-v2-000001": hidden}}
    assert compared(index, aliases).index == "night-news-articles-v1-000001"


def test_a_second_index_is_told_and_does_no_harm(index: Index) -> None:
    aliases: dict[str, dict[str, Any]] = {
        ALIAS: {"night-news-articles-v2-000001": STANDING},
        STANDBY: {"night-news-articles-v2-000002": {"is_write_index": True}},
    }
    found = compared(index, aliases)
    assert found.fits
    assert found.standby == "night-news-articles-v2-000002"
    [told] = found.differences
    assert told.kind is Kind.STANDBY
    assert "newsflow index finish" in told.todo


def test_an_index_that_does_not_fit_says_so(index: Index) -> None:
    del index.fields["history"]
    found = compared(index, {ALIAS: {"night-news-articles-v2-000001": STANDING}})
    assert not found.fits
