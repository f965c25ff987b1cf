"""What was promised to producers of `articles-raw` is kept: the contract of today against the released one.

`released/` holds the JSON Schema as it was released, and records that were valid then with what each of them means.
Neither is ever changed: a change that a producer must follow is a new version (docs/contract.md).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from schemas.article import Name, RawArticle, Text, Time, in_utc
from schemas.export import ONE_TEXT, _Generator, exported, schema_file
from schemas.identity import article_id
from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW, Topic
from tests.contract.examples import valid_examples

FOLDER = Path(__file__).parent / "released"
SCHEMA_FILE = FOLDER / schema_file(ARTICLES_RAW.name)
RECORDS_FILE = FOLDER / "articles-raw.v1.records.jsonl"

AS_RELEASED = {
    SCHEMA_FILE.name: "f2416de52d3cc5a572919ebafa51ff53594f3a1ed884f31601a3f32dcf904851",
    RECORDS_FILE.name: "d47e1f8c7349274c140535dc03d14657159df48e4d6cdd5a3bfbb1a81629c6b4",
}
"""SHA-256 of each file. Who changes one has to change it here too, and see what that means."""

Schema = dict[str, Any]

RELEASED: Schema = json.loads(SCHEMA_FILE.read_bytes())
TODAY: Schema = json.loads(exported()[schema_file(ARTICLES_RAW.name)])
RELEASED_VALIDATOR = Draft202012Validator(RELEASED)


@dataclass(frozen=True)
class ReleasedRecord:
    """A record that was valid when the contract was released, and what it meant."""

    name: str
    value: str
    article_id: str
    means: dict[str, Any]


RECORDS = [ReleasedRecord(**json.loads(line)) for line in RECORDS_FILE.read_bytes().split(b"\n") if line]


def plain(value: Any) -> Any:
    """A field as it is in `means`: times as ISO 8601 with the zone that they were given, tuples as lists."""
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def changed_meaning(record: ReleasedRecord, topic: Topic = ARTICLES_RAW) -> list[str]:
    """The fields that mean something else today, or why the record is refused."""
    try:
        article = read_record(topic, record.value.encode())
    except Refused as refused:
        return [refused.error]
    today = {name: plain(value) for name, value in article}
    found = [name for name, value in record.means.items() if name not in today or today[name] != value]
    return found if article_id(article) == record.article_id else [*found, "article id"]


# ---------------------------------------------------------------- two schemas compared

ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description", "examples", "deprecated", "readOnly", "writeOnly"}
"""Keywords that refuse nothing."""

JUDGED = {
    "type",
    "enum",
    "const",
    "default",
    "pattern",
    "required",
    "properties",
    "additionalProperties",
    "propertyNames",
    "items",
    "allOf",
    "anyOf",
    "oneOf",
}
"""Keywords with a rule of their own below. Of any other but a bound, each change counts as a break."""

UPPER = {"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"}
LOWER = {"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"}

MISSING = object()


def breaks(released: Schema, today: Schema, field: str = "") -> list[str]:
    """What `released` takes and `today` does not, each with its field; empty for the same and for additions.

    Careful where it cannot tell: a changed pattern counts as a narrower one.
    """
    if "anyOf" in released or "anyOf" in today:
        return _of_default(released, today, field) + _of_any(released, today, field)
    return [said for rule in RULES for said in rule(released, today, field)]


def _of_default(released: Schema, today: Schema, field: str) -> list[str]:
    """A field left out would mean something else."""
    same = released.get("default", MISSING) == today.get("default", MISSING)
    return [] if same else [f"{field}: another default"]


def _of_any(released: Schema, today: Schema, field: str) -> list[str]:
    found = []
    for branch in _branches(released):
        tries = [breaks(branch, other, field) for other in _branches(today)]
        of_its_type = [
            said for said, other in zip(tries, _branches(today), strict=True) if _types(branch) & _types(other)
        ]
        found += _fewest(of_its_type) if of_its_type else [f"{field}: {branch.get('type')} is no longer taken"]
    return found


def _branches(schema: Schema) -> list[Schema]:
    beside = {key: part for key, part in schema.items() if key not in ("anyOf", "default")}
    return [beside | branch for branch in schema["anyOf"]] if "anyOf" in schema else [beside]


def _types(schema: Schema) -> set[str]:
    stated = schema.get("type", ["string", "number", "boolean", "object", "array", "null"])
    types = {stated} if isinstance(stated, str) else set(stated)
    return types | {"integer"} if "number" in types else types


def _of_type(released: Schema, today: Schema, field: str) -> list[str]:
    lost = sorted(_types(released) - _types(today))
    return [f"{field}: {', '.join(lost)} is no longer taken"] if lost else []


def _of_values(released: Schema, today: Schema, field: str) -> list[str]:
    before, now = _values(released), _values(today)
    if now is None:
        return []
    if before is None:
        return [f"{field}: only some values are taken"]
    return [f"{field}: the value {value!r} is no longer taken" for value in before if value not in now]


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _of_bounds(released: Schema, today: Schema, field: str) -> list[str]:
    found = []
    for keyword in sorted(UPPER | LOWER):
        before, now = released.get(keyword), today.get(keyword)
        wider = now is None or (before is not None and (now >= before if keyword in UPPER else now <= before))
        found += [] if wider else [f"{field}: {keyword} was {before} and is {now}"]
    return found


def _of_pattern(released: Schema, today: Schema, field: str) -> list[str]:
    same = today.get("pattern") in (None, released.get("pattern"))
    return [] if same else [f"{field}: another pattern"]


def _of_conditions(released: Schema, today: Schema, field: str) -> list[str]:
    more = [part for part in today.get("allOf", []) if part not in released.get("allOf", [])]
    return [f"{field}: a further condition {part}" for part in more]


def _of_required(released: Schema, today: Schema, field: str) -> list[str]:
    newly = set(today.get("required", [])) - set(released.get("required", []))
    return [f"{_inside(field, name)}: newly required" for name in sorted(newly)]


def _of_properties(released: Schema, today: Schema, field: str) -> list[str]:
    before, now = released.get("properties", {}), today.get("properties", {})
    found = [f"{_inside(field, name)}: removed" for name in before if name not in now]
    for name in before.keys() & now.keys():
        found += breaks(before[name], now[name], _inside(field, name))
    others = released.get("additionalProperties", True)
    if others is not False:
        for name in now.keys() - before.keys():
            found += breaks({} if others is True else others, now[name], _inside(field, name))
    return found


def _of_other_properties(released: Schema, today: Schema, field: str) -> list[str]:
    before, now = released.get("additionalProperties", True), today.get("additionalProperties", True)
    if before is False or now is True:
        return []
    if now is False:
        return [f"{_inside(field, '*')}: further fields are no longer taken"]
    return breaks({} if before is True else before, now, _inside(field, "*"))


def _of_inner_schemas(released: Schema, today: Schema, field: str) -> list[str]:
    found = []
    for keyword, place in (("items", f"{field}[]"), ("propertyNames", f"{field} (its names)")):
        if keyword in today:
            found += breaks(released.get(keyword, {}), today[keyword], place)
    return found


def _of_choices(released: Schema, today: Schema, field: str) -> list[str]:
    if "oneOf" not in today:
        return []
    if "oneOf" not in released:
        return [f"{field}: a choice that there was not"]
    found = []
    for branch in released["oneOf"]:
        # Of what the whole refuses anyway a branch need not be asked.
        before, now = (
            {"additionalProperties": each.get("additionalProperties", True)} for each in (released, today)
        )
        found += _fewest([breaks(before | branch, now | other, field) for other in today["oneOf"]])
    return found


def _of_other_keywords(released: Schema, today: Schema, field: str) -> list[str]:
    others = today.keys() - ANNOTATIONS - JUDGED - UPPER - LOWER
    return [f"{field}: {keyword}" for keyword in sorted(others) if today[keyword] != released.get(keyword, MISSING)]


RULES: tuple[Callable[[Schema, Schema, str], list[str]], ...] = (
    _of_default,
    _of_type,
    _of_values,
    _of_bounds,
    _of_pattern,
    _of_conditions,
    _of_required,
    _of_properties,
    _of_other_properties,
    _of_inner_schemas,
    _of_choices,
    _of_other_keywords,
)


def _fewest(tries: list[list[str]]) -> list[str]:
    """Of several ways to be taken one is enough; where there is none, the nearest says why."""
    return min(tries, key=len)


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


# ---------------------------------------------------------------- what is promised, kept


def test_what_was_released_is_not_changed() -> None:
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()} == AS_RELEASED


def test_released_records_are_read_and_mean_the_same() -> None:
    changed = {record.name: changed_meaning(record) for record in RECORDS}
    assert {name: fields for name, fields in changed.items() if fields} == {}


def test_released_records_fit_both_schemas() -> None:
    today = Draft202012Validator(TODAY)
    values = {record.name: json.loads(record.value) for record in RECORDS}
    assert [name for name, value in values.items() if not RELEASED_VALIDATOR.is_valid(value)] == []
    assert [name for name, value in values.items() if not today.is_valid(value)] == []


def test_the_released_records_use_every_field_and_every_example() -> None:
    fields = set(RELEASED["properties"])
    assert {name for record in RECORDS for name in json.loads(record.value)} == fields
    assert all(record.means.keys() == fields for record in RECORDS)
    names = {example.path.stem for example in valid_examples() if example.topic is ARTICLES_RAW}
    assert len(names & {record.name for record in RECORDS}) >= 17
    assert len({record.name for record in RECORDS}) == len(RECORDS)


def test_nothing_that_was_taken_is_refused_by_the_schema_of_today() -> None:
    assert breaks(RELEASED, TODAY) == []


def test_the_version_is_the_released_one() -> None:
    assert TODAY["$id"] == RELEASED["$id"]


# ---------------------------------------------------------------- the comparison sees each kind of break


def schema_of(model: type[BaseModel]) -> Schema:
    """The schema that would be exported if this were the model."""
    return model.model_json_schema(schema_generator=_Generator) | {"oneOf": ONE_TEXT}


class NewlyRequired(RawArticle):
    section: Name


class NewlyRequiredHeadline(RawArticle):
    headline: str = Field()


class PublisherAsNumber(RawArticle):
    publisher: int = Field()  # type: ignore[assignment]


class SubjectsAsText(RawArticle):
    subjects: str = Field(default="")  # type: ignore[assignment]


class PatternAdded(RawArticle):
    byline: Annotated[str, StringConstraints(pattern=r"^By ")] | None = None


class PatternNarrowed(RawArticle):
    language: Annotated[str, StringConstraints(max_length=85, pattern=r"^[a-z]{2}$")] | None = None


class LengthLowered(RawArticle):
    language: (
        Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None
    ) = None


class LengthAdded(RawArticle):
    summary: Annotated[str, StringConstraints(max_length=1_000)] | None = None


class ItemsNarrowed(RawArticle):
    subjects: tuple[Annotated[str, StringConstraints(min_length=2)], ...] = ()


class ExtraValuesRestricted(RawArticle):
    extra: dict[Text, Literal["yes", "no"]] = Field(default={})  # type: ignore[assignment]


class ExtraNamesRestricted(RawArticle):
    extra: dict[Annotated[str, StringConstraints(min_length=1, max_length=20)], str] = Field(default={})


class RevisionBounded(RawArticle):
    revision: Annotated[int, Field(ge=1, le=2**53)] | None = None


class NullRefused(RawArticle):
    url: str = Field(default="")


class AnotherDefault(RawArticle):
    language: str | None = "en"


class SubjectsByDefault(RawArticle):
    subjects: tuple[Text, ...] = ("news",)


class FewerSubjects(RawArticle):
    subjects: tuple[Text, ...] = Field(default=(), max_length=5)


class TrimmedBody(RawArticle):
    body: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)] | None = None


BROKEN_MODELS: list[tuple[type[BaseModel], str]] = [
    (NewlyRequired, "section: newly required"),
    (NewlyRequiredHeadline, "headline: newly required"),
    (PublisherAsNumber, "publisher: string is no longer taken"),
    (SubjectsAsText, "subjects: array is no longer taken"),
    (PatternAdded, "byline: another pattern"),
    (PatternNarrowed, "language: another pattern"),
    (LengthLowered, "language: maxLength was 85 and is 35"),
    (LengthAdded, "summary: maxLength was None and is 1000"),
    (ItemsNarrowed, "subjects[]: minLength was 1 and is 2"),
    (ExtraValuesRestricted, "extra.*: only some values are taken"),
    (ExtraNamesRestricted, "extra (its names): maxLength was None and is 20"),
    (RevisionBounded, "revision: minimum was 0 and is 1"),
    (NullRefused, "url: null is no longer taken"),
    (AnotherDefault, "language: another default"),
    (SubjectsByDefault, "subjects: another default"),
    (FewerSubjects, "subjects: maxItems was None and is 5"),
    (TrimmedBody, "body: a further condition"),
]


@pytest.mark.parametrize(("model", "said"), BROKEN_MODELS, ids=lambda part: getattr(part, "__name__", ""))
def test_a_model_that_breaks_the_contract_is_seen_with_its_field(model: type[BaseModel], said: str) -> None:
    found = breaks(RELEASED, schema_of(model))
    assert [line for line in found if line.startswith(said)], found
    assert {field_of(line) for line in found} == {field_of(said)}


def field_of(line: str) -> str:
    found = re.match(r"\w*", line)
    assert found
    return found[0]


def _remove(name: str) -> Callable[[Schema], Any]:
    return lambda schema: schema["properties"].pop(name)


def _rename(name: str, new: str) -> Callable[[Schema], Any]:
    return lambda schema: schema["properties"].update({new: schema["properties"].pop(name)})


def _without_html(schema: Schema) -> None:
    schema["oneOf"] = schema["oneOf"][:1]


def _without_html_at_all(schema: Schema) -> None:
    _without_html(schema)
    del schema["properties"]["html"]


def _another_keyword(schema: Schema) -> None:
    schema["dependentRequired"] = {"modified": ["published"]}


def _unique(schema: Schema) -> None:
    schema["properties"]["subjects"]["uniqueItems"] = True


BROKEN_SCHEMAS: dict[str, tuple[Callable[[Schema], Any], str]] = {
    "removed": (_remove("byline"), "byline: removed"),
    "renamed": (_rename("headline", "title"), "headline: removed"),
    "html no longer alone": (_without_html, "html: string is no longer taken"),
    "no html at all": (_without_html_at_all, "html: removed"),
    "a keyword without a rule": (_another_keyword, ": dependentRequired"),
    "subjects once": (_unique, "subjects: uniqueItems"),
}


@pytest.mark.parametrize("change", BROKEN_SCHEMAS)
def test_a_schema_that_breaks_the_contract_is_seen_with_its_field(change: str) -> None:
    apply, said = BROKEN_SCHEMAS[change]
    schema = copy.deepcopy(RELEASED)
    apply(schema)
    assert said in breaks(RELEASED, schema)


def test_a_narrowed_enumeration_and_a_closed_map_are_seen() -> None:
    before = {"enum": ["a", "b"]}
    assert breaks(before, {"const": "a"}, "kind") == ["kind: the value 'b' is no longer taken"]
    assert breaks({"const": "a"}, before, "kind") == []
    assert breaks({"type": "object"}, {"type": "object", "additionalProperties": False}, "map") == [
        "map.*: further fields are no longer taken"
    ]
    assert breaks({"type": "number"}, {"type": "integer"}, "count") == ["count: number is no longer taken"]
    assert breaks({"type": "integer"}, {"type": "number"}, "count") == []


class FieldAdded(RawArticle):
    section: Name | None = None
    pages: tuple[int, ...] = ()


class Widened(RawArticle):
    language: Annotated[str, StringConstraints(max_length=100)] | None = None
    subjects: tuple[str, ...] = ()
    revision: Annotated[int, Field(ge=-1)] | None = None


class AnotherTypeToo(RawArticle):
    byline: str | tuple[str, ...] | None = None  # type: ignore[assignment]


class AnotherDescription(RawArticle):
    """Said in other words."""

    byline: str | None = Field(default=None, description="In other words.", examples=["By the news desk"])


def _third_text(schema: Schema) -> None:
    schema["properties"]["markdown"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    for branch in schema["oneOf"]:
        branch["properties"]["markdown"] = {"type": "null"}
    others = {"body": {"type": "null"}, "html": {"type": "null"}}
    schema["oneOf"].append({"required": ["markdown"], "properties": {"markdown": {"type": "string"}} | others})


@pytest.mark.parametrize("model", [RawArticle, FieldAdded, Widened, AnotherTypeToo, AnotherDescription])
def test_a_model_that_only_adds_is_no_break(model: type[BaseModel]) -> None:
    assert breaks(RELEASED, schema_of(model)) == []


def test_a_third_kind_of_text_is_no_break() -> None:
    schema = copy.deepcopy(RELEASED)
    _third_text(schema)
    assert breaks(RELEASED, schema) == []


# ---------------------------------------------------------------- the released records see what no schema says


class KeepsSpaces(RawArticle):
    publisher: Text


class TimesInUtc(RawArticle):
    published: Annotated[Time, AfterValidator(in_utc)] | None = None


class ShortHeadlines(RawArticle):
    headline: Annotated[str, AfterValidator(lambda text: _refuse(len(text) > 25, text))] | None = None


def _refuse(wrong: bool, value: Any) -> Any:
    if wrong:
        raise ValueError("is no longer taken")
    return value


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (KeepsSpaces, {"publisher", "article id"}),
        (TimesInUtc, {"published"}),
        (ShortHeadlines, {"headline: is no longer taken"}),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_another_meaning_is_seen_with_its_field(model: type[BaseModel], said: set[str]) -> None:
    topic = replace(ARTICLES_RAW, record=model)
    assert breaks(RELEASED, schema_of(model)) == [] or model is KeepsSpaces
    assert {line for record in RECORDS for line in changed_meaning(record, topic)} == said


# ---------------------------------------------------------------- records that nobody thought of

LONGER = st.integers(1, 40).map("Words ".__mul__)
TEXT = st.text(max_size=40) | LONGER
FILLED = st.text(min_size=1, max_size=40) | LONGER
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in (*range(32), 127)]),
    min_size=1,
)
ZONES = st.none() | st.just(UTC) | st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
YEARS = (datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 - their zone is drawn


@st.composite
def times(draw: st.DrawFn) -> str:
    time = draw(st.datetimes(*YEARS)).replace(tzinfo=draw(ZONES))
    text = time.isoformat(
        draw(st.sampled_from("T ")), draw(st.sampled_from(["minutes", "seconds", "milliseconds"]))
    )
    return draw(st.sampled_from([text, f" {text}", time.date().isoformat(), time.strftime("%G-W%V-%u").zfill(10)]))


@st.composite
def urls(draw: st.DrawFn) -> str:
    host = draw(
        st.sampled_from(["harbour-post.example", "Harbour.Example", "港口.example", "192.0.2.7", "[2001:db8::1]"])
    )
    port = draw(st.just("") | st.integers(1, 65_535).map(lambda number: f":{number}"))
    return f"{draw(st.sampled_from(['http', 'https']))}://{host}{port}{draw(st.just('') | TEXT.map('/{}'.format))}"


SUBTAGS = st.text("abcXYZ019", min_size=1, max_size=8)
LANGUAGES = st.builds(
    "-".join,
    st.builds(
        lambda first, more: [first, *more], st.text("enPT", min_size=2, max_size=8), st.lists(SUBTAGS, max_size=5)
    ),
)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "publisher": NAMES,
    "body": st.none() | FILLED,
    "html": st.none() | FILLED,
    "id": st.none() | NAMES,
    "url": st.none() | urls(),
    "headline": st.none() | TEXT,
    "summary": st.none() | TEXT,
    "byline": st.none() | TEXT,
    "published": st.none() | times(),
    "modified": st.none() | times(),
    "language": st.none() | LANGUAGES,
    "subjects": st.lists(FILLED, max_size=4),
    "copyright_notice": st.none() | TEXT,
    "producer": st.none() | NAMES,
    "revision": st.none() | st.integers(0, 2**63 - 1) | st.just(2**63 - 1),
    "extra": st.dictionaries(FILLED, TEXT, max_size=4),
}
"""Field of the released schema -> values for it. What JSON Schema cannot say (its description tells) holds for all:
no half of a surrogate pair, addresses with a host, days that the calendar has, integers without a point."""

ONE_TEXT_ONLY = st.sampled_from(["body", "html"]).flatmap(lambda name: st.fixed_dictionaries({name: FILLED}))


def sent(*always: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records that the released schema takes, with these fields or a null in their place."""
    texts = {name: STRATEGIES[name] for name in ("body", "html")}
    others = {name: values for name, values in STRATEGIES.items() if name not in texts}
    required = {name: others.pop(name) for name in ("publisher", *always) if name in others}
    records = st.fixed_dictionaries(required, optional=others)
    one_text = ONE_TEXT_ONLY | st.fixed_dictionaries({}, optional=texts)
    return st.builds(dict[str, Any].__or__, records, one_text).filter(RELEASED_VALIDATOR.is_valid)


