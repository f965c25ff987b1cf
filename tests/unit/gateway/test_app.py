from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.topics import MAX_RAW_BYTES
from services.embedded.ports import choose_ports
from services.gateway import app
from services.gateway.core import CONTENT_TYPES
from services.gateway.keys import KeysFile
from services.runtime.health import Health
from tests.unit.gateway.driving import ARTICLE, JSON, LINES, Answer, Rig, body, lines, rig

KEY = "k" * 32
LIMITED = "l" * 32
ROOT = Path(__file__).parents[3]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with rig(monkeypatch, body_bytes=2_000_000, body_records=5, confirm_seconds=30) as found:
        yield found


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"newsflow_gateway_{name}", labels) or 0.0


# ------------------------------------------------------------ 202


def test_202_names_every_article_in_order(made: Rig) -> None:
    before = count("accepted_articles_total")
    answer = made.post(lines(body(id="1"), body(id="2")), LINES)
    assert answer.status == 202
    assert [each["id"].encode() for each in answer.json["accepted"]] == [key for _, key, _ in made.broker.stored]
    assert count("accepted_articles_total") == before + 2


def test_202_comes_only_when_kafka_has_confirmed(made: Rig) -> None:
    made.broker.holds = True

    async def scenario() -> None:
        asking = asyncio.create_task(made.ask(body()))
        await asyncio.to_thread(made.broker.sent.wait, 30)
        assert count("in_flight_records") == 1
        done, _ = await asyncio.wait([asking], timeout=0.2)
        assert not done, "it answered before the confirmation"
        made.broker.confirm()
        assert (await asking).status == 202

    asyncio.run(scenario())
    assert count("in_flight_records") == 0


def test_compressed_bodies_and_cloud_events_are_taken(made: Rig) -> None:
    assert made.post(gzip.compress(lines(body(), body())), LINES | {"content-encoding": "gzip"}).status == 202
    event = {"specversion": "1.0", "id": "e", "source": "/cms", "type": "t", "data": json.loads(body())}
    structured = {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert made.post(json.dumps(event).encode(), structured).status == 202
    binary = JSON | {"ce-id": "e", "ce-source": "/cms", "ce-type": "t", "ce-specversion": "1.0"}
    assert made.post(body(), binary).status == 202
    assert len({key for _, key, _ in made.broker.stored}) == 1


def test_a_large_body_is_taken(made: Rig) -> None:
    assert made.post(lines(*[body(id=str(number), body="x" * 300_000) for number in range(4)]), LINES).status == 202


# ------------------------------------------------------------ refusals


def test_nothing_is_sent_when_one_line_is_wrong(made: Rig) -> None:
    before = count("refused_total", reason="invalid_record")
    answer = made.post(lines(body(), body(hedline="x"), body()), LINES)
    assert (answer.status, answer.errors[0]["line"], answer.errors[0]["field"]) == (422, 2, "hedline")
    assert made.post(lines(body(), b"{"), LINES).status == 400
    assert made.broker.stored == []
    assert count("refused_total", reason="invalid_record") == before + 1


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"", JSON, 400, "empty"),
        (b"no gzip", JSON | {"content-encoding": "gzip"}, 400, "invalid_gzip"),
        (body(), {}, 415, "content_type"),
        (body(), {"content-type": "text/plain"}, 415, "content_type"),
        (body(), JSON | {"content-encoding": "br"}, 415, "content_encoding"),
        (lines(*[body()] * 6), LINES, 413, "too_many_lines"),
        (body(body="x" * MAX_RAW_BYTES), JSON, 413, "too_large"),
        (b"x" * 2_000_001, JSON, 413, "body_too_large"),
        (gzip.compress(b"x" * 50_000_000), JSON | {"content-encoding": "gzip"}, 413, "body_too_large"),
        (body(), JSON | {"content-length": "2000001"}, 413, "body_too_large"),
    ],
)
def test_what_is_refused(made: Rig, content: bytes, headers: dict[str, str], status: int, reason: str) -> None:
    answer = made.post(content, headers)
    assert (answer.status, answer.reason) == (status, reason)
    assert made.broker.stored == []


def test_a_content_length_that_lies_does_not_matter(made: Rig) -> None:
    for length in ("1", "x", "-1", ""):
        assert made.post(body(), JSON | {"content-length": length}).status == 202
    answer = made.post([b"x" * 60_000] * 50, JSON | {"content-length": "10"})
    assert (answer.status, answer.reason) == (413, "body_too_large")


