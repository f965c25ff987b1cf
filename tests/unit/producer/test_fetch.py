"""The guard of every fetch. No packet leaves the process: a table resolves names, connections are socket pairs."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.producer.fetch import PASSING, Fetched, FetchFailed, Limits, Network, fetch

PUBLIC = "93.184.215.14"

FORBIDDEN = [
    "127.0.0.1",
    "127.8.9.10",
    "10.0.0.1",
    "172.16.5.5",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:a00:1::",
    "2002:7f00:1::1",
]

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Web:
    """Names with their addresses, and what each address answers; it writes down who is asked for what."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    """Host -> its addresses at the first, second, … time that it is resolved (the last one stays)."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Path -> answer."""
    connected: list[str] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        turns = self.names.get(host, [[PUBLIC]])
        return turns.pop(0) if len(turns) > 1 else turns[0]

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.connected.append(address[0])
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.open += [ours, theirs]
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket) -> None:
        request = b""
        try:
            while b"\r\n\r\n" not in request:
                got = connection.recv(65536)
                if not got:
                    return
                request += got
            self.asked.append(request)
            answer = self.answers[request.split(b" ")[1].decode()]
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)
            connection.close()
        except OSError:
            connection.close()  # the other side gave up: that is what is tested

    def network(self, *allowed: str) -> Network:
        return Network(allowed, self.resolve, self.connect)


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    for each in web.open:
        each.close()


def ok(body: bytes, *headers: str) -> bytes:
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def moved(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def get(web: Web, url: str, limits: Limits | None = None, *allowed: str) -> Fetched:
    return fetch(url, web.network(*allowed), limits or Limits(seconds=5))


def failure(web: Web, url: str, limits: Limits | None = None) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        get(web, url, limits)
    return caught.value


def test_a_public_address_is_fetched_at_the_address_that_was_judged(web: Web) -> None:
    web.answers = {"/a?b=c": ok(b"hello", "Content-Type: text/html; charset=utf-8", 'ETag: "7"')}
    web.names = {"news.example": [[PUBLIC], ["127.0.0.1"]]}  # whoever asks again is led astray
    fetched = get(web, "http://news.example/a?b=c")
    assert (fetched.content, fetched.content_type, fetched.etag) == (b"hello", "text/html; charset=utf-8", '"7"')
    assert web.connected == [PUBLIC]
    assert b"Host: news.example\r\n" in web.asked[0]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_leads_to_a_forbidden_address_is_not_connected(web: Web, address: str) -> None:
    web.names = {"news.example": [[address]]}
    failed = failure(web, "http://news.example/")
    assert failed.reason == "forbidden"
    assert not failed.passes
    assert "--allow-network" in failed.error
    assert web.connected == []


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_forbidden_address_in_the_url_is_not_connected(web: Web, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert failure(web, f"http://{host}/latest/meta-data").reason == "forbidden"
    assert web.connected == []


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_redirect_to_a_forbidden_address_is_not_followed(web: Web, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    web.answers = {"/": moved(f"http://{host}/secret")}
    assert failure(web, "http://news.example/").reason == "forbidden"
    assert web.connected == [PUBLIC]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "127.1"])
def test_other_ways_to_write_loopback_are_judged_by_what_they_resolve_to(web: Web, host: str) -> None:
    web.names = {host: [["127.0.0.1"]]}  # as the system's resolver reads them
    assert failure(web, f"http://{host}/").reason == "forbidden"
    assert web.connected == []


def test_one_forbidden_address_among_public_ones_forbids_the_name(web: Web) -> None:
    web.names = {"news.example": [[PUBLIC, "10.0.0.1"]]}
    assert failure(web, "http://news.example/").reason == "forbidden"
    assert web.connected == []


def test_a_name_that_changes_between_two_redirects_is_judged_again(web: Web) -> None:
    web.names = {"news.example": [[PUBLIC], ["169.254.169.254"]]}
    web.answers = {"/": moved("/again")}
    assert failure(web, "http://news.example/").reason == "forbidden"
    assert web.connected == [PUBLIC]


def test_an_allowed_network_may_be_reached_and_no_other_one(web: Web) -> None:
    web.answers = {"/": ok(b"intranet")}
    assert get(web, "http://10.1.2.3/", None, "10.1.0.0/16").content == b"intranet"
    with pytest.raises(FetchFailed, match=r"10\.2\.0\.1"):
        get(web, "http://10.2.0.1/", None, "10.1.0.0/16")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_in_each_wrapping(address: ipaddress.IPv4Address) -> None:
    network = Network()
    plain = network.may_reach(address)
    for wrapped in (
        ipaddress.IPv6Address(0xFFFF << 32 | int(address)),
        ipaddress.IPv6Address((0x64FF9B << 96) | int(address)),
        ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)),
    ):
        assert network.may_reach(wrapped) == plain


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://news.example/", "forbidden"),
        ("file:///etc/passwd", "forbidden"),
        ("gopher://news.example/", "forbidden"),
        ("news.example/feed", "forbidden"),
        ("http://user:secret@news.example/", "forbidden"),
        ("http://user@news.example/", "forbidden"),
        ("http:///path", "bad_url"),
        ("http://news.example:99999/", "bad_url"),
        ("http://news.example/a b", "bad_url"),
        ("http://news.example/\r\nHost: x", "bad_url"),
        ("http://news.example/" + "a" * 3000, "bad_url"),
        ("http://[::1", "bad_url"),
        ("", "forbidden"),
    ],
)
def test_what_is_not_fetched_at_all(web: Web, url: str, reason: str) -> None:
    assert failure(web, url).reason == reason
    assert web.connected == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://user:secret@news.example/", "ftp://news.example/"]
)
def test_a_redirect_to_what_is_not_fetched(web: Web, target: str) -> None:
    web.answers = {"/": moved(target)}
    assert failure(web, "http://news.example/").reason == "forbidden"
    assert web.connected == [PUBLIC]


