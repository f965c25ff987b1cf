"""The index in Elasticsearch: one bulk request, and what its answer means for each document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from services.indexer.index import Forbidden, Outcome, Stored, TooLarge, Unavailable, Verdict, Write

NOT_NOW = frozenset({408, 429, 500, 502, 503, 504})
"""Status of a request or an item that may well succeed later."""

NOT_THE_DOCUMENT = frozenset(
    {"cluster_block_exception", "index_not_found_exception", "unavailable_shards_exception"}
)
"""Errors that come with a 4xx status and are still no fault of the document: a block (a full disk) is lifted,
a missing alias is set up. Dead letters would bury the whole stream."""

READ_AT_ONCE = 50
"""Documents read in one request: each may have some MB."""

SHOWN_ERROR = 500
"""Characters of an error that are kept; Elasticsearch may quote a whole document."""


class ElasticsearchIndex:
    """Writes to the concrete index behind `alias`, with the article's revision as the external version."""

    def __init__(self, client: Elasticsearch, alias: str, timeout_seconds: float) -> None:
        # The client's own retries know neither the items nor the stream behind them.
        self._client = client.options(max_retries=0, request_timeout=timeout_seconds)
        self._alias = alias

    def write(self, documents: Sequence[Write]) -> list[Outcome]:
        """One bulk request; see `DocumentIndex.write`."""
        # Bytes pass through the client unchanged; its type knows dictionaries only.
        lines: list[Any] = []
        for document in documents:
            action = {"_id": document.id, "version": document.revision, "version_type": "external_gte"}
            lines += (json.dumps({"index": action}).encode(), document.source)
        try:
            answer = self._client.bulk(operations=lines, index=self._alias, require_alias=True)
        except ApiError as error:
            raise _of_request(error.status_code, error) from error
        except TransportError as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:SHOWN_ERROR]) from error
        # An answer of status 200 says nothing about the documents; only its items do.
        return [_of_item(item["index"]) for item in answer["items"]]

    def read(self, ids: Sequence[str]) -> dict[str, Stored]:
        """One request for some documents at a time; see `DocumentIndex.read`."""
        found: dict[str, Stored] = {}
        for start in range(0, len(ids), READ_AT_ONCE):
            try:
                answer = self._client.mget(index=self._alias, ids=list(ids[start : start + READ_AT_ONCE]))
            except ApiError as error:
                raise _of_request(error.status_code, error) from error
            except TransportError as error:
                raise Unavailable(f"{type(error).__name__}: {error}"[:SHOWN_ERROR]) from error
            for each in answer["docs"]:
                # Not there is no error; that it could not be looked for is one.
                if problem := each.get("error"):
                    raise _of_read(problem)
                if each["found"]:
                    found[each["_id"]] = Stored(each["_version"], each["_source"])
        return found


def _of_request(status: int, error: ApiError) -> Exception:
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


def _of_item(item: Mapping[str, Any]) -> Outcome:
    status: int = item["status"]
    error: Mapping[str, Any] = item.get("error") or {}
    cause: Mapping[str, Any] = error.get("caused_by") or {}
    text = f"{status} {error.get('type')}: {error.get('reason')} {cause.get('reason', '')}".strip()[:SHOWN_ERROR]
    if 200 <= status < 300:
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