def test_other_paths_and_methods_are_told_in_json(made: Rig) -> None:
    assert made.post(b"", path="/nowhere").status == 404
    assert made.post(b"", path="/v1/articles/").status == 404
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD"):
        answer = made.post(b"", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


# ------------------------------------------------------------ taking an article out

NAME = article_id(RawArticle(**ARTICLE))


def delete(made: Rig, path: str, headers: dict[str, str] | None = None) -> Answer:
    return made.post(b"", headers or {}, path=f"/v1/articles/{path}", method="DELETE")


def test_a_deleted_article_is_a_tombstone_on_kafka(made: Rig) -> None:
    before = count("accepted_articles_total"), count("accepted_tombstones_total")
    answer = delete(made, NAME)
    assert (answer.status, answer.json) == (202, {"accepted": [{"id": NAME}]})
    assert made.broker.stored == [("night-articles-raw", NAME.encode(), None)]
    assert (count("accepted_articles_total"), count("accepted_tombstones_total")) == (before[0], before[1] + 1)
    assert made.gateway.budget._records == 0


def test_it_is_taken_out_when_kafka_has_confirmed(made: Rig) -> None:
    made.broker.fails = KafkaTimeoutError()
    answer = delete(made, NAME)
    assert (answer.status, answer.reason, "retry-after" in answer.headers) == (503, "not_confirmed", True)
    assert made.gateway.budget._records == 0


@pytest.mark.parametrize("name", [NAME.upper(), NAME[:-1], f"{NAME}0", "7", f"{NAME}\n", "é" * 32])
def test_what_is_no_article_id_is_refused(made: Rig, name: str) -> None:
    answer = delete(made, name)
    assert (answer.status, answer.reason, answer.errors[0]["field"]) == (422, "invalid_id", "id")
    assert made.broker.stored == []


def test_only_delete_is_for_an_article(made: Rig) -> None:
    for method in ("GET", "PUT", "POST", "HEAD"):
        answer = made.post(b"", path=f"/v1/articles/{NAME}", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "DELETE")
    assert delete(made, f"{NAME}/").status == 404


def test_a_body_of_a_deletion_is_read_and_not_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v1/articles/{NAME}"
    with rig(monkeypatch, body_seconds=0.05) as made:
        assert made.post([b"x" * 1_000] * 3, path=path, method="DELETE").status == 202
        answer = made.post([b"x"], path=path, method="DELETE", stalls=True)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert len(made.broker.stored) == 1


def test_429_for_a_deletion_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(monkeypatch, confirm_seconds=1, in_flight_records=1, body_records=1) as made:
        made.broker.holds = True
        assert made.post(body()).status == 503
        assert delete(made, NAME).status == 429
        made.broker.confirm()


def test_a_key_for_some_publishers_shows_whose_article_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"desk {KEY}\nwire {LIMITED} a.example, harbour-post.example\n")
    limited = {"authorization": f"Bearer {LIMITED}"}
    linked = article_id(RawArticle(publisher="a.example", url="https://a.example/1?x=2", body="any"))
    others = article_id(RawArticle(publisher="other.example", id="7", body="any"))
    with rig(monkeypatch, KeysFile(path, Health("gateway"))) as made:
        assert delete(made, NAME).status == 401
        assert delete(made, NAME, {"authorization": f"Bearer {KEY}"}).status == 202
        assert delete(made, f"{NAME}?publisher=harbour-post.example&id=7", limited).status == 202
        assert (
            delete(made, f"{linked}?publisher=a.example&url=https://A.example/1?x=2%23top", limited).status == 202
        )
        for refused in (
            NAME,
            f"{NAME}?id=7",
            f"{NAME}?publisher=harbour-post.example",
            f"{NAME}?publisher=harbour-post.example&id=8",
            f"{NAME}?publisher=a.example&id=7",
            f"{others}?publisher=other.example&id=7",
            f"{others}?publisher=a.example&id=7",
        ):
            answer = delete(made, refused, limited)
            assert (answer.status, answer.errors[0]["field"]) == (403, "publisher"), refused
        answer = delete(made, f"{NAME}?publisher=a.example&url=ftp://a.example", limited)
        assert (answer.status, answer.errors[0]["error"].split(":")[0]) == (422, "url")
        assert [key.decode() for _, key, _ in made.broker.stored] == [NAME, NAME, linked]


