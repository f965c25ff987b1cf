"""A real HTTP server for feeds: each host (an address of loopback) answers its paths as a test says."""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

Answer = Callable[[BaseHTTPRequestHandler, int], None]
"""Answers a request; the number says how often the path was asked for before."""


@dataclass
class Web:
    """The server of one test. It listens on every address of loopback, so that each feed has a host of its own."""

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)
    servers: list[ThreadingHTTPServer] = field(default_factory=list)
    port: int = 0

    def start(self) -> None:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = (self.connection.getsockname()[0], self.path)
                turn = web.asked[key]
                web.asked[key] += 1
                answer = web.answers.get(key)
                if answer is None:
                    self.send_error(404)
                    return
                answer(self, turn)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """A test's own output is enough."""

        self._handler = Handler

    def host(self, number: int) -> str:
        """Begin to listen on 127.0.7.NUMBER, and nowhere else; returns `address:port`."""
        address = f"127.0.7.{number}"
        server = ThreadingHTTPServer((address, self.port), self._handler)
        server.daemon_threads = True
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return f"{address}:{self.port}"

    def stop(self) -> None:
        self.ended.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


def plain(body: str | bytes, kind: str = "application/rss+xml", **headers: str) -> Answer:
    content = body.encode() if isinstance(body, str) else body

    def answer(request: BaseHTTPRequestHandler, turn: int) -> None:
        etag = f'"{zlib.crc32(content)}"'
        if request.headers.get("If-None-Match") == etag:
            request.send_response(304)
            request.end_headers()
            return
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        if headers.get("etag", "yes") == "yes":
            request.send_header("ETag", etag)
        if "encoding" in headers:
            request.send_header("Content-Encoding", headers["encoding"])
        request.end_headers()
        request.wfile.write(content)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """The first one at the first request, and so on; the last one for all that come after."""
    return lambda request, turn: answers[min(turn, len(answers) - 1)](request, turn)


def redirect(*targets: str) -> Answer:
    """To each target in turn, round and round."""

    def answer(request: BaseHTTPRequestHandler, turn: int) -> None:
        request.send_response(302)
        request.send_header("Location", targets[turn % len(targets)])
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def silent(web: Web) -> Answer:
    def answer(request: BaseHTTPRequestHandler, turn: int) -> None:
        web.ended.wait(600)

    return answer


def bomb() -> Answer:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b" " * 2**20) for _ in range(300)) + packer.flush()
    return plain(packed, encoding="gzip")


ENTITY_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha ha ha ha ha ha ha ha ha ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + ']><rss version="2.0"><channel><title>T</title><item><title>&j;</title></item></channel></rss>'
)


@dataclass(frozen=True)
class Post:
    """An entry of a feed: its own id, headline, whole text, and whether the feed has the text or only a summary."""

    id: str
    headline: str
    text: tuple[str, ...]
    in_feed: bool = True


def rss(host: str, posts: list[Post], built: str = "Fri, 27 Nov 2026 06:00:00 GMT") -> str:
    items = "".join(
        f"<item><title>{escape(post.headline)}</title><link>http://{host}/{post.id}</link>"
        f'<guid isPermaLink="false">{post.id}</guid><description>{escape(post.text[0][:60])}</description>'
        + (f"<content:encoded>{escape(html(post))}</content:encoded>" if post.in_feed else "")
        + "<pubDate>Thu, 26 Nov 2026 09:00:00 GMT</pubDate></item>"
        for post in posts
    )
    return (
        '<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>'
        f"<title>{host}</title><link>http://{host}/</link><language>en</language>"
        f"<lastBuildDate>{built}</lastBuildDate>{items}</channel></rss>"
    )


def atom(host: str, posts: list[Post]) -> str:
    entries = "".join(
        f'<entry><title>{escape(post.headline)}</title><link href="http://{host}/{post.id}"/><id>{post.id}</id>'
        f"<updated>2026-11-26T09:00:00Z</updated><summary>{escape(post.text[0][:60])}</summary>"
        + (f'<content type="html">{escape(html(post))}</content>' if post.in_feed else "")
        + "</entry>"
        for post in posts
    )
    return (
        f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>{host}</title><id>urn:{host}</id>'
        f"<updated>2026-11-26T09:00:00Z</updated>{entries}</feed>"
    )


def html(post: Post) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in post.text)


def page(post: Post) -> str:
    return (
        f"<!DOCTYPE html><html lang='en'><head><title>{escape(post.headline)}</title></head><body><article>"
        f"<h1>{escape(post.headline)}</h1>{html(post)}</article></body></html>"
    )
