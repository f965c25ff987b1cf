"""Articles as CloudEvents: what AsyncAPI says of them, what the reader takes, and the cleaner's child process."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.article import CleanArticle, Paragraph, RawArticle
from schemas.cloudevents import Header, unwrap
from schemas.dead_letter import dead_letter_headers, read_dead_letter
from schemas.export import EVENT_ATTRIBUTES, envelope_schema, exported
from schemas.reading import Refused, read_record
from schemas.retraction import is_article_id
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW, Topic
from services.runtime import step as step_module
from services.runtime.remembering import Record
from services.runtime.settings import StageSettings
from services.runtime.stage import _tasks
from services.runtime.step import Failure, Received, Result, Stage, Step, Verdict, run_chunk
from tests.contract.examples import InvalidExample, invalid_examples, valid_examples

CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
RAW_FILE = "./articles-raw.v1.schema.json"
MESSAGES = json.loads(exported()["asyncapi.json"])["channels"][ARTICLES_RAW.name]["messages"]

STRUCTURED: list[Header] = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
BINARY: list[Header] = [(f"ce_{name}", text.encode()) for name, text in EVENT_ATTRIBUTES.items()]

VALID = [example for example in valid_examples() if example.topic is ARTICLES_RAW]
INVALID = [example for example in invalid_examples() if example.topic is ARTICLES_RAW]


def in_data(article: bytes) -> bytes:
    """An envelope with these very bytes in it, so that what JSON libraries mend stays broken."""
    return json.dumps(EVENT_ATTRIBUTES | {"data": "?"}).encode().replace(b'"?"', article)


def in_base64(article: bytes) -> bytes:
    return json.dumps(EVENT_ATTRIBUTES | {"data_base64": base64.b64encode(article).decode()}).encode()


def resolved(schema: Any) -> Any:
    """The schema with the article's own in its place."""
    if isinstance(schema, dict):
        if schema.get("$ref") == RAW_FILE:
            return {key: part for key, part in json.loads(exported()[RAW_FILE[2:]]).items() if key != "$id"}
        return {key: resolved(part) for key, part in schema.items()}
    return [resolved(part) for part in schema] if isinstance(schema, list) else schema


ENVELOPES = Draft202012Validator(resolved(envelope_schema()))


def shown() -> list[tuple[str, dict[str, Any]]]:
    """Name of the message and an example of it, for each example of AsyncAPI."""
    return [(name, example) for name, message in MESSAGES.items() for example in message.get("examples", ())]


def headers_of(example: dict[str, Any]) -> list[Header]:
    return [(name, text.encode()) for name, text in example.get("headers", {}).items()]


def read(value: bytes, headers: Sequence[Header]) -> Any:
    return read_record(ARTICLES_RAW, unwrap(value, headers))


def is_read(value: bytes, headers: Sequence[Header]) -> bool:
    try:
        read(value, headers)
    except Refused:
        return False
    return True


# ---------------------------------------------------------------- what AsyncAPI says


def test_the_open_channel_has_a_message_for_each_mode() -> None:
    assert list(MESSAGES) == ["RawArticle", "CloudEventBinary", "CloudEventStructured", "Tombstone"]
    assert len(MESSAGES["CloudEventStructured"]["examples"]) == 2


@pytest.mark.parametrize("key", ["8f3a5c0d9b7e4f21a6d2c4e8b1f09357", "8F3A5C0D9B7E4F21A6D2C4E8B1F09357", "7", ""])
def test_a_tombstone_is_shown_with_the_keys_that_make_it_one(key: str) -> None:
    schema = Draft202012Validator(MESSAGES["Tombstone"]["bindings"]["kafka"]["key"])
    assert schema.is_valid(key) == is_article_id(key.encode())
    payload = Draft202012Validator(MESSAGES["Tombstone"]["payload"])
    assert (payload.is_valid(None), payload.is_valid({}), payload.is_valid("")) == (True, False, False)


def test_every_valid_example_is_shown_as_it_is() -> None:
    examples = {example["name"]: example["payload"] for example in MESSAGES["RawArticle"]["examples"]}
    assert examples == {example.path.stem: json.loads(example.value) for example in VALID}


def test_what_is_shown_fits_its_schemas_and_is_read() -> None:
    payloads = {name: Draft202012Validator(resolved(MESSAGES[name]["payload"])) for name, _ in shown()}
    headers = {name: Draft202012Validator(MESSAGES[name].get("headers", {})) for name, _ in shown()}
    unfit = [
        (name, example["name"])
        for name, example in shown()
        if not payloads[name].is_valid(example["payload"])
        or not headers[name].is_valid(example.get("headers", {}))
        or not isinstance(read(json.dumps(example["payload"]).encode(), headers_of(example)), RawArticle)
    ]
    assert unfit == []