def test_the_interface_describes_itself(made: Rig) -> None:
    answer = made.post(b"", path="/openapi.json", method="GET")
    assert answer.status == 200
    assert answer.json["openapi"] == "3.1.0"


def test_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"desk {KEY}\nwire {LIMITED} a.example\n")
    with rig(monkeypatch, KeysFile(path, Health("gateway"))) as made:
        for wrong in ({}, {"authorization": f"Bearer {KEY}x"}, {"authorization": f"Basic {KEY}"}):
            answer = made.post(body(), JSON | wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert made.post(body(), JSON | {"authorization": f"Bearer {KEY}"}).status == 202
        assert json.loads(made.broker.stored[0][2] or b"")["producer"] == "gateway:desk"
        limited = JSON | {"authorization": f"Bearer {LIMITED}"}
        answer = made.post(body(), limited)
        assert (answer.status, answer.errors[0]["field"]) == (403, "publisher")
        assert made.post(body(publisher="a.example"), limited).status == 202


def test_408_for_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(monkeypatch, body_seconds=0.05) as made:
        answer = made.post([b"{"], stalls=True)
        assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_a_client_that_goes_away_leaves_nothing_behind(made: Rig) -> None:
    answer = made.post([b"{"], leaves=True)
    assert (answer.status, answer.reason) == (400, "cut_off")
    assert made.gateway.budget._bytes == 0


def test_a_refused_body_is_read_before_the_answer_as_far_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(monkeypatch, body_seconds=0.05) as made:
        rest = iter([b"x" * 1_000] * 10)
        assert "connection" not in made.post(rest, {"content-type": "text/plain"}).headers
        assert next(rest, None) is None
        assert made.post([b"x"], {"content-type": "text/plain"}, stalls=True).headers["connection"] == "close"
        endless = iter(lambda: b"x" * 1_000_000, b"")
        assert made.post(endless, {"content-type": "text/plain"}).headers["connection"] == "close"


# ------------------------------------------------------------ 429, 503, 500


@pytest.mark.parametrize(
    "limits",
    [
        {"in_flight_records": 2, "body_records": 2},
        {"in_flight_bytes": 2_048, "body_bytes": 1_024},
    ],
)
def test_429_when_too_much_is_in_flight(monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]) -> None:
    with rig(monkeypatch, confirm_seconds=30, **limits) as made:
        made.broker.holds = True
        text = body(body="x" * 700)

        async def scenario() -> None:
            first = [asyncio.create_task(made.ask(text)) for _ in range(2)]
            await asyncio.to_thread(wait_until, lambda: len(made.broker.held) == 2)
            answer = await made.ask(text)
            assert (answer.status, answer.reason) == (429, "busy")
            made.broker.confirm()
            assert [(await each).status for each in first] == [202, 202]
            made.broker.holds = False
            assert (await made.ask(text)).status == 202

        asyncio.run(scenario())


def test_503_when_kafka_does_not_confirm_in_time_and_its_room_stays_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(monkeypatch, confirm_seconds=1, in_flight_records=1, body_records=1) as made:
        made.broker.holds = True
        answer = made.post(body())
        assert (answer.status, answer.reason) == (503, "not_confirmed")
        assert "harmless" in answer.errors[0]["error"]
        assert made.post(body()).status == 429
        made.broker.confirm()
        made.broker.holds = False
        assert made.post(body()).status == 202


def test_503_when_kafka_fails_and_every_room_is_given_back(made: Rig) -> None:
    made.broker.fails = KafkaTimeoutError()
    for _ in range(3):
        assert made.post(lines(body(), body()), LINES).status == 503
    made.post(b"x" * 2_000_001)
    made.post(b"{")
    made.post([b"{"] * 3, {"content-type": "text/plain"})
    assert made.gateway.budget._records == made.gateway.budget._bytes == 0


