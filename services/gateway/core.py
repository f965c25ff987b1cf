"""From a request's body to records for `articles-raw`, or to what is wrong with it. No Kafka, no web server."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from io import BytesIO

from pydantic import ValidationError

from schemas.article import RawArticle
from schemas.cloudevents import BINARY_SPECVERSION, CONTENT_TYPE, Header, unwrap
from schemas.identity import article_id
from schemas.reading import Refused, read_record, refusal, write_record
from schemas.retraction import is_article_id
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES

SHOWN_PROBLEMS = 100
"""At most so many problems of one request are named, each of a line of its own; reading ends there."""

SHOWN_CHARACTERS = 1_000
"""Longest text that is sent back of a field's name or an error: a hostile name could have 900 kB."""

GZIP = 31
"""For zlib: a gzip header, and the largest window."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request: `reason` is a short word for counting, `error` says what to do."""

    status: HTTPStatus
    reason: str
    error: str
    line: int | None = None
    field: str | None = None

    def shown(self) -> dict[str, str | int | None]:
        """As the sender gets it."""
        field = self.field and self.field[:SHOWN_CHARACTERS]
        error = self.error[:SHOWN_CHARACTERS]
        return {"line": self.line, "field": field, "reason": self.reason, "error": error}


class Rejected(Exception):
    """A request of which nothing is taken; the first problem gives the answer's status."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].reason)
        self.problems = problems

    @property
    def status(self) -> HTTPStatus:
        """The status of the answer."""
        return self.problems[0].status


@dataclass(frozen=True)
class Client:
    """Who sends: the name of its key, if keys are used, and the publishers it may send for, if it is limited."""

    name: str | None
    publishers: frozenset[str] | None = None

    @property
    def producer(self) -> str:
        """What stands in `producer` of its articles when they name none."""
        return f"gateway:{self.name}" if self.name else "gateway"


@dataclass(frozen=True)
class Record:
    """A record for `articles-raw`: the article id, which is its key, and its value; None takes the article out."""

    id: str
    value: bytes | None


class Form(StrEnum):
    """What a body is."""

    ARTICLE = "article"
    LINES = "lines"
    CLOUD_EVENT = "cloud_event"


CONTENT_TYPES = {
    "application/json": Form.ARTICLE,
    "application/x-ndjson": Form.LINES,
    "application/jsonl": Form.LINES,
    "application/cloudevents+json": Form.CLOUD_EVENT,
}
"""The content types that are taken. With `ce-*` headers, application/json is a CloudEvent in binary mode: its body
is the article all the same."""

WHITE_SPACE = b" \t\r\n"
"""Of JSON."""

FORBIDDEN = "forbidden"

STATUS_OF = {
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "empty": HTTPStatus.BAD_REQUEST,
    FORBIDDEN: HTTPStatus.FORBIDDEN,
}
"""Why a record is refused -> the answer's status; for any other reason it is 422."""

UTF_8 = ("", "utf-8", "utf8", "us-ascii")


