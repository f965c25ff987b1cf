"""The contract as files for other languages: JSON Schema of each record, and one AsyncAPI document.

All of it is made from the models and `schemas/topics.py`; `newsflow schema export` writes it, and a test fails
when the files in `schemas/exported/` are not what this makes.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.article import RawArticle
from schemas.boilerplate import Line
from schemas.cloudevents import (
    ATTRIBUTE_NAME,
    BINARY_SPECVERSION,
    CONTENT_TYPE,
    EVENT_TYPE,
    JSON_MEDIA_TYPE,
    SPECVERSION,
    STRUCTURED,
    CloudEvent,
)
from schemas.dead_letter import FIRST_TIME, HEADERS_CUT, PREFIX, PURGED, REPLAYED, TIMESTAMP, DeadLetter
from schemas.document import ArticleDocument
from schemas.story import FingerprintsRecord, LinkRecord
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES, TOPICS, Topic

EXPORTED = Path(__file__).parent / "exported"
"""Where the exported files are kept."""

RAW_EXAMPLES = Path(__file__).parent / "examples" / ARTICLES_RAW.name / "valid"
"""Records that a producer may send, one a file; AsyncAPI shows each."""

VERSION = 1
"""Of the contract. A change that a producer or consumer must follow is a new version beside the old one."""

ASYNCAPI = "asyncapi"
DOCUMENT = "article-document"

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KAFKA_BINDING_VERSION = "0.5.0"

DATE_FIRST = r"^\s*[0-9]{4}-?W?[0-9]{2}"
"""Every ISO 8601 time that is taken begins so. More would refuse a form that the contract takes."""

ONE_TEXT: list[JsonSchemaValue] = [
    {
        "title": "Plain text",
        "required": ["body"],
        "properties": {"body": {"type": "string"}, "html": {"type": "null"}},
    },
    {
        "title": "HTML",
        "required": ["html"],
        "properties": {"html": {"type": "string"}, "body": {"type": "null"}},
    },
]
"""Exactly one of `body` and `html`; a null is as good as leaving the field out."""

BEYOND_JSON_SCHEMA = (
    f"What JSON Schema cannot say: a record has at most {MAX_RAW_BYTES:,} bytes of UTF-8; no field is given "
    "twice; no text holds half of a surrogate pair; `revision` is written without a decimal point; a time is a "
    "day that the calendar has. `newsflow schema check` tells these too."
)

RAW_EXAMPLE = {
    "publisher": "harbour-post.example",
    "url": "https://harbour-post.example/ferries/new-timetable",
    "headline": "Ferries will run every twenty minutes",
    "body": "The port authority has published a new timetable.\n\nIt comes into force in March.",
    "published": "2026-01-31T08:00:00Z",
    "language": "en",
}

EVENT_ATTRIBUTES = {
    "specversion": SPECVERSION,
    "id": "harbour-post:0417:1",
    "source": "/feeds/harbour-post",
    "type": EVENT_TYPE,
}
"""Of the event in the examples."""


def exported() -> dict[str, str]:
    """File name -> its content, for each file of `schemas/exported/`."""
    files = {schema_file(topic.name): _schema_of(topic) for topic in TOPICS if topic.record is not None}
    files[schema_file(DOCUMENT)] = _json_schema(ArticleDocument, DOCUMENT)
    files[f"{ASYNCAPI}.json"] = asyncapi()
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in files.items()}


def export(folder: Path) -> list[Path]:
    """Write the files into `folder`, which is made where it is missing; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in exported().items():
        path = folder / name
        path.write_bytes(content.encode())
        paths.append(path)
    return paths


def schema_file(name: str) -> str:
    """The file of the JSON Schema called `name`, a topic's name or `article-document`."""
    return f"{name}.v{VERSION}.schema.json"


class _Generator(GenerateJsonSchema):
    """What pydantic leaves out though JSON Schema can say it; and no title that only repeats a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - as pydantic calls it
        return False

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """A text that is stripped before its length is counted needs a character that is no white space."""
        made = super().str_schema(schema)
        if schema.get("strip_whitespace") and schema.get("min_length"):
            made["allOf"] = [{"pattern": r"\S"}]
        return made

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """A foreign producer's time is a text; `format: date-time` would refuse one without a zone."""
        made = super().function_before_schema(schema)
        if schema["schema"]["type"] == "datetime":
            made |= {"pattern": DATE_FIRST, "examples": ["2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00"]}
        return made


def _schema_of(topic: Topic) -> JsonSchemaValue:
    if topic.record is None:
        raise ValueError(f"{topic.name} holds bytes as they came, not records")
    schema = _json_schema(topic.record, topic.name)
    if topic.record is RawArticle:
        schema["description"] += f"\n\n{BEYOND_JSON_SCHEMA}"
        schema |= {"oneOf": ONE_TEXT, "examples": [RAW_EXAMPLE]}
    return schema


