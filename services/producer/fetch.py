"""Fetching from addresses that strangers name: where a request may go, how much may come back, and for how long.

Every connection goes through `Network`: a name is resolved once, each of its addresses is judged, and the socket
is opened to the very address that was judged. A redirect is a new request, judged as the first one was. Proxies
are not used, since behind one nobody knows where a request ends up.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

REDIRECTS = 5
"""Redirects that are followed: browsers take 20, a page that needs more than three is a loop."""

LONGEST_URL = 2_083
"""Characters; the longest that browsers agree on."""

CHUNK_BYTES = 65_536

RATIO_FROM_BYTES = 1_048_576
"""Below so many bytes nothing is a bomb, however well it was compressed."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchFailed(Exception):
    """Nothing usable came. `reason` is one short word; `retry_after` is what the server asked for, in seconds."""

    def __init__(self, reason: str, error: str, retry_after: float | None = None) -> None:
        super().__init__(reason, error, retry_after)
        self.reason = reason
        self.error = error
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.error

    @property
    def passes(self) -> bool:
        """Whether another try may do better."""
        return self.reason in PASSING


PASSING = frozenset({"timeout", "connection", "unavailable", "crashed", "memory"})
"""Reasons that may be gone at the next try."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connect(address: tuple[str, int], timeout: float) -> socket.socket:
    """A TCP connection to an address that is no name; raises OSError."""
    return socket.create_connection(address, timeout)


@dataclass(frozen=True)
class Network:
    """What a request may reach. Nothing but addresses of the public internet, and the `allowed` networks.

    `resolve` and `connect` are the only two ways to the network.
    """

    allowed: tuple[str, ...] = ()
    resolve: Callable[[str, int], Sequence[str]] = resolve
    connect: Callable[[tuple[str, int], float], socket.socket] = connect

    def open(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection to `host`, at an address that may be reached; raises `FetchFailed`."""
        try:
            addresses = [ipaddress.ip_address(each) for each in self.resolve(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise FetchFailed("connection", f"the name {host} cannot be resolved: {error}") from None
        for address in addresses:
            if not self.may_reach(address):
                raise FetchFailed(
                    "forbidden", f"{host} is at {address}, which is not of the public internet: see --allow-network"
                )
        failure: OSError | None = None
        for address in addresses:
            try:
                return self.connect((str(address), port), timeout)
            except OSError as error:
                failure = error
        raise FetchFailed("connection", f"{host} cannot be reached: {failure or 'it has no address'}")

    def may_reach(self, address: Address) -> bool:
        """Whether an address is public or allowed; of one that wraps an IPv4 address, that one must be too."""
        for network in map(ipaddress.ip_network, self.allowed):
            if address.version == network.version and address in network:
                return True
        inner = _wrapped(address)
        if inner is not None:
            return self.may_reach(inner)
        return address.is_global and not address.is_multicast and not address.is_reserved


def _wrapped(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64)."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


@dataclass(frozen=True)
class Limits:
    """How much of a stranger's answer is taken."""

    seconds: float = 20.0
    """For everything from the first name to the last byte, redirects included."""
    most_bytes: int = 10 * 2**20
    """Decompressed."""
    most_ratio: float = 200.0
    """Decompressed bytes to bytes on the wire: HTML and XML reach 20, seldom 50; a bomb has 1,000."""
    user_agent: str = "Newsflow/0.1"


@dataclass(frozen=True)
class Fetched:
    """An answer: the URL that it came from in the end, and its body, decompressed. `unchanged` is a 304."""

    url: str
    content: bytes = b""
    content_type: str = ""
    etag: str | None = None
    modified: str | None = None
    unchanged: bool = False


@dataclass
class _Deadline:
    """Ends a request from outside when its time is over, even one that gets a byte a second."""

    seconds: float
    sockets: list[socket.socket] = field(default_factory=list)
    over: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return max(0.01, self.seconds - (time.monotonic() - self.began))

    def end(self) -> None:
        self.over = True
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def _within(seconds: float) -> Iterator[_Deadline]:
    deadline = _Deadline(seconds)
    timer = threading.Timer(seconds, deadline.end)
    timer.daemon = True
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()


def fetch(
    url: str, network: Network, limits: Limits, etag: str | None = None, modified: str | None = None
) -> Fetched:
    """What is at `url`; with `etag` or `modified`, only if it has changed since.

    Raises `FetchFailed` with the reason `bad_url`, `forbidden`, `connection`, `timeout`, `too_large`, `bomb`,
    `redirects`, `unavailable` (429 and 5xx), `status` (any other) or `bad_answer`.
    """
    headers = {"User-Agent": limits.user_agent, "Accept-Encoding": "gzip", "Accept": "*/*"}
    if etag:
        headers["If-None-Match"] = etag
    if modified:
        headers["If-Modified-Since"] = modified
    with _within(limits.seconds) as deadline:
        try:
            for _ in range(REDIRECTS + 1):
                answer = _request(url, headers, network, limits, deadline)
                if deadline.over:  # what ended with the connection only looks whole
                    _timed_out(limits)
                if isinstance(answer, Fetched):
                    return answer
                url = answer
        except FetchFailed:
            if deadline.over:
                _timed_out(limits)
            raise
        except (HTTPError, OSError, ValueError) as error:
            if deadline.over:
                _timed_out(limits)
            raise _failure(error, limits) from None
    raise FetchFailed("redirects", f"it redirects more than {REDIRECTS} times")


def _timed_out(limits: Limits) -> NoReturn:
    raise FetchFailed("timeout", f"no whole answer within {limits.seconds:g} s") from None


def _failure(error: Exception, limits: Limits) -> FetchFailed:
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return FetchFailed("timeout", f"no whole answer within {limits.seconds:g} s")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return FetchFailed("bad_answer", f"what it says is compressed cannot be decompressed: {error}")
    if isinstance(error, urllib3.exceptions.ProtocolError | OSError | urllib3.exceptions.SSLError):
        return FetchFailed("connection", f"the connection broke: {error}")
    return FetchFailed("bad_answer", f"its answer cannot be read: {type(error).__name__}: {error}")


def checked_url(url: str) -> Any:
    """The URL in its parts; raises `FetchFailed` for one that nobody should be asked for."""
    try:
        parts = urllib3.util.parse_url(url)
        plain = urlsplit(url)
    except (HTTPError, ValueError):
        raise FetchFailed("bad_url", f"{url[:200]!r} is no URL") from None
    if parts.scheme not in ("http", "https"):
        raise FetchFailed("forbidden", f"only http and https are fetched, not {parts.scheme or 'nothing'}")
    if not parts.host or len(url) > LONGEST_URL or any(sign < "!" for sign in url):
        raise FetchFailed(
            "bad_url", f"{url[:200]!r} has no host, white space in it, or over {LONGEST_URL} characters"
        )
    if parts.auth is not None or plain.username is not None:
        raise FetchFailed("forbidden", "a URL with a user name or password is not fetched")
    return parts


def _request(
    url: str, headers: dict[str, str], network: Network, limits: Limits, deadline: _Deadline
) -> Fetched | str:
    """An answer, or the URL to go on with."""
    parts = checked_url(url)
    host = parts.host.strip("[]")
    # Said aloud: what stands after the last colon of an IPv6 address would be taken for one.
    port = parts.port or (443 if parts.scheme == "https" else 80)

    def open_socket(_: HTTPConnection) -> socket.socket:
        opened = network.open(host, port, deadline.left)
        deadline.sockets.append(opened)
        if deadline.over:  # the time was over while it was being opened
            deadline.end()
        return opened

    # The two classes that urllib3 asks for a connection; only how the socket is opened differs from its own.
    if parts.scheme == "https":
        kind: Any = type("GuardedHTTPS", (HTTPSConnection,), {"_new_conn": open_socket})
        pool: Any = urllib3.HTTPSConnectionPool(host, port, retries=False, timeout=limits.seconds)
    else:
        kind = type("Guarded", (HTTPConnection,), {"_new_conn": open_socket})
        pool = urllib3.HTTPConnectionPool(host, port, retries=False, timeout=limits.seconds)
    pool.ConnectionCls = kind
    with pool:
        answer = pool.urlopen(
            "GET", parts.request_uri, headers=headers, redirect=False, preload_content=False, decode_content=True
        )
        try:
            return _answer(url, answer, limits)
        finally:
            answer.close()


def _answer(url: str, answer: Any, limits: Limits) -> Fetched | str:
    status: int = answer.status
    if status in (301, 302, 303, 307, 308):
        target = answer.headers.get("location")
        if not target:
            raise FetchFailed("bad_answer", f"it answered {status} without saying where to go")
        return urljoin(url, str(target).strip())
    if status == 304:
        return Fetched(url, unchanged=True)
    if status != 200:
        passing = status == 429 or status >= 500
        raise FetchFailed(
            "unavailable" if passing else "status", f"the server answered {status}", _retry_after(answer)
        )
    return Fetched(
        url,
        _body(answer, limits),
        answer.headers.get("content-type", ""),
        answer.headers.get("etag"),
        answer.headers.get("last-modified"),
    )


def _body(answer: Any, limits: Limits) -> bytes:
    """The decompressed body; what is too large is noticed while it comes, not when it is there."""
    body = bytearray()
    for chunk in answer.stream(CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > limits.most_bytes:
            raise FetchFailed("too_large", f"it has more than the {limits.most_bytes} bytes allowed")
        if len(body) > RATIO_FROM_BYTES and len(body) > limits.most_ratio * max(answer.tell(), 1):
            raise FetchFailed("bomb", f"it unpacks to more than {limits.most_ratio:g} times its size")
    return bytes(body)


def _retry_after(answer: Any) -> float | None:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return None  # a date, or nothing: the back-off of our own does