def refusal_of(record: dict[str, Any], topic: Topic = ARTICLES_RAW) -> str | None:
    try:
        read_record(topic, json.dumps(record).encode())
    except Refused as refused:
        return refused.error
    return None


def test_there_are_values_for_each_released_field() -> None:
    assert STRATEGIES.keys() == RELEASED["properties"].keys()


@given(sent())
def test_whatever_the_released_schema_takes_is_taken_today(record: dict[str, Any]) -> None:
    assert refusal_of(record) is None


FIRST_FOUND = settings(max_examples=2_000, derandomize=True, database=None, phases=[Phase.generate])
"""Without the search for a smaller one."""


class FewExtras(RawArticle):
    extra: Annotated[dict[Text, str], AfterValidator(lambda value: _refuse(len(value) > 3, value))] = Field(
        default={}
    )


class SmallLanguages(RawArticle):
    language: Annotated[str, AfterValidator(lambda value: _refuse(value != value.lower(), value))] | None = None


class NoPort(RawArticle):
    url: Annotated[str, AfterValidator(lambda value: _refuse(":" in value[8:], value))] | None = None


class ZonedTimes(RawArticle):
    modified: Annotated[Time, AfterValidator(lambda value: _refuse(value.tzinfo is None, value))] | None = None


class SafeRevisions(RawArticle):
    revision: Annotated[int, AfterValidator(lambda value: _refuse(value > 2**53, value))] | None = None


class OnlyPlainText(RawArticle):
    html: Annotated[str, AfterValidator(lambda value: _refuse(True, value))] | None = None


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (FewExtras, "extra"),
        (SmallLanguages, "language"),
        (NoPort, "url"),
        (ZonedTimes, "modified"),
        (SafeRevisions, "revision"),
        (OnlyPlainText, "html"),
        (ShortHeadlines, "headline"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_model_that_refuses_more_than_its_schema_says_is_found(model: type[BaseModel], field: str) -> None:
    topic = replace(ARTICLES_RAW, record=model)
    refused = find(sent(field), lambda record: refusal_of(record, topic) is not None, settings=FIRST_FOUND)
    assert (refusal_of(refused, topic) or "").startswith(f"{field}: ")
