"""Reading an index over HTTP, for commands that a person waits for.

Why it is there: docs/decisions/0011-a-client-that-only-reads.md. The methods that are here take and return what
those of Elasticsearch's own client do.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import certifi
import urllib3

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


CanSearch: TypeAlias = "Elasticsearch | SearchClient"
"""What a search can be asked of."""


class SearchError(RuntimeError):
    """Elasticsearch refused a request, or did not answer. `status` is None where it did not answer."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class SearchClient:
    """An Elasticsearch that is only read. All methods raise `SearchError`."""

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        self._url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"accept": "application/json", "content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"ApiKey {api_key}"
        elif parts.username:
            user, password = unquote(parts.username), unquote(parts.password or "")
            self._headers |= urllib3.make_headers(basic_auth=f"{user}:{password}")
        # As Elasticsearch's client: no proxy, its certificates, three more tries where it is overloaded.
        retries = urllib3.Retry(
            3, redirect=False, allowed_methods=None, status_forcelist=(429, 502, 503, 504), raise_on_status=False
        )
        self._http = urllib3.PoolManager(retries=retries, timeout=timeout, ca_certs=certifi.where())

    def __enter__(self) -> SearchClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.clear()

    def search(self, *, index: str, source_includes: list[str] | None = None, **asked: Any) -> dict[str, Any]:
        """The answer to a search; what is None is not asked for."""
        body = {name: value for name, value in asked.items() if value is not None}
        if source_includes is not None:
            body["_source"] = {"includes": source_includes}
        return self._post(index, "_search", body)

    def count(self, *, index: str) -> int:
        """How many documents there are."""
        found: int = self._post(index, "_count")["count"]
        return found

    def refresh(self, *, index: str) -> None:
        """Have searches see all that was written."""
        self._post(index, "_refresh")

    def _post(self, index: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        try:
            answer = self._http.request(
                "POST", f"{self._url}/{quote(index, safe=',*')}/{what}", body=data, headers=self._headers
            )
            content = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise SearchError(f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise SearchError(f"status {answer.status}, and no JSON", answer.status) from error
        if answer.status != HTTPStatus.OK:
            raise SearchError(f"status {answer.status}: {_reason(content)}", answer.status)
        found: dict[str, Any] = content
        return found


def _reason(content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    return f"{error.get('type')}: {error.get('reason')}" if isinstance(error, dict) else str(error or content)