def test_500_says_nothing_of_the_article_in_the_log(made: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ferries")

    lines: list[str] = []
    monkeypatch.setattr(app.log, "error", lambda text, **about: lines.append(f"{text} {about}"), raising=False)
    monkeypatch.setattr(app, "read_articles", broken)
    answer = made.post(body())
    assert (answer.status, answer.reason) == (500, "failed")
    logged = "".join(lines)
    assert "RuntimeError" in logged
    assert "ferries" not in logged
    assert made.gateway.budget._bytes == 0


def test_requests_are_counted_by_status(made: Rig) -> None:
    before = {status: count("requests_total", status=status) for status in ("202", "400", "404")}
    made.post(body())
    made.post(b"{")
    made.post(b"", path="/nowhere")
    assert {status: count("requests_total", status=status) - at for status, at in before.items()} == {
        "202": 1,
        "400": 1,
        "404": 1,
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "publisher",
    "body",
    "html",
    "id",
    "url",
    "published",
    "subjects",
    "producer",
    "revision",
    "extra",
    "hedline",
]
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6)
NEARLY = OBJECTS.map(lambda found: body(**found)) | st.sampled_from(
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"publisher": "p", "body": "x", "revision": ' + b"9" * 5_000 + b"}",
        b'{"publisher": "p", "body": "\\ud800"}',
        b'{"publisher": "p", "body": "x", "url": "http://[::1"}',
        b'{"publisher": "p", "body": "x", "published": "9999-12-31T23:59:59-12:00"}',
    ]
)
EVENTS = st.dictionaries(
    st.sampled_from(["specversion", "id", "source", "type", "data", "data_base64", "datacontenttype", "ext"]),
    st.sampled_from(["1.0", "t", json.loads(body()), float("nan"), 10**400, "e30="]) | VALUES,
)
BODIES = st.binary() | NEARLY | st.lists(NEARLY | st.binary(), max_size=7).map(b"\n".join)


@pytest.fixture(scope="module")
def long_made() -> Iterator[Rig]:
    patched = pytest.MonkeyPatch()
    with rig(patched, body_bytes=2_000_000, body_records=5) as found:
        yield found
    patched.undo()


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    content=BODIES | EVENTS.map(lambda found: json.dumps(found).encode()),
    media=st.sampled_from([*CONTENT_TYPES, "text/plain"]),
    encoding=st.sampled_from([None, "gzip", "br"]),
    version=st.sampled_from([None, "1.0", "0.3", "é"]),
    packed=st.booleans(),
)
def test_no_body_whatsoever_gives_a_5xx(
    long_made: Rig, content: bytes, media: str, encoding: str | None, version: str | None, packed: bool
) -> None:
    headers = {"content-type": media}
    headers |= {"content-encoding": encoding} if encoding else {}
    headers |= {"ce-specversion": version} if version else {}
    before = len(long_made.broker.stored)
    answer = long_made.post(gzip.compress(content, 1) if packed else content, headers)
    assert answer.status in (202, 400, 413, 415, 422)
    assert (len(long_made.broker.stored) > before) == (answer.status == 202)


# ------------------------------------------------------------ on a real connection