def test_the_same_article_is_shown_in_each_mode() -> None:
    articles = [
        read(json.dumps(example["payload"]).encode(), headers_of(example))
        for name, example in shown()
        if name != "RawArticle"
    ]
    assert len(articles) == 3
    assert articles[0] == articles[1] == articles[2]


@pytest.mark.parametrize("mode", ["CloudEventBinary", "CloudEventStructured"])
def test_the_schema_of_the_headers_asks_for_what_the_mode_needs(mode: str) -> None:
    headers = Draft202012Validator(MESSAGES[mode]["headers"])
    complete = MESSAGES[mode]["examples"][0]["headers"]
    for name in complete:
        assert not headers.is_valid({key: text for key, text in complete.items() if key != name}), name
        assert not headers.is_valid(complete | {name: ""}), name
    assert not headers.is_valid(complete | {"content-type": "application/cloudevents-batch"})


def test_the_schema_of_an_envelope_is_valid_itself() -> None:
    Draft202012Validator.check_schema(envelope_schema())


ARTICLE = {"publisher": "harbour-post.example", "body": "x"}
ARTICLE_BASE64 = base64.b64encode(json.dumps(ARTICLE).encode()).decode()
ODD: list[Any] = [None, "", "x", 7, True, [], {}]
TRIED: dict[str, list[Any]] = {
    "specversion": [*ODD, "1.0", "0.3"],
    "id": ODD,
    "source": ODD,
    "type": ODD,
    "subject": ODD,
    "time": ODD,
    "dataschema": ODD,
    "datacontenttype": [*ODD, "application/json", "text/json; a=b", "a/b+JSON", "text/plain", "application/jsonl"],
    "data": [None, [], {}, "x", ARTICLE, ARTICLE | {"html": "x"}, ARTICLE | {"pages": 3}],
    "data_base64": [None, 7, {}, ARTICLE_BASE64],
    "traceparent": ODD,
    "dataContentType": ["x"],
    "a_b": ["x"],
}
"""Member of an envelope -> values to try in it, good ones and bad ones. Into base64 JSON Schema cannot see."""


@given(
    st.sampled_from([{"data": ARTICLE}, {"data_base64": ARTICLE_BASE64}, {}]),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(pool) for name, pool in TRIED.items()})
    | st.sampled_from([{name: value} for name, pool in TRIED.items() for value in pool]),
    st.sets(st.sampled_from(list(EVENT_ATTRIBUTES)), max_size=1),
)
def test_schema_and_reader_take_and_refuse_the_same_envelopes(
    article: dict[str, Any], more: dict[str, Any], left_out: set[str]
) -> None:
    event = {key: value for key, value in (EVENT_ATTRIBUTES | article | more).items() if key not in left_out}
    assert ENVELOPES.is_valid(event) == is_read(json.dumps(event).encode(), STRUCTURED)


# ---------------------------------------------------------------- each example in each mode


def test_valid_examples_are_the_same_record_in_each_mode() -> None:
    modes: dict[str, Callable[[bytes], Any]] = {
        "binary": lambda article: read(article, BINARY),
        "structured": lambda article: read(in_data(article), STRUCTURED),
        "base64": lambda article: read(in_base64(article), STRUCTURED),
    }
    other = [
        (str(example), mode)
        for example in VALID
        for mode, read_in_mode in modes.items()
        if read_in_mode(example.value) != read_record(ARTICLES_RAW, example.value)
    ]
    assert other == []


NO_DATA = {"byte-order-mark", "cut-off", "no-bytes", "not-an-object", "only-a-text", "two-records"}
"""Invalid examples that make an envelope invalid when they stand in it: they are refused with its reason."""


def test_invalid_examples_are_refused_in_each_mode_with_their_field_named() -> None:
    wrong = {}
    for example in INVALID:
        values: list[tuple[bytes, list[Header]]] = [(example.value, BINARY)]
        if example.value:
            values.append((in_base64(example.value), STRUCTURED))
        if example.path.stem in NO_DATA:
            assert not is_read(in_data(example.value), STRUCTURED), example
        else:
            values.append((in_data(example.value), STRUCTURED))
        found = [refusal_of(example, value, headers) for value, headers in values]
        if any(found):
            wrong[str(example)] = found
    assert wrong == {}


def refusal_of(example: InvalidExample, value: bytes, headers: list[Header]) -> str | None:
    """What is wrong with the refusal; None where it has the reason and names the field of the example."""
    try:
        return f"read: {read(value, headers)}"
    except Refused as refused:
        right = refused.reason == example.reason and example.error_contains in refused.error
        return None if right else f"{refused.reason}: {refused.error}"


# ---------------------------------------------------------------- in the cleaner's processes


def load_nothing(_: StageSettings) -> Step:
    raise AssertionError("a test gives the step itself")