def form_of(content_type: str | None) -> Form:
    """What the content type says of the body; raises `Rejected` (415) for one that is not taken."""
    media, _, parameters = (content_type or "").partition(";")
    form = CONTENT_TYPES.get(media.strip().lower())
    if form is None:
        error = f"content-type: must be one of {', '.join(CONTENT_TYPES)}"
        raise Rejected(Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", error))
    charset = re.search(r'charset\s*=\s*"?([^";\s]*)', parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in UTF_8:
        error = "content-type: the charset must be utf-8"
        raise Rejected(Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", error))
    return form


def is_gzip(content_encoding: str | None) -> bool:
    """Whether the body is compressed; raises `Rejected` (415) for another encoding than gzip."""
    encoding = (content_encoding or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        error = "content-encoding: must be gzip, or left out"
        raise Rejected(Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_encoding", error))
    return encoding != "identity"


class Body:
    """A body as it comes in: counted, and decompressed as far as the limit (in bytes) lets it grow."""

    def __init__(self, limit: int, *, gzip: bool) -> None:
        self._limit = limit
        self._gzip = zlib.decompressobj(GZIP) if gzip else None
        self._received = 0
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> int:
        """By how many bytes it grew; raises `Rejected`: 413 over the limit, 400 for what is no gzip."""
        before = len(self._bytes)
        self._received += len(chunk)
        # Before decompression too: gzip of nothing at all can be as long as one likes.
        check_size(self._received, self._limit)
        if self._gzip is None:
            self._bytes += chunk
        else:
            self._decompress(chunk)
        return len(self._bytes) - before

    def whole(self) -> bytes:
        """The body; raises `Rejected` (400) when it is compressed and cut off."""
        if self._gzip is not None and not self._gzip.eof:
            raise _bad_gzip("the gzip data is cut off")
        return bytes(self._bytes)

    def _decompress(self, chunk: bytes) -> None:
        while chunk:
            if self._gzip is None or self._gzip.eof:  # the next member of several
                self._gzip = zlib.decompressobj(GZIP)
            try:
                self._bytes += self._gzip.decompress(chunk, self._limit + 1 - len(self._bytes))
            except zlib.error:
                raise _bad_gzip("the body is not gzip") from None
            check_size(len(self._bytes), self._limit)
            chunk = self._gzip.unconsumed_tail or self._gzip.unused_data


def check_size(size: int, limit: int) -> None:
    """Raise `Rejected` (413) for a body of more bytes than the limit."""
    if size > limit:
        error = f"the body has more than the {limit} bytes allowed: send fewer articles at once"
        raise Rejected(Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", error))


def _bad_gzip(error: str) -> Rejected:
    return Rejected(Problem(HTTPStatus.BAD_REQUEST, "invalid_gzip", f"content-encoding: {error}"))


def packing(headers: Mapping[str, str]) -> list[Header]:
    """The headers of a request that say how its article is packed, by their names on Kafka."""
    names = {CONTENT_TYPE: CONTENT_TYPE, "ce-specversion": BINARY_SPECVERSION}
    return [(ours, headers[name].encode()) for name, ours in names.items() if name in headers]


def read_articles(body: bytes, form: Form, packed: Sequence[Header], client: Client, most: int) -> list[Record]:
    """The records of a body, in order; raises `Rejected` when a single one of them is wrong.

    `packed` is what `packing` found, `most` the highest number of lines.
    """
    records: list[Record] = []
    problems: list[Problem] = []
    for number, value in enumerate(BytesIO(body) if form is Form.LINES else [body], start=1):
        if number > most:
            error = f"more than the {most} lines allowed: send fewer articles at once"
            raise Rejected(Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_lines", error, number))
        value = value.strip(WHITE_SPACE)  # noqa: PLW2901 - the line without its end
        if not value:
            continue
        try:
            records.append(_record(_article(value, form, packed), client))
        except Refused as refused:
            problems.append(_problem(number, value, form, refused))
            if len(problems) == SHOWN_PROBLEMS:
                break
    if problems:
        raise Rejected(*problems)
    if not records:
        raise Rejected(Problem(HTTPStatus.BAD_REQUEST, "empty", "the body holds no article"))
    return records


def _article(value: bytes, form: Form, packed: Sequence[Header]) -> bytes | None:
    """The bytes of the article, taken out of a CloudEvent where it is one; raises `Refused`."""
    return value if form is Form.LINES else unwrap(value, packed)


def _record(value: bytes | None, client: Client) -> Record:
    """The record for an article as it was sent; raises `Refused`."""
    article: RawArticle = read_record(ARTICLES_RAW, value)
    if client.publishers is not None and article.publisher not in client.publishers:
        raise Refused(FORBIDDEN, "publisher: this key may not send for it; ask whoever runs the gateway")
    if article.producer is None:
        article = article.model_copy(update={"producer": client.producer})
    value = write_record(article)
    if len(value) > MAX_RAW_BYTES:
        raise Refused("too_large", f"the record has {len(value)} bytes, more than the {MAX_RAW_BYTES} allowed")
    return Record(article_id(article), value)


PROOF = ("publisher", "id", "url")
"""Parameters that say whose article it is, as its record said it."""


def tombstone(name: str, stated: Mapping[str, str], client: Client) -> Record:
    """The record that takes out the article with the id `name`; raises `Rejected`.

    An article id does not show its publisher: who may send for some publishers only gives in `stated` what the id
    was made of.
    """
    if not is_article_id(name.encode()):
        error = "id: must be an article id, as a 202 names it: 32 hexadecimal digits in small letters"
        raise Rejected(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_id", error, field="id"))
    if client.publishers is not None:
        _check_owner(name, {each: stated[each] for each in PROOF if each in stated}, client.publishers)
    return Record(name, None)


def _check_owner(name: str, stated: Mapping[str, str], publishers: frozenset[str]) -> None:
    if stated.get("publisher") not in publishers:
        raise Rejected(Problem(HTTPStatus.FORBIDDEN, FORBIDDEN, NOT_SHOWN, field="publisher"))
    try:
        article = RawArticle.model_validate({**stated, "body": "any"})
    except ValidationError as wrong:
        refused = refusal(wrong)
        raise Rejected(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, refused.reason, refused.error)) from None
    if article_id(article) != name:
        error = "publisher: the article of this publisher with this id or url has another article id"
        raise Rejected(Problem(HTTPStatus.FORBIDDEN, FORBIDDEN, error, field="publisher"))


NOT_SHOWN = (
    "publisher: this key is for some publishers only: show that the article is one of theirs, with "
    "`?publisher=…&id=…` or `?publisher=…&url=…` as its record had them"
)


def _problem(number: int, value: bytes, form: Form, refused: Refused) -> Problem:
    status = STATUS_OF.get(refused.reason, HTTPStatus.UNPROCESSABLE_ENTITY)
    error = refused.error
    field = "publisher" if refused.reason == FORBIDDEN else None
    if refused.reason == "invalid_record" and form is not Form.CLOUD_EVENT:
        field = _wrong_field(value)
        if value.startswith(b"["):
            error = "must be one JSON object; send several as application/x-ndjson, one a line"
    return Problem(status, refused.reason, error, number, field)


def _wrong_field(value: bytes) -> str | None:
    """The first field that is wrong; None where it is the record as a whole."""
    try:
        RawArticle.model_validate_json(value)
    except ValidationError as error:
        place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
        return ".".join(str(part) for part in place) or None
    return None
