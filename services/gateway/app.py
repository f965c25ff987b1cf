"""The gateway's process: requests in, records to Kafka, an answer when Kafka has confirmed them."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

import kafka.codec
import structlog
import uvicorn
from prometheus_client import Counter, Gauge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.gateway.core import (
    Body,
    Client,
    Problem,
    Record,
    Rejected,
    check_size,
    form_of,
    is_gzip,
    packing,
    read_articles,
    tombstone,
)
from services.gateway.keys import ANYBODY, BadKeys, KeysFile
from services.gateway.openapi import openapi
from services.gateway.sender import Batch, Sender
from services.gateway.settings import GatewaySettings
from services.runtime.codecs import check_codecs
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging
from services.runtime.settings import load_settings

log = structlog.get_logger(__name__)

SERVICE = "gateway"

EXIT_USE = 2
"""Exit status when the gateway may not be started so."""

RETRY_BUSY_SECONDS = 1
"""Told with a 429 and when too many connections are open: Kafka mostly confirms within a second."""

RETRY_KAFKA_SECONDS = 5
"""Told when Kafka did not confirm: a broker takes some seconds to start again."""

LARGE_BODY_BYTES = 64 * 1024
"""A body above this is read in a thread: a small one takes less time than the way there and back."""

UNREAD_BYTES = 16 * 1024 * 1024
"""So much of a refused body is read and thrown away: closed on before it was sent, a client sees no answer."""

HEAD_BYTES = 16 * 1024
"""Largest head (request line and headers) of a request that comes in parts."""

HEAD_SECONDS = 10.0
"""How long a connection may take over the head of a request."""

KEEP_ALIVE_SECONDS = 30
"""How long a connection may stay open without a request: short enough to leave room, long enough to be of use."""

CROWD = 2
"""Above so many times the connections allowed, one more is closed without an answer."""

REQUESTS = Counter("newsflow_gateway_requests", "Requests by the status of the answer", ["status"])
ACCEPTED = Counter("newsflow_gateway_accepted_articles", "Articles that Kafka confirmed and the sender was told so")
TOMBSTONES = Counter(
    "newsflow_gateway_accepted_tombstones", "Tombstones that Kafka confirmed and the sender was told so"
)
REFUSED = Counter("newsflow_gateway_refused", "Problems that senders were told, by reason", ["reason"])
IN_FLIGHT = Gauge("newsflow_gateway_in_flight_records", "Records that Kafka has not confirmed yet")


class Budget:
    """How much may be in hand at once. Safe to use across threads."""

    def __init__(self, records: int, size: int) -> None:
        self._most_records, self._most_bytes = records, size
        self._records = self._bytes = 0
        self._lock = threading.Lock()

    def take(self, records: int, size: int) -> None:
        """Raises `Rejected` (429) when there is no room."""
        with self._lock:
            full = self._records + records > self._most_records or self._bytes + size > self._most_bytes
            if not full:
                self._records += records
                self._bytes += size
                IN_FLIGHT.set(self._records)
        if full:
            error = "too much is on its way to Kafka: send it again after `retry-after`"
            raise Rejected(Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", error))

    def give_back(self, records: int, size: int) -> None:
        """Room for others."""
        with self._lock:
            self._records -= records
            self._bytes -= size
            IN_FLIGHT.set(self._records)


class Incoming:
    """The body of a request, chunk by chunk, all of it before `deadline` (of the event loop's clock)."""

    def __init__(self, receive: Receive, deadline: float) -> None:
        self._receive = receive
        self._deadline = deadline
        self.ended = False

    async def chunk(self) -> bytes:
        """The next chunk; raises `TimeoutError` after the deadline, `Rejected` (400) when the client is gone."""
        async with asyncio.timeout_at(self._deadline):
            message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Rejected(Problem(HTTPStatus.BAD_REQUEST, "cut_off", "the body did not come to its end"))
        self.ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    async def throw_away(self) -> bool:
        """Read to the end, as far as that is worth it; whether the end was reached."""
        left = UNREAD_BYTES
        try:
            while not self.ended and left > 0:
                left -= len(await self.chunk())
        except (TimeoutError, Rejected):
            return False
        return self.ended


Read = Callable[[Request, Incoming], Awaitable[list[Record]]]


class Gateway:
    """The web application, without its server."""

    def __init__(self, settings: GatewaySettings, sender: Sender, keys: KeysFile | None) -> None:
        self.settings = settings
        self.sender = sender
        self.keys = keys
        self.budget = Budget(settings.in_flight_records, settings.in_flight_bytes)
        routes = [
            Route("/v1/articles", self._articles, methods=["POST"]),
            Route("/v1/articles/{id}", self._tombstone, methods=["DELETE"]),
            Route("/openapi.json", _describe, methods=["GET"]),
        ]
        self._app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such})
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count the answer."""
        await self._app(scope, receive, _counting(send))

    async def crowded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer on a connection that is one too many."""
        error = "too many connections are open: send it again after `retry-after`"
        rejected = Rejected(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", error))
        await self._incoming(receive).throw_away()
        await _refusal(rejected, RETRY_BUSY_SECONDS, close=True)(scope, receive, _counting(send))

    def _incoming(self, receive: Receive) -> Incoming:
        return Incoming(receive, asyncio.get_running_loop().time() + self.settings.body_seconds)

    async def _articles(self, request: Request) -> Response:
        return await self._taken(request, self._read, ACCEPTED)

    async def _tombstone(self, request: Request) -> Response:
        return await self._taken(request, self._read_tombstone, TOMBSTONES)

    async def _taken(self, request: Request, read: Read, accepted: Counter) -> Response:
        """Answers when Kafka has what `read` finds in the request."""
        incoming = self._incoming(request.receive)
        try:
            records = await read(request, incoming)
            await self._confirmed(records)
        except Rejected as rejected:
            # A client that waits for leave to send its body has not sent any.
            ended = "expect" not in request.headers and await incoming.throw_away()
            busy = rejected.status is HTTPStatus.TOO_MANY_REQUESTS
            return _refusal(rejected, RETRY_BUSY_SECONDS if busy else RETRY_KAFKA_SECONDS, close=not ended)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer
            # Its text could hold a part of the article.
            last = traceback.extract_tb(error.__traceback__)[-1]
            log.error("a request failed", error=type(error).__name__, place=f"{last.filename}:{last.lineno}")
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "a bug of the gateway: please report it")
            return _refusal(Rejected(problem), 0, close=True)
        accepted.inc(len(records))
        return _json(HTTPStatus.ACCEPTED, {"accepted": [{"id": record.id} for record in records]})

    def _client(self, request: Request) -> Client:
        return self.keys.client_of(request.headers.get("authorization")) if self.keys else ANYBODY

    async def _read_tombstone(self, request: Request, incoming: Incoming) -> list[Record]:
        """The record of a request that has no body, with room for it in the budget; raises `Rejected`."""
        record = tombstone(request.path_params["id"], request.query_params, self._client(request))
        if not await incoming.throw_away():
            error = "the body did not come to its end: leave it out, it is not needed"
            raise Rejected(Problem(HTTPStatus.REQUEST_TIMEOUT, "slow_body", error))
        self.budget.take(1, 0)
        return [record]

    async def _read(self, request: Request, incoming: Incoming) -> list[Record]:
        """The records of a request, with room for them in the budget; raises `Rejected`."""
        headers = request.headers
        client = self._client(request)
        form = form_of(headers.get("content-type"))
        body = Body(self.settings.body_bytes, gzip=is_gzip(headers.get("content-encoding")))
        # Only to say so sooner: what comes in is counted in any case.
        length = headers.get("content-length", "")
        check_size(int(length) if length.isdecimal() else 0, self.settings.body_bytes)
        held = 0
        try:
            while not incoming.ended:
                grown = body.add(await incoming.chunk())
                self.budget.take(0, grown)
                held += grown
            whole = body.whole()
            read = partial(read_articles, whole, form, packing(headers), client, self.settings.body_records)
            records = await asyncio.to_thread(read) if len(whole) > LARGE_BODY_BYTES else read()
        except TimeoutError:
            error = f"the body did not come in within {self.settings.body_seconds:g} s: send it again, in parts"
            raise Rejected(Problem(HTTPStatus.REQUEST_TIMEOUT, "slow_body", error)) from None
        finally:
            self.budget.give_back(0, held)
        self.budget.take(len(records), _size(records))
        return records

    async def _confirmed(self, records: Sequence[Record]) -> None:
        """Returns when Kafka has them all; raises `Rejected` (503) when it has not said so in time.

        Their room in the budget is free when Kafka has answered, whether anybody waits for that or not.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def tell(confirmed: bool) -> None:
            if not answer.done():
                answer.set_result(confirmed)

        def done(confirmed: bool) -> None:
            self.budget.give_back(len(records), _size(records))
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, confirmed)

        seconds = self.settings.confirm_seconds
        self.sender.send(Batch(records, time.monotonic() + seconds, done))
        try:
            async with asyncio.timeout(seconds):
                confirmed = await answer
        except TimeoutError:
            confirmed = False
        if not confirmed:
            error = "Kafka has not confirmed the articles: try again, sending twice is harmless"
            raise Rejected(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_confirmed", error))


def _size(records: Sequence[Record]) -> int:
    return sum(len(record.value or b"") for record in records)


def _json(status: HTTPStatus, content: Mapping[str, Any], **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(content, status_code=status, headers=named)


def _refusal(rejected: Rejected, retry_seconds: int, *, close: bool) -> Response:
    for problem in rejected.problems:
        REFUSED.labels(problem.reason).inc()
    headers = {"connection": "close"} if close else {}
    if rejected.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["retry_after"] = str(retry_seconds)
    if rejected.status is HTTPStatus.UNAUTHORIZED:
        headers["www_authenticate"] = "Bearer"
    return _json(rejected.status, {"errors": [problem.shown() for problem in rejected.problems]}, **headers)


async def _describe(_: Request) -> Response:
    return _json(HTTPStatus.OK, openapi())


WAYS = "articles go to POST /v1/articles, and DELETE /v1/articles/ID takes one out"


async def _no_such(_: Request, error: Exception) -> Response:
    """The framework's own answers, which are 404 and 405, in our form."""
    if not isinstance(error, HTTPException):
        raise TypeError("handles HTTPException only")
    status = HTTPStatus(error.status_code)
    text = f"no such path: {WAYS}, and GET /openapi.json describes it"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        text = f"no such method here: {WAYS}"
    shown = Problem(status, status.name.lower(), text).shown()
    return JSONResponse({"errors": [shown]}, status_code=status, headers=error.headers)