def pass_on(records: Sequence[Received[RawArticle]]) -> list[CleanArticle]:
    return [
        CleanArticle(
            id="0" * 32,
            revision=0,
            received=record.time,
            publisher=record.article.publisher,
            language="en",
            language_confidence=1,
            kept=(Paragraph(index=0, text=record.article.body or ""),),
        )
        for record in records
    ]


def pass_clean(records: Sequence[Received[CleanArticle]]) -> list[CleanArticle]:
    return [record.article for record in records]


def record(value: bytes | None, headers: list[Header]) -> Record:
    return Record("articles-raw", 0, 7, b"key", value, 1_767_225_600.0, headers)


def work(
    monkeypatch: pytest.MonkeyPatch, records: Sequence[Record], source: Topic = ARTICLES_RAW, step: Any = pass_on
) -> list[Verdict]:
    """What the child process of a stage makes of these records, given it as the parent gives them."""
    monkeypatch.setattr(step_module, "_loaded", (Stage("s", source, ARTICLES_CLEAN, load_nothing), step))
    return run_chunk(_tasks(records))


PACKED: dict[str, tuple[bytes, list[Header]]] = {
    "plain": (json.dumps(ARTICLE).encode(), []),
    "binary": (json.dumps(ARTICLE).encode(), BINARY),
    "structured": (in_data(json.dumps(ARTICLE).encode()), [("trace", b"\xff"), *STRUCTURED, ("ce_other", b"1")]),
    "base64": (in_base64(json.dumps(ARTICLE).encode()), STRUCTURED),
}


def test_records_of_every_mode_go_through_the_stage_in_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = json.dumps([EVENT_ATTRIBUTES | {"data": ARTICLE}]).encode()
    broken = [
        record(PACKED["structured"][0], []),
        record(PACKED["plain"][0], STRUCTURED),
        record(PACKED["plain"][0], [("ce_specversion", b"0.3")]),
        record(batch, [("content-type", b"application/cloudevents-batch+json")]),
        record(in_data(b'{"publisher": "a", "body": "x", "hedline": "y"}'), STRUCTURED),
        record(None, STRUCTURED),
    ]
    good = [record(*packed) for packed in PACKED.values()]
    verdicts = work(monkeypatch, [*broken[:3], *good, *broken[3:]])
    results = verdicts[3:7]
    assert all(isinstance(verdict, Result) for verdict in results)
    assert len({verdict.value for verdict in results if isinstance(verdict, Result)}) == 1
    failures = [verdict for verdict in verdicts if isinstance(verdict, Failure)]
    assert [failure.reason for failure in failures] == [
        "invalid_record",
        "invalid_envelope",
        "invalid_envelope",
        "invalid_envelope",
        "invalid_record",
        "empty",
    ]
    named = ["specversion: unknown field", "specversion: ", "ce_specversion: ", "batch", "hedline: unknown field"]
    for failure, words in zip(failures, named, strict=False):
        assert words in failure.error


def test_only_the_open_topic_has_envelopes(monkeypatch: pytest.MonkeyPatch) -> None:
    (passed,) = pass_on([Received(RawArticle(publisher="a", body="x"), datetime(2026, 1, 1, tzinfo=UTC))])
    clean = record(passed.model_dump_json().encode(), STRUCTURED)
    (verdict,) = work(monkeypatch, [clean], ARTICLES_CLEAN, pass_clean)
    assert isinstance(verdict, Result)


def test_a_dead_letter_keeps_what_says_how_its_record_is_packed() -> None:
    """So that the record, published again, is read as it was the first time."""
    failed = dead_letter_headers(
        topic="articles-raw",
        partition=0,
        offset=7,
        stage="cleaner",
        reason="invalid_envelope",
        error="specversion: Input should be '1.0'",
        headers=[*STRUCTURED, *BINARY],
        null=False,
    )
    assert [pair for pair in failed if not pair[0].startswith("x-dlq-")] == [*STRUCTURED, *BINARY]
    assert read_dead_letter(failed).attempt == 1


def documented() -> list[tuple[bytes, list[Header]]]:
    """The examples of docs/contract.md: lines of headers, an empty line, the value."""
    blocks = re.findall(r"^```\n(.*?)^```", CONTRACT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    parts = [block.split("\n\n", maxsplit=1) for block in blocks]
    pairs = [([line.partition(": ") for line in head.splitlines()], value) for head, value in parts]
    return [(value.encode(), [(name, text.encode()) for name, _, text in head]) for head, value in pairs]


def test_the_documented_examples_are_one_article_in_both_modes() -> None:
    (binary, binary_headers), (structured, structured_headers) = documented()
    assert read(binary, binary_headers) == read(structured, structured_headers)
    assert [name for name, _ in binary_headers[:4]] == [f"ce_{name}" for name in EVENT_ATTRIBUTES]
