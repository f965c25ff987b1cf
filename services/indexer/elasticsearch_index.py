"""The index in Elasticsearch: one bulk request, and what its answer means for each document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from prometheus_client import Counter

from services.indexer.index import Forbidden, Outcome, Stored, TooLarge, Unavailable, Verdict, Write

log = structlog.get_logger(__name__)

STANDBY_REFUSED = Counter("newsflow_standby_refused", "Documents that the standby index alone does not take")

NOT_NOW = frozenset({408, 429, 500, 502, 503, 504})
"""Status of a request or an item that may well succeed later."""

NOT_THE_DOCUMENT = frozenset(
    {"cluster_block_exception", "index_not_found_exception", "unavailable_shards_exception"}
)
"""Errors that come with a 4xx status and are still no fault of the document: a block (a full disk) is lifted,
a missing alias is set up. Dead letters would bury the whole stream."""

READ_AT_ONCE = 100
"""Documents read whole in one request: each may have some MB."""

SHOWN_ERROR = 500
"""Characters of an error that are kept; Elasticsearch may quote a whole document."""


class ElasticsearchIndex:
    """Writes to the concrete index behind `alias`, with the article's revision as the external version.

    Where there is an alias `standby` too, each document is written to the index behind it in the same request: that
    index is being filled to take the place of the other, or has stood there before. Its verdict is waited for, and
    otherwise is its own affair: `newsflow index` compares both before it switches.
    """

    def __init__(
        self, client: Elasticsearch, alias: str, timeout_seconds: float, *, standby: str | None = None
    ) -> None:
        # The client's own retries know neither the items nor the stream behind them.
        self._client = client.options(max_retries=0, request_timeout=timeout_seconds)
        self._alias = alias
        self._standby = standby

    def write(self, documents: Sequence[Write]) -> list[Outcome]:
        """One bulk request; see `DocumentIndex.write`."""
        # Asked for each time: one request more of a millisecond, and none of the processes can be out of date.
        standby = self._standby if self._standby and self._is_there(self._standby) else None
        # Bytes pass through the client unchanged; its type knows dictionaries only.
        lines: list[Any] = []
        aliases: list[dict[str, str]] = [{}, *([{"_index": standby}] if standby else [])]
        for alias in aliases:
            for document in documents:
                lines += _operation(document, alias)
        try:
            answer = self._client.bulk(operations=lines, index=self._alias, require_alias=True)
        except ApiError as error:
            raise failure_of(error.status_code, error) from error
        except TransportError as error:
            raise _unavailable(error) from error
        # An answer of status 200 says nothing about the documents; only its items do.
        outcomes = [verdict_on(*next(iter(item.items()))) for item in answer["items"]]
        if standby is None:
            return outcomes
        count = len(documents)
        return [_of_both(*pair) for pair in zip(outcomes[:count], outcomes[count:], strict=True)]

    def read(self, ids: Sequence[str]) -> dict[str, Stored]:
        """See `DocumentIndex.read`. Asks first which of them are there at all: of new articles none is."""
        there = [each["_id"] for each in self._there(ids, source=False)] if ids else []
        found: dict[str, Stored] = {}
        for start in range(0, len(there), READ_AT_ONCE):
            for each in self._there(there[start : start + READ_AT_ONCE]):
                found[each["_id"]] = Stored(each["_version"], each["_source"])
        return found

    def _there(self, ids: Sequence[str], *, source: bool = True) -> list[Mapping[str, Any]]:
        try:
            answer = self._client.mget(index=self._alias, ids=list(ids), source=source)
        except ApiError as error:
            raise failure_of(error.status_code, error) from error
        except TransportError as error:
            raise _unavailable(error) from error
        for each in answer["docs"]:
            # Not there is no error; that it could not be looked for is one.
            if problem := each.get("error"):
                raise _of_read(problem)
        return [each for each in answer["docs"] if each["found"]]

    def without(self, fields: Iterable[str]) -> list[str]:
        """See `DocumentIndex.without`."""
        try:
            answer = self._client.indices.get_mapping(index=self._alias)
        except NotFoundError:
            return list(fields)
        except ApiError as error:
            raise failure_of(error.status_code, error) from error
        except TransportError as error:
            raise _unavailable(error) from error
        known = [set(each["mappings"].get("properties", {})) for each in answer.values()]
        return [field for field in fields if not all(field in each for each in known)]

    def _is_there(self, alias: str) -> bool:
        try:
            return bool(self._client.indices.exists_alias(name=alias))
        except ApiError as error:
            raise failure_of(error.status_code, error) from error
        except TransportError as error:
            raise _unavailable(error) from error


def _operation(document: Write, alias: dict[str, str]) -> list[bytes]:
    """The lines of a bulk request for a document; `alias` where it is not the request's own."""
    action = alias | {"_id": document.id, "version": document.revision, "version_type": "external_gte"}
    if document.source is None:
        return [json.dumps({"delete": action}).encode()]
    return [json.dumps({"index": action}).encode(), document.source]


def _unavailable(error: TransportError) -> Unavailable:
    return Unavailable(f"{type(error).__name__}: {error}"[:SHOWN_ERROR])


def failure_of(status: int, error: ApiError) -> Exception:
    """What a status and an error say of a whole request: one of the port's exceptions, else the error itself."""
    text = f"{status} {error}"[:SHOWN_ERROR]
    if status == 413:
        return TooLarge(text)
    if status in (401, 403) and error.error not in NOT_THE_DOCUMENT:
        return Forbidden(text)
    if status in NOT_NOW or error.error in NOT_THE_DOCUMENT:
        return Unavailable(text)
    return error


def _of_read(error: Mapping[str, Any]) -> Exception:
    text = f"{error.get('type')}: {error.get('reason')}"[:SHOWN_ERROR]
    return Forbidden(text) if error.get("type") == "security_exception" else Unavailable(text)


def verdict_on(action: str, item: Mapping[str, Any]) -> Outcome:
    """What an item of a bulk's answer says of its document. Raises `Forbidden`, also for what nobody thought of."""
    status: int = item["status"]
    error: Mapping[str, Any] = item.get("error") or {}
    cause: Mapping[str, Any] = error.get("caused_by") or {}
    text = f"{status} {error.get('type')}: {error.get('reason')} {cause.get('reason', '')}".strip()[:SHOWN_ERROR]
    if 200 <= status < 300 or (action == "delete" and status == 404 and not error):
        return Outcome(Verdict.WRITTEN)
    if status == 409 and error.get("type") == "version_conflict_engine_exception":
        return Outcome(Verdict.SUPERSEDED, text)
    if status in NOT_NOW or error.get("type") in NOT_THE_DOCUMENT:
        return Outcome(Verdict.AGAIN, text)
    if status in (401, 403):
        raise Forbidden(text)
    if status in (400, 404, 413):
        return Outcome(Verdict.REFUSED, text)
    # A status that nobody thought of is no reason to lose a document: stop and be looked at.
    raise Forbidden(f"unknown verdict: {text}")


def _of_both(outcome: Outcome, standby: Outcome) -> Outcome:
    """The verdict on a document that went to two indices: the first one's, once the second has it or never will."""
    if standby.verdict is Verdict.REFUSED and outcome.verdict is not Verdict.REFUSED:
        # A dead letter would say that it is in no index; `newsflow index` names it before it switches.
        STANDBY_REFUSED.inc()
        log.warning("the standby index does not take a document", error=standby.error)
    return standby if standby.verdict is Verdict.AGAIN and outcome.verdict is not Verdict.REFUSED else outcome