def _counting(send: Send) -> Send:
    """Count the answer by its status."""

    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            REQUESTS.labels(str(int(message["status"]))).inc()
        await send(message)

    return counted


class Connection(H11Protocol):
    """A connection that may not be open for long without a request, nor be one of too many."""

    def __init__(self, *args: Any, most: int, crowded: Callable[..., Awaitable[None]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most = most
        self._crowded = crowded
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; its first request is due."""
        super().connection_made(transport)
        if len(self.connections) > CROWD * self._most:
            transport.abort()
            return
        if len(self.connections) > self._most:
            self.app = self._crowded
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, by whatever side."""
        super().connection_lost(exc)
        self._stop_watching()

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        super().data_received(data)
        self._watch_head()

    def _watch_head(self) -> None:
        """The time runs while a request has begun and its head is not complete.

        Where none has begun since the last answer, the server itself closes the connection.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class Server(uvicorn.Server):
    """The web server; says when it listens."""

    def __init__(self, gateway: Gateway, health: Health) -> None:
        settings = gateway.settings
        super().__init__(
            uvicorn.Config(
                gateway,
                host=settings.host,
                port=settings.port,
                http=partial(Connection, most=settings.connections, crowded=gateway.crowded),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                # Whoever is in hand gets its answer: the longest that a request may take.
                timeout_graceful_shutdown=math.ceil(settings.body_seconds + settings.confirm_seconds),
            )
        )
        self._health = health

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; exit status 1 when the address is not to be had."""
        try:
            await super().startup(sockets)
        except SystemExit:
            sys.exit(1)
        port = self.servers[0].sockets[0].getsockname()[1]
        log.info("gateway listens", host=self.config.host, listening=port)
        self._health.green("start")


def open_keys(settings: GatewaySettings, health: Health) -> KeysFile | None:
    """The keys, if there is a file of them; exit status 2 when they cannot be used or are missing."""
    if settings.api_keys_file is None:
        if not settings.on_loopback:
            _refuse(
                f"setting GATEWAY_HOST: {settings.host} can be reached from elsewhere, and no keys are set: let "
                "GATEWAY_API_KEYS_FILE name a file with a line `NAME KEY` for each sender, or listen on 127.0.0.1"
            )
        return None
    try:
        return KeysFile(settings.api_keys_file, health)
    except BadKeys as error:
        _refuse(f"setting GATEWAY_API_KEYS_FILE: {settings.api_keys_file}: {error}")


def _refuse(line: str) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    sys.exit(EXIT_USE)


def main(settings: GatewaySettings | None = None) -> None:
    """Run one gateway, with the settings from the environment if none are given."""
    settings = settings or load_settings(GatewaySettings)
    set_up_logging(settings.log_level, settings.log_format, SERVICE)
    # Each malformed request is a warning of the server's: anybody could fill the disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    check_codecs(kafka.codec, "kafka-python")
    health = Health(SERVICE)
    keys = open_keys(settings, health)
    sender = Sender(settings, health)
    server = Server(Gateway(settings, sender, keys), health)
    serve_health(health, settings.health_host, settings.health_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server takes these for itself while it runs, and raises them again at its end.
        signal.signal(number, lambda *_: None)
    sender.start()
    server.run()
    sender.close()
