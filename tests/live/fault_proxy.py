"""An HTTP proxy before the real Elasticsearch that answers wrongly, late or not at all when a test says so."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Request:
    method: str
    path: str
    body: bytes
    headers: dict[str, str]

    @property
    def is_bulk(self) -> bool:
        return "/_bulk" in self.path

    @property
    def documents(self) -> list[tuple[dict[str, Any], bytes]]:
        """A bulk's actions with their documents."""
        lines = self.body.strip().split(b"\n")
        return [(json.loads(lines[at])["index"], lines[at + 1]) for at in range(0, len(lines), 2)]

    def only(self, documents: list[tuple[dict[str, Any], bytes]]) -> Request:
        """The same bulk with these documents."""
        lines = [part for action, source in documents for part in (json.dumps({"index": action}).encode(), source)]
        return Request(self.method, self.path, b"\n".join(lines) + b"\n", self.headers)


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def error(status: int, kind: str = "error", reason: str = "on purpose") -> Reply:
    """A reply in the form of Elasticsearch's errors."""
    body = {"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status}
    return Reply(status, json.dumps(body).encode())


NO_ANSWER = Reply(0, b"")
"""The connection is closed without a reply."""


class FaultProxy:
    """Forwards to `target`, unless `fault` answers in its place: a `Reply`, or None to let the request through."""

    def __init__(self, target: str, port: int = 0) -> None:
        self._target = urlsplit(target)
        self.fault: Callable[[Request], Reply | None] = lambda _: None
        self.requests: list[Request] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, body, dict(self.headers))
                proxy.requests.append(request)
                reply = proxy.fault(request) or proxy.forward(request)
                if reply is NO_ANSWER:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reply.status)
                headers = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"} | reply.headers
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed in mid-answer is what these tests are for."""

        self._server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def bulks(self) -> list[Request]:
        return [request for request in self.requests if request.is_bulk]

    def forward(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")
        }
        connection.request(
            request.method, request.path, request.body or None, headers | {"Accept-Encoding": "identity"}
        )
        answer = connection.getresponse()
        kind = answer.getheader("Content-Type") or "application/json"
        reply = Reply(answer.status, answer.read(), {"Content-Type": kind})
        connection.close()
        return reply

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