class Listening:
    """A gateway with its web server on loopback, in a thread."""

    def __init__(self, made: Rig) -> None:
        self.server = app.Server(made.gateway, made.health)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive())
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/articles"

    def connect(self, sent: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        made.sendall(sent)
        return made

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[tuple[Listening, Rig]]:
    with rig(monkeypatch, port=0, **settings) as made:
        found = Listening(made)
        try:
            yield found, made
        finally:
            found.server.should_exit = True
            found.thread.join(30)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def request(content: bytes = b"", *, length: int | None = None, kind: str = "application/json") -> bytes:
    size = len(content) if length is None else length
    return (
        f"POST /v1/articles HTTP/1.1\r\nhost: gateway\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    ).encode() + content


def test_one_connection_takes_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as (found, made), requests.Session() as session:
        assert made.health.reason is None
        for status, content in ((202, body()), (400, b"{"), (202, body())):
            answer = session.post(found.url, data=content, headers=JSON, timeout=30)
            assert answer.status_code == status
        assert session.post(found.url, data=iter([body()]), headers=JSON, timeout=30).status_code == 202
        assert found.connections == 1
        assert "server" not in answer.headers


def test_a_large_refused_body_gets_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break: answer without reading on; the client sees a reset connection in place of the 413."""
    with listening(monkeypatch, body_bytes=10_000) as (found, _):
        answer = requests.post(found.url, data=b"x" * 12_000_000, headers=JSON, timeout=30)
        assert answer.status_code == 413


def test_a_client_that_asks_before_it_sends_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as (found, _):
        asking = request(length=1_000, kind="text/plain").replace(b"host", b"expect: 100-continue\r\nhost", 1)
        with found.connect(asking) as connection:
            assert everything(connection).startswith(b"HTTP/1.1 415 ")


def test_one_connection_too_many_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEAD_SECONDS", 1_000)
    with listening(monkeypatch, connections=2) as (found, _):
        first = [found.connect(), found.connect()]
        wait_until(lambda: found.connections == 2)
        answer = requests.post(found.url, data=body(), headers=JSON, timeout=30)
        assert (answer.status_code, answer.json()["errors"][0]["reason"]) == (503, "too_many_connections")
        assert int(answer.headers["retry-after"]) >= 1
        more = [found.connect() for _ in range(2)]
        wait_until(lambda: found.connections == 4)
        with found.connect() as last, suppress(ConnectionError):
            assert everything(last) == b"", "closed without a word"
        for connection in (*first, *more):
            connection.close()
        wait_until(lambda: found.connections == 0)
        assert requests.post(found.url, data=body(), headers=JSON, timeout=30).status_code == 202


@pytest.mark.parametrize("begun", [b"", b"POST /v1/articles HTTP/1.1\r\nhost:"])
def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(app, "HEAD_SECONDS", 0.3)
    with listening(monkeypatch) as (found, _), found.connect(begun) as connection, suppress(ConnectionError):
        assert everything(connection) == b""


@pytest.mark.parametrize("at_once", [True, False])
def test_nor_is_the_head_of_a_second_request(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    monkeypatch.setattr(app, "HEAD_SECONDS", 0.3 if not at_once else 1_000)
    monkeypatch.setattr(app, "KEEP_ALIVE_SECONDS", 0.3 if at_once else 1_000)
    begun = b"POST /v1/articles HTTP/1.1\r\nhost:"
    with listening(monkeypatch) as (found, _), found.connect(request(body()) + begun * at_once) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 202 ")
        with suppress(ConnectionError):
            connection.sendall(begun * (not at_once))
            assert b"HTTP" not in everything(connection)


def test_a_head_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEAD_SECONDS", 1_000)
    begun = b"POST /v1/articles HTTP/1.1\r\nx-long: " + b"x" * 20_000
    with listening(monkeypatch) as (found, _), found.connect(begun) as connection, suppress(ConnectionError):
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


def test_a_slow_body_is_refused_while_a_slow_confirmation_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEAD_SECONDS", 0.05)
    with listening(monkeypatch, body_seconds=0.2, confirm_seconds=30) as (found, made):
        made.broker.holds = True
        with found.connect(request(body())) as waiting, found.connect(request(b"{", length=100)) as slow:
            assert everything(slow).startswith(b"HTTP/1.1 408 ")
            wait_until(lambda: len(made.broker.held) == 1)
            made.broker.confirm()
            assert waiting.recv(100).startswith(b"HTTP/1.1 202 ")


def test_a_stop_finishes_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch, confirm_seconds=30) as (found, made):
        made.broker.holds = True
        with found.connect(request(body())) as waiting:
            wait_until(lambda: len(made.broker.held) == 1)
            found.server.should_exit = True
            wait_until(lambda: not found.server.servers[0].is_serving())
            with pytest.raises(ConnectionRefusedError):
                found.connect()
            made.broker.confirm()
            assert everything(waiting).startswith(b"HTTP/1.1 202 ")
        found.thread.join(30)
        assert not found.thread.is_alive()


# ------------------------------------------------------------ the process


def process(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.gateway"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PATH": "", **environment},
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GATEWAY_HOST": "0.0.0.0"}, b"GATEWAY_API_KEYS_FILE"),
        ({"GATEWAY_API_KEYS_FILE": "/nowhere/keys"}, b"cannot be read"),
        ({"GATEWAY_PORT": "x"}, b"GATEWAY_PORT"),
    ],
)
def test_wrong_use_is_exit_status_2_and_a_line(environment: dict[str, str], said: bytes) -> None:
    with process(**environment) as running:
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, b"")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_port_that_is_taken_is_exit_status_1() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, process(GATEWAY_PORT=str(taken.getsockname()[1])) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert b"in use" in err


def test_sigterm_is_exit_status_0_even_when_kafka_is_away() -> None:
    port = choose_ports(["gateway"], {})["gateway"]
    with process(GATEWAY_PORT=str(port)) as running:

        def answers() -> bool:
            try:
                return requests.get(f"http://127.0.0.1:{port}/openapi.json", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        wait_until(answers)
        answer = requests.post(f"http://127.0.0.1:{port}/v1/articles", data=body(), headers=JSON, timeout=60)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err.decode()
    assert b"ferries" not in err
