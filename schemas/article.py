"""The records of the pipeline, in the order in which an article becomes them.

`RawArticle` is open to any producer and refuses whatever it does not know. The records behind it are
written by our own services only and ignore unknown fields, so that a rolling upgrade dead-letters nothing.
All are frozen; a stage returns a new record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

MAX_REVISION = 2**63 - 1
"""Largest version number that Elasticsearch takes for `version_type=external_gte` (a Java long)."""

PLAIN_SPACES = dict.fromkeys(
    map(ord, "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " "
)
"""For `str.translate`: an author's no-break, narrow and wide spaces as plain ones, a character for a character."""


def _iso_8601(value: Any) -> Any:
    """Refuse what is no ISO 8601 text: a bare number would be read as seconds or milliseconds by its size."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 text such as 2026-01-31T08:00:00Z")
    try:
        time = datetime.fromisoformat(value.strip())
        in_utc(time)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be an ISO 8601 text such as 2026-01-31T08:00:00Z") from error
    return time


def _with_host(value: str) -> str:
    """Refuse what no URL library can take apart; the article id and the index need its host."""
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an address with a host, such as https://example.com/page")
    return value


Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
Time = Annotated[datetime, BeforeValidator(_iso_8601, json_schema_input_type=str)]
Language = Annotated[str, StringConstraints(max_length=85, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
Revision = Annotated[int, Field(ge=0, le=MAX_REVISION)]


class RawArticle(BaseModel):
    """One article as a producer sends it to `articles-raw`; the contract for every producer.

    Exactly one of `body` and `html` is given. Unknown fields and wrong types are refused with the field named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="RawArticle")

    publisher: Name = Field(description="Who published it: a stable short name or a domain.")
    body: Text | None = Field(
        default=None, description="The plain text, paragraphs apart by newlines. Either this or `html`."
    )
    html: Text | None = Field(default=None, description="A page, or an article's HTML. Either this or `body`.")
    id: Name | None = Field(
        default=None,
        description="The producer's own stable id (a GUID). With it a changed text is a correction.",
    )
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+"), AfterValidator(_with_host)] | None = Field(
        default=None, description="Where it is published (http or https)."
    )
    headline: str | None = Field(default=None, description="The headline, as plain text.")
    summary: str | None = Field(default=None, description="The publisher's own summary, as plain text.")
    byline: str | None = Field(default=None, description="Who wrote it, as the publisher prints it.")
    published: Time | None = Field(
        default=None, description="First published, ISO 8601. Without a zone it is taken as UTC and flagged."
    )
    modified: Time | None = Field(
        default=None, description="Last changed, ISO 8601. Without a zone it is taken as UTC and flagged."
    )
    language: Language | None = Field(default=None, description="BCP 47, as the publisher states it.")
    subjects: tuple[Text, ...] = Field(default=(), description="The publisher's own subjects or keywords.")
    copyright_notice: str | None = Field(default=None, description="The publisher's copyright line.")
    producer: Name | None = Field(default=None, description="The plug-in or program that sent it.")
    revision: Revision | None = Field(
        default=None,
        description="Larger wins. Left out: the time (ms) at which Kafka stored the record. A backfill sets "
        "the time (ms) at which the article was modified or published, so that it never beats a live one.",
    )
    extra: dict[Text, str] = Field(default={}, description="Anything else, as a flat map of texts.")

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.body is None) == (self.html is None):
            given = "both" if self.body is not None else "neither"
            raise ValueError(f"exactly one of body and html must be given, found {given}")
        return self


class Reason(StrEnum):
    """Why a paragraph was dropped."""

    BOILERPLATE = "boilerplate"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"


class Kind(StrEnum):
    """What a paragraph is on its page. In plain text all paragraphs are `text`."""

    TEXT = "text"
    HEADING = "heading"
    LIST_ITEM = "list_item"
    QUOTE = "quote"
    CAPTION = "caption"
    TABLE_ROW = "table_row"
    LIVE_ENTRY = "live_entry"


class Change(StrEnum):
    """What the cleaner changed in a paragraph that it kept."""

    MOJIBAKE = "mojibake"
    ENTITIES = "entities"
    INVISIBLE = "invisible"
    SPACES = "spaces"
    NORMALIZED = "normalized"
    LINES_JOINED = "lines_joined"
    HYPHENATION = "hyphenation"
    SIGN_OFF = "sign_off"


class Quality(StrEnum):
    """What makes a text less than an article."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    SECTION_FRONT = "section_front"
    LOGIN_WALL = "login_wall"
    COOKIE_WALL = "cookie_wall"
    ERROR_PAGE = "error_page"


class Entities(StrEnum):
    """Whether names were looked for in an article."""

    TAGGED = "tagged"
    UNSUPPORTED_LANGUAGE = "unsupported_language"


class Inner(BaseModel):
    """Common settings of what only our own services write: frozen, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Paragraph(Inner):
    """A kept paragraph: its place among all paragraphs of the input (from 0), its clean text, and what it is."""

    index: int
    text: str
    kind: Kind = Kind.TEXT


