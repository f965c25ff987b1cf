"""Fetching in child processes, politely: so many at once, one at a time and with a pause for each host.

What a child does with an answer (parsing a feed, reading a page) happens there too, since that is what hostile
content attacks.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Any
from urllib.parse import urlsplit

from protego import Protego
from pydantic import AfterValidator, BaseModel, Field

from services.producer import fetch as fetch_module
from services.producer.children import ChildFailed, Children
from services.producer.decoding import decode_page, slim_page
from services.producer.fetch import Fetched, FetchFailed, Limits, Network, fetch

KILL_AFTER_SECONDS = 10.0
"""A child that needs so much longer than a fetch may take hangs in a parser, and is killed."""

ROBOTS_HOSTS = 1_000
"""Hosts whose robots.txt a child keeps in memory."""


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


class FetchSettings(BaseModel):
    """The settings of every source that fetches."""

    processes: int = Field(default=4, ge=1, le=64, description="Child processes that fetch and parse at once.")
    timeout_seconds: float = Field(default=20.0, gt=0, description="For one fetch, redirects included.")
    max_mb: float = Field(default=10.0, gt=0, description="MiB that one answer may have, decompressed.")
    memory_mb: int = Field(
        default=512, ge=0, description="MiB that a child process may add; what needs more is given up. 0: no limit."
    )
    delay_seconds: float = Field(default=1.0, ge=0, description="Between two requests to the same host.")
    allow_network: list[Annotated[str, AfterValidator(_network)]] = Field(
        default=[],
        description="A network outside the public internet that may be reached all the same, such as 10.1.0.0/16.",
    )
    user_agent: str = Field(
        default="Newsflow/0.1 (news ingestion)",
        pattern=r"^[\x20-\x7e]+$",
        description="What servers are told; put an address of yours into it, so that they can reach you.",
    )
    ignore_robots: bool = Field(default=False, description="Fetch pages that their host's robots.txt excludes.")

    def fetching(self) -> Fetching:
        """The child processes for these settings; the caller stops them."""
        limits = Limits(
            seconds=self.timeout_seconds, most_bytes=int(self.max_mb * 2**20), user_agent=self.user_agent
        )
        network = Network(tuple(self.allow_network), fetch_module.resolve, fetch_module.connect)
        return Fetching(self, limits, network)


class Fetching:
    """Requests waiting, under way and done. `key` is the caller's own name of a request."""

    def __init__(self, settings: FetchSettings, limits: Limits, network: Network) -> None:
        self._settings = settings
        self._seconds = limits.seconds + KILL_AFTER_SECONDS
        self._children = Children(
            settings.processes, settings.memory_mb, _set_up, (network, limits, settings.ignore_robots)
        )
        self._waiting: OrderedDict[str, deque[tuple[Any, Callable[..., Any], tuple[Any, ...]]]] = OrderedDict()
        self._free_at: dict[str, float] = {}
        self._under_way: dict[Future[Any], tuple[Any, str]] = {}

    def ask(self, key: Any, function: Callable[..., Any], url: str, *arguments: Any) -> None:
        """Have `function(url, *arguments)` run in a child when its host's turn comes."""
        host = urlsplit(url).netloc.lower() if "//" in url else url
        self._waiting.setdefault(host, deque()).append((key, function, (url, *arguments)))

    @property
    def pending(self) -> int:
        """Requests waiting or under way."""
        return len(self._under_way) + sum(map(len, self._waiting.values()))

    def take(self) -> list[tuple[Any, Any]]:
        """The requests that are done, each with its result or its `FetchFailed`; starts those whose turn it is."""
        done = [future for future in self._under_way if future.done()]
        results = []
        for future in done:
            key, host = self._under_way.pop(future)
            self._free_at[host] = time.monotonic() + self._settings.delay_seconds
            results.append((key, self._result(future)))
        self._start()
        return results

    def stop(self) -> None:
        """End the children; what is under way is given up."""
        self._children.stop()

    def _result(self, future: Future[Any]) -> Any:
        try:
            return self._children.result(future, self._seconds)
        except FetchFailed as failed:
            return failed
        except ChildFailed as failed:
            return FetchFailed(failed.reason, failed.error)
        except Exception as error:  # noqa: BLE001 - a parser's own bug is one answer's verdict
            return FetchFailed("unreadable", f"it cannot be read: {type(error).__name__}: {error}")

    def _start(self) -> None:
        busy = {host for _, host in self._under_way.values()}
        now = time.monotonic()
        for host in list(self._waiting):
            if len(self._under_way) >= self._settings.processes:
                return
            if host in busy or self._free_at.get(host, 0.0) > now:
                continue
            waiting = self._waiting[host]
            key, function, arguments = waiting.popleft()
            if not waiting:
                del self._waiting[host]
            self._under_way[self._children.submit(self._seconds, function, *arguments)] = (key, host)
        if len(self._free_at) > ROBOTS_HOSTS:
            self._free_at = {host: at for host, at in self._free_at.items() if at > now}


# ---------------------------------------------------------------- in the child process

_here: tuple[Network, Limits, bool] | None = None
_robots: OrderedDict[str, Protego | None] = OrderedDict()


def _set_up(network: Network, limits: Limits, ignore_robots: bool) -> None:
    global _here  # noqa: PLW0603 - a pool has no other place for what its children keep
    _here = (network, limits, ignore_robots)


def fetch_here(url: str, etag: str | None = None, modified: str | None = None) -> Fetched:
    """`fetch` with this child's limits."""
    if _here is None:
        raise RuntimeError("the child process has not been set up")
    network, limits, _ = _here
    return fetch(url, network, limits, etag, modified)


def read_page(url: str, most_bytes: int) -> tuple[str, str]:
    """The URL where a page is in the end, and its HTML, without scripts and styles where it is over `most_bytes`.

    Raises `FetchFailed`, with `robots` where the host's robots.txt excludes the page and `not_html` for anything
    but HTML.
    """
    _heed_robots(url)
    fetched = fetch_here(url)
    kind = fetched.content_type.split(";")[0].strip().lower()
    if kind not in ("", "text/html", "application/xhtml+xml"):
        raise FetchFailed("not_html", f"it is {kind}, and no HTML")
    page = slim_page(decode_page(fetched.content, fetched.content_type), most_bytes)
    if not page.strip():
        raise FetchFailed("empty", "the page is empty")
    return fetched.url, page


def _heed_robots(url: str) -> None:
    if _here is None or _here[2]:
        return
    parts = urlsplit(url)
    site = f"{parts.scheme}://{parts.netloc}"
    if site not in _robots:
        _robots[site] = _read_robots(site)
        if len(_robots) > ROBOTS_HOSTS:
            _robots.popitem(last=False)
    rules = _robots[site]
    if rules is not None and not rules.can_fetch(url, _here[1].user_agent):
        raise FetchFailed("robots", f"{site}/robots.txt excludes it; --ignore-robots fetches it all the same")


def _read_robots(site: str) -> Protego | None:
    """The rules of a site; None where it has none.

    RFC 9309, 2.3.1: a robots.txt that is not there is no rule; a site that cannot be reached forbids everything.
    """
    try:
        content = fetch_here(f"{site}/robots.txt").content
    except FetchFailed as failed:
        if failed.reason in ("status", "too_large", "bomb", "redirects", "bad_answer"):
            return None
        raise FetchFailed(failed.reason, f"{site}/robots.txt: {failed.error}", failed.retry_after) from None
    return Protego.parse(content.decode("utf-8", "replace"))
