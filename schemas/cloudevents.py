"""CloudEvents 1.0 on `articles-raw`: the article's bytes, in whichever mode of the Kafka binding they come.

Plain: no header says anything, and the value is the article. Binary: the value is the article, and headers that
begin with `ce_` are the event's attributes. Structured: the header `content-type` begins with
`application/cloudevents+json`, and the value is the envelope with the article in it.

Of the attributes nothing goes into the article: its id, time and revision are those that it states itself.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from schemas.article import Text
from schemas.reading import Refused, no_key_twice, refusal
from schemas.topics import MAX_RAW_BYTES

SPECVERSION = "1.0"
"""The one version of CloudEvents that is read: that of every release since 2019."""

EVENT_TYPE = "newsflow.article.v1"
"""What the documentation puts into `type`; any other is taken as well."""

CONTENT_TYPE = "content-type"
BINARY_SPECVERSION = "ce_specversion"
BINARY_DATACONTENTTYPE = "ce_datacontenttype"
"""No header of the binding, where `content-type` says this; some producers send it all the same."""

CLOUDEVENTS = "application/cloudevents"
STRUCTURED = f"{CLOUDEVENTS}+json"
BATCH = f"{CLOUDEVENTS}-batch"

JSON_MEDIA_TYPE = r"^[^\s/;]+/([^\s/;]+\+)?[jJ][sS][oO][nN]\s*(;|$)"
"""`application/json`, `text/json` or anything that ends with `+json`, with or without parameters."""

NOT_JSON = "an article is JSON, so this must be application/json or left out"

ATTRIBUTE_NAME = "[a-z0-9]+"
"""Of CloudEvents' own and of extensions; strict, so that a misspelt `dataContentType` is told."""

INVALID = "invalid_envelope"
"""Reason of a refusal that is about the event; one about its article has the same reason as a plain record's."""

Header = tuple[str, bytes]


def packing_headers(headers: Iterable[Header]) -> list[Header]:
    """Those of a record's headers that say how its article is packed; names in lower case."""
    names = (CONTENT_TYPE, BINARY_SPECVERSION, BINARY_DATACONTENTTYPE)
    return [(name.lower(), value) for name, value in headers if name.lower() in names]


def unwrap(value: bytes | None, headers: Iterable[Header]) -> bytes | None:
    """The article's bytes in a record of `articles-raw`, as `schemas.reading.read_record` takes them.

    What is empty or above `MAX_RAW_BYTES` comes back as it is: `read_record` refuses it. Of a header given twice
    the last counts, as in Kafka's own clients.

    Raises `Refused` with the reason `invalid_envelope`, `invalid_json`, or `invalid_record` for a key given twice.
    """
    stated = {name: text.decode("utf-8", "replace").strip() for name, text in packing_headers(headers)}
    media_type = stated.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if media_type.startswith(CLOUDEVENTS):
        _check_structured(media_type)
        return value if not value or len(value) > MAX_RAW_BYTES else read_envelope(value).article
    if BINARY_SPECVERSION in stated:
        _check_binary(stated)
    return value


def _check_structured(media_type: str) -> None:
    if media_type.startswith(BATCH):
        raise Refused(INVALID, f"{CONTENT_TYPE}: a batch is not taken, send each event as a record of its own")
    if media_type != STRUCTURED:
        raise Refused(INVALID, f"{CONTENT_TYPE}: of the formats of CloudEvents only {STRUCTURED} is read")


def _check_binary(stated: dict[str, str]) -> None:
    if stated[BINARY_SPECVERSION] != SPECVERSION:
        raise Refused(INVALID, f"{BINARY_SPECVERSION}: only CloudEvents {SPECVERSION} is read")
    for name in (CONTENT_TYPE, BINARY_DATACONTENTTYPE):
        if stated.get(name) and not re.search(JSON_MEDIA_TYPE, stated[name]):
            raise Refused(INVALID, f"{name}: {NOT_JSON}")


def _attribute_name(name: str) -> str:
    if not re.fullmatch(ATTRIBUTE_NAME, name):
        raise ValueError("an attribute's name is of lower-case letters and digits alone")
    return name


def _extension(value: Any) -> Any:
    if value is not None and not isinstance(value, str | bool | int):
        raise ValueError("an extension attribute must be a text, an integer or a boolean")
    return value


def _json_media_type(value: str) -> str:
    if not re.search(JSON_MEDIA_TYPE, value):
        raise ValueError(NOT_JSON)
    return value


def _from_base64(value: Any) -> Any:
    try:
        if not isinstance(value, str) or not value:
            raise TypeError
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise ValueError("must be a text in base64 (RFC 4648, section 4), and not empty") from None


AttributeName = Annotated[str, AfterValidator(_attribute_name)]
Extension = Annotated[
    Any, AfterValidator(_extension), WithJsonSchema({"type": ["string", "boolean", "integer", "null"]})
]
MediaType = Annotated[str, AfterValidator(_json_media_type), Field(json_schema_extra={"pattern": JSON_MEDIA_TYPE})]
Base64 = Annotated[bytes, BeforeValidator(_from_base64, json_schema_input_type=str)]


class CloudEvent(BaseModel):
    """The envelope of an article in structured mode: a CloudEvent 1.0 in its JSON format.

    Exactly one of `data` and `data_base64` is given. Extension attributes are taken and passed over.
    """

    model_config = ConfigDict(extra="allow", frozen=True, title="CloudEvent")
    __pydantic_extra__: dict[AttributeName, Extension] = Field(init=False)

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: Text = Field(description="The event's own id. It is not the article's.")
    source: Text = Field(description="Who sends the event, as a URI reference.")
    type: Text = Field(description=f"Any; `{EVENT_TYPE}` where nothing else is at hand.")
    subject: Text | None = Field(default=None, description="As CloudEvents has it; passed over.")
    time: Text | None = Field(default=None, description="When the event came about; not a time of the article.")
    dataschema: Text | None = Field(default=None, description="As CloudEvents has it; passed over.")
    datacontenttype: MediaType | None = Field(default=None, description="A JSON type. Left out, it is JSON too.")
    data: dict[str, Any] | None = Field(default=None, description="The article, as an object.")
    data_base64: Base64 | None = Field(default=None, description="The article's JSON in UTF-8, in base64.")

    @model_validator(mode="after")
    def _one_article(self) -> Self:
        if (self.data is None) == (self.data_base64 is None):
            given = "both" if self.data is not None else "neither"
            raise ValueError(f"exactly one of data and data_base64 must be given, found {given}")
        return self

    @property
    def article(self) -> bytes:
        """The article's bytes. `data` is written anew, and never longer for it where it is an article at all."""
        if self.data_base64 is not None:
            return self.data_base64
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).encode()


def read_envelope(value: bytes) -> CloudEvent:
    """The event in `value`; raises `Refused` as `unwrap` does."""
    try:
        event = CloudEvent.model_validate_json(value)
    except ValidationError as error:
        refused = refusal(error)
        reason = INVALID if refused.reason == "invalid_record" else refused.reason
        raise Refused(reason, refused.error) from None
    # Here, for the article too: once it is taken out, the first of two equal keys is lost.
    json.loads(value, object_pairs_hook=no_key_twice)
    return event