class Dropped(Inner):
    """A dropped paragraph, why, and by which rule.

    `repeats` is the index of the paragraph of the same article that it repeats, `seen_first` the id of another
    article that had it first.
    """

    index: int
    text: str
    reason: Reason
    rule: str | None = None
    repeats: int | None = None
    seen_first: str | None = None
    kind: Kind = Kind.TEXT


class Changed(Inner):
    """A paragraph that did not come in as it stands: its index, what was done, by which rule, what was cut off."""

    index: int
    reason: Change
    rule: str | None = None
    removed: str | None = None


class CleanArticle(Inner):
    """An article with clean paragraphs, on `articles-clean`. `kept` and `dropped` are ordered by index."""

    id: str = Field(description="The article id (schemas/identity.py); also the record's key.")
    revision: Revision
    received: datetime = Field(description="When Kafka stored the raw record.")
    publisher: str
    producer: str | None = None
    url: str | None = None
    headline: str | None = None
    summary: str | None = None
    byline: str | None = None
    published: datetime | None = None
    modified: datetime | None = None
    language: str = Field(description="BCP 47; `und` where it cannot be told.")
    language_stated: str | None = Field(default=None, description="What the publisher stated.")
    language_confidence: float = Field(ge=0, le=1)
    subjects: tuple[str, ...] = ()
    copyright_notice: str | None = None
    section: str | None = Field(default=None, description="The part of the publication that the page names.")
    located: str | None = Field(default=None, description="Where it was reported from, by its dateline.")
    agency: str | None = Field(default=None, description="The news agency that it is signed with.")
    extra: dict[str, str] = {}
    flags: tuple[str, ...] = Field(
        default=(), description="What a reader should know, e.g. published_without_zone."
    )
    quality: tuple[Quality, ...] = Field(default=(), description="What makes it less than an article, if anything.")
    versions: dict[str, str] = Field(default={}, description="Stage or model -> its version.")
    kept: tuple[Paragraph, ...]
    dropped: tuple[Dropped, ...] = ()
    changed: tuple[Changed, ...] = Field(default=(), description="By index, then in the order it was done.")

    @property
    def body(self) -> str:
        """The kept paragraphs joined by a blank line: the text that spans are offsets into."""
        return "\n\n".join(paragraph.text for paragraph in self.kept)


class DedupedArticle(CleanArticle):
    """A clean article without repeated paragraphs, on `articles-deduped`."""


class Label(StrEnum):
    """What an entity is."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PLACE = "place"


class Location(Inner):
    """WGS 84, in degrees."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Entity(Inner):
    """A person or an organisation under its canonical name, and how often the article mentions it."""

    id: str
    name: str
    count: int = Field(ge=1)
    wikidata: str | None = Field(default=None, description="Its item there (`Q…`), where the user's table has it.")


class Place(Inner):
    """A place under its canonical name, and how often the article mentions it."""

    id: str
    name: str
    count: int = Field(ge=1)
    country_iso_code: str | None = None
    location: Location | None = None
    wikidata: str | None = Field(default=None, description="Its item there (`Q…`), where the user's table has it.")


class Mention(Inner):
    """One mention: `body[start:end] == text`, in characters."""

    text: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    label: Label
    entity_id: str


class TaggedArticle(DedupedArticle):
    """An article with its entities, on `articles-tagged`; entities by falling count, mentions by start."""

    people: tuple[Entity, ...] = ()
    organisations: tuple[Entity, ...] = ()
    places: tuple[Place, ...] = ()
    entities: Entities = Field(
        default=Entities.TAGGED, description="Or why there are none: no model here reads its language."
    )
    mentions: tuple[Mention, ...] = ()


class Retagged(Inner):
    """The entities of a stored article as a newer model or tagger finds them, on `articles-retagged`.

    They are the document's only while it has this revision and this body.
    """

    id: str
    revision: Revision
    body_digest: str = Field(description="`digest_of_body` of the text that they were found in.")
    versions: dict[str, str] = Field(description="`model` and `tagger`, or `tagger` alone.")
    people: tuple[Entity, ...] = ()
    organisations: tuple[Entity, ...] = ()
    places: tuple[Place, ...] = ()
    entities: Entities = Entities.TAGGED
    mentions: tuple[Mention, ...] = ()


def digest_of_body(body: str) -> str:
    """The first 32 hex digits of the SHA-256 of a text with plain spaces, as documents have it."""
    plain = body.translate(PLAIN_SPACES).encode("utf-8", "surrogatepass")
    return sha256(plain).hexdigest()[:32]


def in_utc(time: datetime) -> datetime:
    """The same instant in UTC; a time without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