def _json_schema(model: type[BaseModel], name: str) -> JsonSchemaValue:
    schema = model.model_json_schema(schema_generator=_Generator)
    head = {
        "$schema": DIALECT,
        "$id": f"urn:newsflow:{name}:v{VERSION}",
        "title": schema.pop("title"),
        "description": schema.pop("description"),
    }
    definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    return head | schema | definitions


def asyncapi() -> JsonSchemaValue:
    """The topics, who sends and who receives on them, and their records, as AsyncAPI 3.1.0."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:newsflow",
        "info": {
            "title": "Newsflow",
            "version": f"{VERSION}.0.0",
            "description": "News articles on their way from a producer to Elasticsearch. Any Kafka client may "
            "write to `articles-raw`; the topics behind it are written by Newsflow's own services. Values are "
            "JSON in UTF-8; an article for `articles-raw` may come as a CloudEvent too. Who reads a topic behind "
            "`articles-raw` must pass over fields that it does not know. Addresses are without the prefix that an "
            "installation may put before its topics.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {
            name: operation
            for topic in TOPICS
            for action, services in (("send", topic.producers), ("receive", topic.consumers))
            for name, operation in (_operation(service, action, topic) for service in services)
        },
    }


def _channel(topic: Topic) -> JsonSchemaValue:
    return {
        "address": topic.name,
        "title": topic.name,
        "summary": topic.summary,
        "messages": _messages(topic),
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compacted else "delete"],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_bytes,
                    "message.timestamp.type": topic.timestamp_type,
                },
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _operation(service: str, action: str, topic: Topic) -> tuple[str, JsonSchemaValue]:
    slug = re.sub(r"[^a-z0-9]+", "-", service.lower())
    return f"{slug}-{action}s-{topic.name}", {
        "action": action,
        "title": f"{service} {action}s {topic.name}",
        "channel": {"$ref": f"#/channels/{topic.name}"},
    }


def _messages(topic: Topic) -> JsonSchemaValue:
    if topic.record is None:
        return _dead_letter_messages()
    messages = _record_message(topic)
    if topic.record is RawArticle:
        (plain,) = messages.values()
        plain["examples"] = raw_examples()
        messages |= _event_messages(plain) | _tombstone_message()
    return messages


def _record_message(topic: Topic) -> JsonSchemaValue:
    name = _schema_of(topic)["title"]
    article_id = "The article id: 32 hexadecimal digits, the same for the same article whoever sends it."
    key = (
        {
            "type": ["string", "null"],
            "description": f"{article_id} Another key is taken, and none: the cleaner works out the id itself.",
        }
        if topic.record is RawArticle
        else {
            "type": "string",
            "description": "Who found it (`learned`) or that a person did (`said`), the publisher, and the line.",
        }
        if topic.record is Line
        else {"type": "null", "description": "None: the partition says where it belongs."}
        if topic.record in (FingerprintsRecord, LinkRecord)
        else {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": article_id}
    )
    return {
        name: {
            "name": name,
            "title": name,
            "summary": topic.summary,
            "contentType": "application/json",
            "payload": {"$ref": f"./{schema_file(topic.name)}"},
            "bindings": _message_binding(key),
        }
    }


def raw_examples() -> list[JsonSchemaValue]:
    """The valid records of `schemas/examples/articles-raw/`, as AsyncAPI has examples."""
    paths = sorted(RAW_EXAMPLES.glob("*.json"))
    return [{"name": path.stem, "payload": json.loads(path.read_bytes())} for path in paths]


def _event_messages(plain: JsonSchemaValue) -> JsonSchemaValue:
    """An article as a CloudEvent, in both modes of the Kafka binding."""
    binary_headers = {f"ce_{name}": value for name, value in EVENT_ATTRIBUTES.items()}
    structured_headers = {CONTENT_TYPE: f"{STRUCTURED}; charset=UTF-8"}
    article = json.dumps(RAW_EXAMPLE).encode()
    in_base64 = EVENT_ATTRIBUTES | {"data_base64": base64.b64encode(article).decode()}
    return {
        "CloudEventBinary": plain
        | {
            "name": "CloudEventBinary",
            "title": "CloudEventBinary",
            "summary": "A CloudEvent in binary mode: its attributes are headers, the value is the article.",
            "headers": binary_headers_schema(),
            "examples": [{"name": "binary", "headers": binary_headers, "payload": RAW_EXAMPLE}],
        },
        "CloudEventStructured": plain
        | {
            "name": "CloudEventStructured",
            "title": "CloudEventStructured",
            "summary": "A CloudEvent in structured mode: the value is the envelope, with the article in it.",
            "contentType": STRUCTURED,
            "headers": structured_headers_schema(),
            "payload": envelope_schema(),
            "examples": [
                {
                    "name": "structured",
                    "headers": structured_headers,
                    "payload": EVENT_ATTRIBUTES | {"datacontenttype": "application/json", "data": RAW_EXAMPLE},
                },
                {"name": "structured-base64", "headers": structured_headers, "payload": in_base64},
            ],
        },
    }


def _tombstone_message() -> JsonSchemaValue:
    key = {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The id of the article that is taken out."}
    return {
        "Tombstone": {
            "name": "Tombstone",
            "title": "Tombstone",
            "summary": "A record without a value: the article that its key names is taken out of the index.",
            "contentType": "application/json",
            "payload": {"type": "null", "description": "No value at all; an empty one is no tombstone."},
            "bindings": _message_binding(key),
        }
    }


def binary_headers_schema() -> JsonSchemaValue:
    """The headers of an event in binary mode, each read as UTF-8; further `ce_` headers are passed over."""
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": [f"ce_{name}" for name in EVENT_ATTRIBUTES],
        "properties": {f"ce_{name}": text for name in EVENT_ATTRIBUTES}
        | {
            BINARY_SPECVERSION: {"type": "string", "const": SPECVERSION},
            CONTENT_TYPE: {
                "type": "string",
                "pattern": JSON_MEDIA_TYPE,
                "description": "The event's `datacontenttype`. Left out, the value is JSON too.",
            },
        },
    }


def structured_headers_schema() -> JsonSchemaValue:
    """The headers of an event in structured mode."""
    return {
        "type": "object",
        "required": [CONTENT_TYPE],
        "properties": {
            CONTENT_TYPE: {
                "type": "string",
                "pattern": rf"^{re.escape(STRUCTURED)}\s*(;|$)",
                "description": "Capital letters are as good as small ones.",
            }
        },
    }


def envelope_schema() -> JsonSchemaValue:
    """The value of an event in structured mode."""
    schema = CloudEvent.model_json_schema(schema_generator=_Generator)
    article = {"$ref": f"./{schema_file(ARTICLES_RAW.name)}"}
    schema["properties"]["data"] |= {"anyOf": [article, {"type": "null"}]}
    # The name of one member is no attribute's.
    schema["propertyNames"] = {"pattern": f"^({ATTRIBUTE_NAME}|data_base64)$"}
    schema["oneOf"] = [
        {
            "title": given,
            "required": [given],
            "properties": {given: {"type": kind}, other: {"type": "null"}},
        }
        for given, kind, other in (("data", "object", "data_base64"), ("data_base64", "string", "data"))
    ]
    return schema


def _dead_letter_messages() -> JsonSchemaValue:
    key = {
        "type": "string",
        "description": "The key of the failed record; where it had none, the dead letter's id.",
    }
    bytes_type = "application/octet-stream"
    return {
        "DeadLetter": {
            "name": "DeadLetter",
            "title": "DeadLetter",
            "summary": "A record that failed, with where and why in its headers.",
            "contentType": bytes_type,
            "headers": dead_letter_headers_schema(),
            "payload": {"description": "The value of the failed record, byte for byte."},
            "bindings": _message_binding(key),
        },
        "Replayed": _marker("Replayed", REPLAYED, "was published again", key),
        "Purged": _marker("Purged", PURGED, "was given up", key),
    }


def _marker(name: str, header: str, what: str, key: JsonSchemaValue) -> JsonSchemaValue:
    return {
        "name": name,
        "title": name,
        "summary": f"A marker: the dead letter that its header names {what}.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": [header],
            "properties": {header: {"type": "string", "description": "Id of the dead letter."}},
        },
        "payload": {"description": "Empty.", "maxLength": 0},
        "bindings": _message_binding(key),
    }


def dead_letter_headers_schema() -> JsonSchemaValue:
    """The headers of a dead letter, each read as UTF-8; what the failed record carried stays beside them."""
    # The id is not sent: it is made of the topic, the partition and the offset.
    fields = {name: field for name, field in DeadLetter.model_fields.items() if name != "id"}
    ours = {f"{PREFIX}{name.replace('_', '-')}": field for name, field in fields.items()}
    forms: dict[Any, JsonSchemaValue] = {
        str: {"type": "string"},
        int: {"type": "string", "pattern": "^[0-9]+$"},
        datetime: {"type": "string", "format": "date-time"},
    }
    properties = {name: forms[field.annotation] for name, field in ours.items()}
    had_no_value = {"type": "string", "const": "1", "description": "The failed record had no value at all."}
    cut = forms[int] | {"description": "So many of the failed record's own headers had no room."}
    return {
        "type": "object",
        "description": DeadLetter.__doc__,
        # Older dead letters lack the first times.
        "required": [name for name in ours if name not in (FIRST_TIME, TIMESTAMP)],
        "properties": properties | {f"{PREFIX}null": had_no_value, HEADERS_CUT: cut},
    }


def _message_binding(key: JsonSchemaValue) -> JsonSchemaValue:
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING_VERSION}}
