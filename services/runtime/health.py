"""A service's health and metrics over HTTP: `/healthz` (200 or 503, JSON) and `/metrics` (Prometheus)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import REGISTRY, make_wsgi_app

log = structlog.get_logger(__name__)


class Health:
    """Whether a service is well, and if not, why. Starts as not well: `starting`. Safe to use across threads."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._reasons: dict[str, str] = {"start": "starting"}
        self._lock = threading.Lock()

    def red(self, cause: str, reason: str) -> None:
        """Not well because of `cause`, with the reason for people; logged when it changes."""
        with self._lock:
            new = cause not in self._reasons
            self._reasons[cause] = reason
        if new:
            log.warning("health is red", cause=cause, reason=reason)

    def green(self, cause: str) -> None:
        """`cause` is over."""
        with self._lock:
            was = self._reasons.pop(cause, None)
        if was:
            log.info("health cause is over", cause=cause)

    @property
    def reason(self) -> str | None:
        """Why it is not well; None when it is."""
        with self._lock:
            return "; ".join(self._reasons.values()) or None


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """A health check every second is not news."""


def serve_health(health: Health, host: str, port: int) -> int:
    """Answer health checks in a thread from now on; returns the port, chosen if 0 was given."""
    metrics = make_wsgi_app(REGISTRY)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        if environ["PATH_INFO"] != "/healthz":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"see /healthz and /metrics\n"]
        reason = health.reason
        start_response("503 Service Unavailable" if reason else "200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"name": health.service, "ok": reason is None, "reason": reason}).encode()]

    server = make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    log.info("health endpoint", host=host, port=server.server_port)
    return server.server_port
