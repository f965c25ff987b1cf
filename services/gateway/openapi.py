"""The gateway's interface as an OpenAPI 3.1 document, made from the contract of `articles-raw`."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from schemas.export import EXPORTED, RAW_EXAMPLE, VERSION, exported, schema_file
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services.gateway.core import CONTENT_TYPES, PROOF, SHOWN_PROBLEMS, Form

FILE = "gateway.openapi.json"

ANSWERS = {
    HTTPStatus.ACCEPTED: "Kafka has confirmed every article; their ids, in the order in which they came.",
    HTTPStatus.BAD_REQUEST: "Not JSON, not gzip, or nothing at all. Nothing was taken.",
    HTTPStatus.UNAUTHORIZED: "No key, or one that the gateway does not know.",
    HTTPStatus.FORBIDDEN: "The key may not send for this publisher. Nothing was taken.",
    HTTPStatus.NOT_FOUND: "No such path.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Another method than those of the path, which `allow` names.",
    HTTPStatus.REQUEST_TIMEOUT: "The body came in too slowly. Nothing was taken.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body, a record or the number of lines is over a limit. Nothing was "
    "taken.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Another content type or encoding than those that are taken.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "JSON, but not what the contract says; each wrong line is named with its "
    "field. Nothing was taken.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too much is on its way to Kafka: send it again after `retry-after`.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A bug of the gateway. The articles may have been taken or not; sending them "
    "twice is harmless.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Kafka has not confirmed in time, or too many connections are open: send it "
    "again after `retry-after`. Sending twice is harmless.",
}
"""Every status that the gateway answers with, and what it means."""

DELETE_ANSWERS = ANSWERS | {
    HTTPStatus.ACCEPTED: "Kafka has confirmed that the article is taken out; its id.",
    HTTPStatus.BAD_REQUEST: "The request did not come to its end. Nothing was taken.",
    HTTPStatus.REQUEST_TIMEOUT: "A body, which is not needed, did not come to its end. Nothing was taken.",
    HTTPStatus.FORBIDDEN: "The key is for some publishers only, and the parameters don't show that the article is "
    "one of theirs.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What stands in the path is no article id, or a parameter cannot be used.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A bug of the gateway. The article may be taken out or not; asking twice is "
    "harmless.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Kafka has not confirmed in time, or too many connections are open: send it "
    "again after `retry-after`. Asking twice is harmless.",
}
"""The same for taking an article out."""

NOT_FOR_DELETE = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
"""About what is in a body: this request needs none."""

RETRY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

ERROR_EXAMPLE = {
    "errors": [
        {
            "line": 1,
            "field": "hedline",
            "reason": "invalid_record",
            "error": "hedline: unknown field: leave it out, or put it into `extra` as a text",
        }
    ]
}


@cache
def openapi() -> dict[str, Any]:
    """The document."""
    article = json.loads(exported()[schema_file(ARTICLES_RAW.name)])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Newsflow gateway",
            "version": f"{VERSION}.0.0",
            "description": "Articles over HTTP, for those who don't speak Kafka.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/articles": {"post": _post()},
            "/v1/articles/{id}": {"delete": _delete()},
            "/openapi.json": {"get": _get()},
        },
        "components": {
            "schemas": {"RawArticle": article, "Accepted": ACCEPTED, "Errors": ERRORS},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key of the gateway's keys file."}
            },
        },
    }


def export(folder: Path = EXPORTED) -> Path:
    """Write the document into `folder`; returns its path."""
    path = folder / FILE
    path.write_bytes((json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n").encode())
    return path


ARTICLE_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}

RAW_EXAMPLE_ID = article_id(read_record(ARTICLES_RAW, json.dumps(RAW_EXAMPLE).encode()))

ACCEPTED = {
    "type": "object",
    "required": ["accepted"],
    "properties": {
        "accepted": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": ARTICLE_ID},
            },
        }
    },
}

ERRORS = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "maxItems": SHOWN_PROBLEMS,
            "items": {
                "type": "object",
                "required": ["line", "field", "reason", "error"],
                "properties": {
                    "line": {"type": ["integer", "null"], "description": "From 1; null: the request as a whole."},
                    "field": {"type": ["string", "null"], "description": "The first field that is wrong."},
                    "reason": {"type": "string", "description": "One short word, for counting."},
                    "error": {"type": "string", "description": "What is wrong, for people, and what to do."},
                },
            },
        }
    },
}


def _post() -> dict[str, Any]:
    return {
        "operationId": "sendArticles",
        "summary": "Send articles. All of them are taken, or none.",
        "description": "Answers when Kafka has confirmed them. With `ce-*` headers and application/json it is a "
        "CloudEvent in binary mode. `content-encoding: gzip` is taken. Sending an article twice is harmless.",
        # A gateway on loopback may run without keys.
        "security": [{"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {media: _media(form) for media, form in CONTENT_TYPES.items()},
        },
        "responses": {str(status.value): _answer(status, text) for status, text in ANSWERS.items()},
    }


def _delete() -> dict[str, Any]:
    proof = (
        "What the article's record had in this field. For a key that is for some publishers only: `publisher`, and "
        "`id` or `url`, show whose article it is. Others need none of them."
    )
    parameters: list[dict[str, Any]] = [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The article id, as the answer to the article names it.",
            "schema": ARTICLE_ID,
            "example": RAW_EXAMPLE_ID,
        }
    ]
    parameters += [
        {"name": name, "in": "query", "description": proof, "schema": {"type": "string", "minLength": 1}}
        for name in PROOF
    ]
    return {
        "operationId": "retractArticle",
        "summary": "Take an article out.",
        "description": "Answers when Kafka has confirmed the tombstone; the article is gone from the index moments "
        "later. An id that was never sent is taken too, and so is one a second time. Sent again with a newer "
        "revision, the article comes in again.",
        "security": [{"key": []}, {}],
        "parameters": parameters,
        "responses": {
            str(status.value): _answer(status, text)
            for status, text in DELETE_ANSWERS.items()
            if status not in NOT_FOR_DELETE
        },
    }


def _media(form: Form) -> dict[str, Any]:
    if form is Form.ARTICLE:
        return {"schema": {"$ref": "#/components/schemas/RawArticle"}, "example": RAW_EXAMPLE}
    if form is Form.LINES:
        line = json.dumps(RAW_EXAMPLE, ensure_ascii=False)
        return {
            "schema": {"type": "string", "description": "A RawArticle a line."},
            "example": f"{line}\n",
        }
    return {
        "schema": {
            "type": "object",
            "description": "A CloudEvent 1.0 in structured mode with the article in `data`.",
            "required": ["specversion", "id", "source", "type", "data"],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1},
                "source": {"type": "string", "minLength": 1},
                "type": {"type": "string", "minLength": 1},
                "data": {"$ref": "#/components/schemas/RawArticle"},
            },
        },
        "example": {
            "specversion": "1.0",
            "id": "4711",
            "source": "https://harbour-post.example/cms",
            "type": "example.harbour-post.article.published",
            "datacontenttype": "application/json",
            "data": RAW_EXAMPLE,
        },
    }


def _answer(status: HTTPStatus, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": text}
    if status is HTTPStatus.ACCEPTED:
        media: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Accepted"}}
        media["example"] = {"accepted": [{"id": RAW_EXAMPLE_ID}]}
    else:
        media = {"schema": {"$ref": "#/components/schemas/Errors"}}
    if text is ANSWERS[HTTPStatus.UNPROCESSABLE_ENTITY]:
        media["example"] = ERROR_EXAMPLE
    answer["content"] = {"application/json": media}
    if status in RETRY:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        answer["headers"] = {"Retry-After": seconds}
    return answer


def _get() -> dict[str, Any]:
    document = {"description": "This document.", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "operationId": "describe",
        "summary": "This document.",
        "security": [{}],
        "responses": {"200": document},
    }
