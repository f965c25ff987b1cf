"""Imports what Kibana shows, of `deploy/kibana`: the data view, the Discover session and the dashboard."""

from __future__ import annotations

import base64
import json
import time
from importlib.resources import files
from typing import Any

import structlog
import urllib3

from services.setup.settings import SUPERUSER, SetupSettings

log = structlog.get_logger(__name__)

FILE = "news.ndjson"
"""Kibana takes only files whose name ends so."""

DEFAULT_DATA_VIEW = "news-articles"

AGAIN = frozenset({429, 502, 503, 504})
"""Answers of a Kibana that is not ready, or of what stands before it."""

PAUSE_SECONDS = 1.0


class KibanaError(OSError):
    """Kibana did not come up in time, refused the credentials, or did not take every object."""


def import_objects(settings: SetupSettings) -> list[str]:
    """Import what Kibana shows, over what is there of the same names; returns `type:id` of each object.

    Waits until Kibana says that it is available. Makes the data view of the articles the default one. Run again,
    it restores what was edited in Kibana. Raises `KibanaError` when Kibana is not ready within
    `setup_wait_seconds`, refuses, or has not taken every object, and `ValueError` without a `kibana_url`.
    """
    if settings.kibana_url is None:
        raise ValueError("KIBANA_URL is not set: it says where Kibana is, as http://localhost:5601")
    kibana = _Kibana(settings)
    text = shipped_objects(settings.newsflow_prefix)
    names = [f"{item['type']}:{item['id']}" for item in map(json.loads, text.splitlines())]
    kibana.wait_until_available()
    answer = kibana.post("/api/saved_objects/_import?overwrite=true", fields={"file": (FILE, text.encode())})
    # The status is 200 even when nothing was taken.
    if answer.get("success") is not True or answer.get("successCount") != len(names):
        raise KibanaError(
            f"Kibana took {answer.get('successCount', 0)} of {len(names)} objects: {_reasons(answer)}"
        )
    kibana.post("/api/data_views/default", json={"data_view_id": DEFAULT_DATA_VIEW, "force": True})
    return names


def shipped_objects(prefix: str = "") -> str:
    """The import file, whose data view matches the indices of the pipeline with this prefix (see
    `newsflow_prefix`)."""
    text = (files("deploy") / "kibana" / FILE).read_text(encoding="utf-8")
    if not prefix:
        return text
    items = [json.loads(line) for line in text.splitlines()]
    for item in items:
        if item["type"] == "index-pattern":
            item["attributes"]["title"] = f"{prefix}{item['attributes']['title']}"
    return "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in items)


def _reasons(answer: dict[str, Any]) -> str:
    errors = [
        f"{each.get('type')}:{each.get('id')} {each.get('error', {}).get('type')}"
        for each in answer.get("errors", [])
    ]
    return ", ".join(errors) or "no reason given"


class _Kibana:
    """One Kibana, asked until `setup_wait_seconds` are over."""

    def __init__(self, settings: SetupSettings) -> None:
        self._url = (settings.kibana_url or "").rstrip("/")
        self._end = time.monotonic() + settings.setup_wait_seconds
        self._limit = settings.setup_wait_seconds
        self._headers = {"kbn-xsrf": "newsflow"}
        if settings.elastic_password:
            login = f"{SUPERUSER}:{settings.elastic_password.get_secret_value()}"
            # Not by urllib3's own make_headers: it writes Latin-1, and Kibana reads UTF-8.
            self._headers["authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
            self._advice = f"Kibana refuses {SUPERUSER} with the password of ELASTIC_PASSWORD"
        else:
            self._advice = "Kibana wants a login; set ELASTIC_PASSWORD"
        # No retries of its own: what to try again, and until when, is said here.
        timeout = urllib3.Timeout(connect=5, read=60)
        self._http = urllib3.PoolManager(timeout=timeout, retries=False)

    def wait_until_available(self) -> None:
        while True:
            answer = self._ask("GET", "/api/status")
            level = answer.get("status", {}).get("overall", {}).get("level")
            if level == "available":
                return
            self._pause(f"its status is {level}")

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._ask("POST", path, **body)

    def _ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The answer's JSON. What is asked here may be asked twice, so what failed on the way is tried again."""
        while True:
            try:
                response = self._http.request(method, f"{self._url}{path}", headers=self._headers, **body)
            except urllib3.exceptions.LocationValueError as error:
                raise KibanaError(f"KIBANA_URL is not an address: {error}") from error
            except urllib3.exceptions.HTTPError as error:
                self._pause(f"{type(error).__name__}: {error}")
                continue
            if response.status in AGAIN:
                self._pause(f"it answers {response.status}")
                continue
            if response.status in {401, 403}:
                raise KibanaError(f"{method} {path} answers {response.status}: {self._advice}")
            said = response.data.decode(errors="replace")
            try:
                answer = json.loads(said)
            except ValueError:
                answer = None
            # A Kibana that starts answers anything with a page that says so.
            if not isinstance(answer, dict):
                self._pause(f"it answers {response.status} and no JSON")
                continue
            if response.status != 200:
                raise KibanaError(f"{method} {path} answers {response.status}: {said[:500]}")
            return answer

    def _pause(self, reason: str) -> None:
        if time.monotonic() + PAUSE_SECONDS > self._end:
            raise KibanaError(f"Kibana at {self._url} is not ready after {self._limit:g} s: {reason}")
        log.info("waiting", error=reason)
        time.sleep(PAUSE_SECONDS)