def test_redirects_are_followed_and_counted(web: Web) -> None:
    web.answers = {"/": moved("/b", 301), "/b": moved("http://other.example/c", 307), "/c": ok(b"there")}
    fetched = get(web, "http://news.example/")
    assert (fetched.url, fetched.content) == ("http://other.example/c", b"there")
    web.answers = {"/": moved("/")}
    web.connected.clear()
    assert failure(web, "http://news.example/").reason == "redirects"
    assert len(web.connected) == 6


def test_a_redirect_without_a_target_is_a_bad_answer(web: Web) -> None:
    web.answers = {"/": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"}
    assert failure(web, "http://news.example/").reason == "bad_answer"


def test_what_has_not_changed_is_not_sent_again(web: Web) -> None:
    web.answers = {"/": b"HTTP/1.1 304 Not Modified\r\n\r\n"}
    fetched = fetch(
        "http://news.example/", web.network(), Limits(seconds=5), '"7"', "Fri, 27 Nov 2026 06:00:00 GMT"
    )
    assert fetched.unchanged
    assert b'If-None-Match: "7"\r\n' in web.asked[0]
    assert b"If-Modified-Since: Fri, 27 Nov 2026 06:00:00 GMT\r\n" in web.asked[0]


def test_an_answer_over_the_limit_is_given_up_while_it_comes(web: Web) -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b"x" * 65536)

    web.answers = {"/": endless}
    failed = failure(web, "http://news.example/", Limits(seconds=20, most_bytes=300_000))
    assert failed.reason == "too_large"
    assert "300000" in failed.error
    assert sent < 3_000_000


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_given_up_before_it_is_unpacked(web: Web, layers: int) -> None:
    packed = zlib_bomb(200)
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    encoding = ", ".join(["gzip"] * layers)
    web.answers = {"/": ok(packed, f"Content-Encoding: {encoding}")}
    failed = failure(web, "http://news.example/", Limits(seconds=20, most_bytes=100 * 2**20))
    assert failed.reason == "bomb"
    web.answers = {"/": ok(packed, f"Content-Encoding: {encoding}")}
    assert failure(web, "http://news.example/", Limits(seconds=20, most_bytes=500_000)).reason == "too_large"


def zlib_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(megabytes))
    return packed + packer.flush()


def test_what_is_well_compressed_is_no_bomb(web: Web) -> None:
    page = b"".join(f"<p>Paragraph {number} of a long page.</p>".encode() for number in range(60_000))
    web.answers = {"/": ok(gzip.compress(page), "Content-Encoding: gzip")}
    assert get(web, "http://news.example/").content == page


def test_broken_compression_is_a_bad_answer(web: Web) -> None:
    web.answers = {"/": ok(b"this is no gzip", "Content-Encoding: gzip")}
    assert failure(web, "http://news.example/").reason == "bad_answer"


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"]
)
def test_a_server_that_falls_silent_is_given_up(web: Web, begin: bytes) -> None:
    ended = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.sendall(begin)
        ended.wait(30)

    web.answers = {"/": silent}
    failed = failure(web, "http://news.example/", Limits(seconds=0.5))
    ended.set()
    assert failed.reason == "timeout"
    assert failed.passes


def test_a_server_that_drips_is_given_up(web: Web) -> None:
    """Each byte comes in time; all of them never would."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b"x")

    web.answers = {"/": drip}
    failed = failure(web, "http://news.example/", Limits(seconds=0.7))
    ended.set()
    assert failed.reason == "timeout"


def test_an_answer_cut_off_is_not_taken_for_whole(web: Web) -> None:
    web.answers = {"/": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}
    assert failure(web, "http://news.example/").reason == "connection"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"this is no HTTP at all\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\nhello",
    ],
)
def test_broken_http_is_a_failure_with_a_reason(web: Web, answer: bytes) -> None:
    web.answers = {"/": answer}
    failed = failure(web, "http://news.example/")
    assert failed.reason in {"connection", "bad_answer"}
    assert failed.error


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "status"), (410, "status"), (403, "status"), (500, "unavailable")]
)
def test_a_status_that_is_no_answer(web: Web, status: int, reason: str) -> None:
    web.answers = {"/": f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno".encode()}
    failed = failure(web, "http://news.example/")
    assert failed.reason == reason
    assert str(status) in failed.error
    assert failed.passes == (reason in PASSING)


def test_a_server_that_asks_for_patience_gets_it(web: Web) -> None:
    web.answers = {"/": b"HTTP/1.1 429 Slow down\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"}
    failed = failure(web, "http://news.example/")
    assert (failed.reason, failed.retry_after) == ("unavailable", 120.0)


def test_a_name_without_an_address_and_an_address_without_a_server(web: Web) -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    def refused(address: tuple[str, int], timeout: float) -> socket.socket:
        raise ConnectionRefusedError("Connection refused")

    for network in (Network((), unknown, web.connect), Network((), web.resolve, refused)):
        with pytest.raises(FetchFailed) as caught:
            fetch("http://news.example/", network, Limits(seconds=5))
        assert caught.value.reason == "connection"
        assert caught.value.passes


def test_no_thread_is_left(web: Web) -> None:
    web.answers = {"/": ok(b"hello")}
    get(web, "http://news.example/", Limits(seconds=60))
    for _ in range(100):
        if not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]:
            break
        time.sleep(0.02)
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
