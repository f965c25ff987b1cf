"""A gateway without a server and without Kafka: requests are given to the application itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from kafka.errors import IllegalStateError, KafkaTimeoutError
from kafka.future import Future
from starlette.types import Message, Scope

from services.gateway.app import Gateway
from services.gateway.keys import KeysFile
from services.gateway.openapi import openapi
from services.gateway.sender import Sender
from services.gateway.settings import GatewaySettings
from services.runtime import confirmed
from services.runtime.health import Health

ARTICLE: dict[str, Any] = {"publisher": "harbour-post.example", "id": "7", "body": "The ferries run again."}
JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


def body(**fields: Any) -> bytes:
    return json.dumps(ARTICLE | fields).encode()


def lines(*values: bytes) -> bytes:
    return b"\n".join(values) + b"\n"


class Broker:
    """Stands for `KafkaProducer` and what it sends to."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.stored: list[tuple[str, bytes, bytes | None]] = []
        """Topic, key and value of each record, in order."""
        self.held: list[Future] = []
        self.holds = False
        """Whether confirmations wait for `confirm`."""
        self.fails: Exception | None = None
        """What each send fails with, later; `raises` at once, `refuses` the connection."""
        self.raises: Exception | None = None
        self.refuses: Exception | None = None
        self.answers = threading.Event()
        """Cleared while the broker neither takes a connection nor refuses it."""
        self.answers.set()
        self.tries = self.connections = self.closed = self.abandoned = 0
        self._sender = self  # the client's own thread, which the gateway ends when it stands still
        self.sent = threading.Event()

    def connect(self, **options: Any) -> Broker:
        self.tries += 1
        assert self.answers.wait(30)
        if self.refuses:
            raise self.refuses
        self.options = options
        self.connections += 1
        return self

    def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def send(self, topic: str, key: bytes, value: bytes | None) -> Future:
        if self.raises:
            raise self.raises
        future = Future()
        self.stored.append((topic, key, value))
        if self.fails:
            future.failure(self.fails)
        elif self.holds:
            self.held.append(future)
        else:
            future.success(None)
        self.sent.set()
        return future

    def confirm(self) -> None:
        held, self.held = self.held, []
        for future in held:
            future.success(None)

    def close(self, timeout: float) -> None:
        """As the client does it: with records left it raises."""
        self.closed += 1
        if self.held:
            raise KafkaTimeoutError

    def force_close(self) -> None:
        self.abandoned += 1
        held, self.held = self.held, []
        for future in held:
            future.failure(IllegalStateError())

    def join(self, seconds: float) -> None:
        """It has no thread."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def errors(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json["errors"]
        return found

    @property
    def reason(self) -> str:
        return str(self.errors[0]["reason"])


@dataclass
class Rig:
    gateway: Gateway
    broker: Broker
    sender: Sender
    health: Health
    answers: list[int] = field(default_factory=list)

    def post(
        self,
        content: bytes | Iterable[bytes],
        headers: Mapping[str, str] = JSON,
        *,
        path: str = "/v1/articles",
        method: str = "POST",
        stalls: bool = False,
        leaves: bool = False,
    ) -> Answer:
        """The answer to one request; its body comes in chunks, and never to its end if it `stalls` or `leaves`."""
        return asyncio.run(self.ask(content, headers, path=path, method=method, stalls=stalls, leaves=leaves))

    async def ask(
        self,
        content: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] = JSON,
        *,
        path: str = "/v1/articles",
        method: str = "POST",
        stalls: bool = False,
        leaves: bool = False,
    ) -> Answer:
        chunks = iter([content] if isinstance(content, bytes) else content)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.partition("?")[0],
            "raw_path": path.partition("?")[0].encode(),
            "root_path": "",
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        answer = Answer(0, {}, b"")

        async def receive() -> Message:
            chunk = next(chunks, None)
            if chunk is None and stalls:
                await asyncio.Event().wait()
            if chunk is None and leaves:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.content += message.get("body", b"")

        await self.gateway(scope, receive, send)
        check(answer, path, method)
        return answer


def check(answer: Answer, path: str, method: str) -> None:
    """Whatever is answered, the OpenAPI document has it."""
    assert answer.headers["content-type"] == "application/json"
    if path == "/openapi.json" and answer.status == 200:
        return
    document = openapi()
    described = document["paths"]["/v1/articles"]["post"]
    if method == "DELETE" and path != "/v1/articles":
        described = document["paths"]["/v1/articles/{id}"]["delete"]
    told = described["responses"][str(answer.status)]
    schema = told["content"]["application/json"]["schema"] | {"components": document["components"]}
    Draft202012Validator(schema).validate(answer.json)
    for name in told.get("headers", {}):
        assert int(answer.headers[name.lower()]) >= 1


@contextmanager
def rig(monkeypatch: pytest.MonkeyPatch, keys: KeysFile | None = None, **settings: Any) -> Iterator[Rig]:
    broker = Broker()
    monkeypatch.setattr(confirmed, "KafkaProducer", broker.connect)
    with running(broker, keys, **settings) as made:
        yield made


@contextmanager
def running(broker: Broker, keys: KeysFile | None = None, **settings: Any) -> Iterator[Rig]:
    health = Health("gateway")
    made = GatewaySettings(kafka_bootstrap_servers="127.0.0.1:1", newsflow_prefix="night-", **settings)
    sender = Sender(made, health)
    sender.start()
    yield Rig(Gateway(made, sender, keys), broker, sender, health)
    sender.close()
