"""Against a server of its own on loopback, which answers as Elasticsearch does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.search_client import SearchClient, SearchError


class Index:
    """The answers that are due, and what was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, dict[str, str], Any]] = []


@pytest.fixture
def index() -> Iterator[tuple[Index, str]]:
    found = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            found.asked.append((self.path, dict(self.headers), json.loads(body) if body else None))
            status, answer = found.answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_asks_as_elasticsearchs_client_does(index: tuple[Index, str]) -> None:
    found, address = index
    found.answers = [(200, b'{"hits": {"hits": []}}'), (200, b'{"count": 7}'), (200, b"{}")]
    settings = ElasticsearchSettings(
        kafka_bootstrap_servers="-",
        elasticsearch_url=f"http://{address}/es/",
        elasticsearch_api_key=SecretStr("c2VjcmV0"),
    )
    with settings.search_client() as client:
        answer = client.search(index="news", query={"match_all": {}}, collapse=None, source_includes=["id"], size=0)
        assert answer == {"hits": {"hits": []}}
        assert client.count(index="news") == 7
        client.refresh(index="news")
    assert [(path, body) for path, _, body in found.asked] == [
        ("/es/news/_search", {"query": {"match_all": {}}, "size": 0, "_source": {"includes": ["id"]}}),
        ("/es/news/_count", None),
        ("/es/news/_refresh", None),
    ]
    assert {headers["authorization"] for _, headers, _ in found.asked} == {"ApiKey c2VjcmV0"}


def test_a_user_of_the_address_goes_into_no_path(index: tuple[Index, str]) -> None:
    found, address = index
    found.answers = [(200, b'{"count": 7}')]
    with SearchClient(f"http://reader:w%40rd@{address}") as client:
        assert client.count(index="news") == 7
    assert base64.b64decode(found.asked[0][1]["authorization"].removeprefix("Basic ")) == b"reader:w@rd"


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (
            404,
            b'{"error": {"type": "index_not_found_exception", "reason": "no index"}}',
            "no index",
        ),
        (403, b'{"error": {"type": "security_exception", "reason": "unauthorized"}}', "security_exception"),
        (400, b'{"error": "a word"}', "a word"),
        (200, b"<html>", "no JSON"),
    ],
)
def test_what_is_refused_says_why(index: tuple[Index, str], status: int, answer: bytes, text: str) -> None:
    found, address = index
    found.answers = [(status, answer)]
    with SearchClient(f"http://{address}") as client, pytest.raises(SearchError, match=text) as error:
        client.count(index="news")
    assert error.value.status == status


def test_an_overloaded_server_is_asked_again(index: tuple[Index, str]) -> None:
    found, address = index
    found.answers = [(429, b"{}"), (503, b"{}"), (200, b'{"count": 7}')]
    with SearchClient(f"http://{address}") as client:
        assert client.count(index="news") == 7


def test_no_server_is_an_error_without_a_status() -> None:
    with SearchClient("http://127.0.0.1:1") as client, pytest.raises(SearchError) as error:
        client.count(index="news")
    assert error.value.status is None


@pytest.mark.parametrize("verb", ["search", "status"])
def test_a_command_that_searches_does_without_the_large_client(verb: str) -> None:
    code = f"import sys, services.cli.{verb}\nprint(*{{'elasticsearch', 'aiohttp', 'httpx'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
