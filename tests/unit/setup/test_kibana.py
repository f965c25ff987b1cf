from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from services.setup import kibana
from services.setup.kibana import KibanaError, import_objects, shipped_objects
from services.setup.settings import SetupSettings

AVAILABLE = (200, {"status": {"overall": {"level": "available"}}})
IMPORT = "/api/saved_objects/_import?overwrite=true"
DEFAULT = "/api/data_views/default"
NAMES = [
    "index-pattern:news-articles",
    "search:news-newest",
    "dashboard:newsroom",
    "index-pattern:news-dead-letters",
    "search:news-dead-letters",
    "dashboard:dead-letters",
]
TAKEN = (200, {"success": True, "successCount": len(NAMES)})

Answer = tuple[int, Any]


class Kibana:
    """Answers each path with what the test says, in turn and then the last again, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "/api/status": [AVAILABLE],
            IMPORT: [TAKEN],
            DEFAULT: [(200, {"acknowledged": True})],
        }
        self.asked: list[str] = []
        self.headers: dict[str, Any] = {}
        self.bodies: dict[str, bytes] = {}
        kibana = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                kibana.asked.append(f"{self.command} {self.path}")
                kibana.headers[self.path] = self.headers
                kibana.bodies[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answers = kibana.answers[self.path]
                status, said = answers.pop(0) if len(answers) > 1 else answers[0]
                body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kibana]:
    monkeypatch.setattr(kibana, "PAUSE_SECONDS", 0.02)
    kibana_server = Kibana()
    thread = Thread(target=kibana_server.server.serve_forever, args=(0.01,))
    thread.start()
    yield kibana_server
    kibana_server.server.shutdown()
    kibana_server.server.server_close()
    thread.join()


def settings(url: str | None, **more: Any) -> SetupSettings:
    given = {"elastic_password": SecretStr("söcret"), "setup_wait_seconds": 5.0, **more}
    return SetupSettings(
        kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1", kibana_url=url, **given
    )


def test_every_object_is_imported_and_named(server: Kibana) -> None:
    assert import_objects(settings(server.url)) == NAMES
    assert server.asked == ["GET /api/status", f"POST {IMPORT}", f"POST {DEFAULT}"]


def test_kibana_may_be_below_a_path(server: Kibana) -> None:
    server.answers = {f"/news{path}": answers for path, answers in server.answers.items()}
    assert import_objects(settings(f"{server.url}/news/")) == NAMES


def test_the_shipped_file_goes_over_as_kibana_wants_it(server: Kibana) -> None:
    import_objects(settings(server.url))
    content_type = server.headers[IMPORT]["Content-Type"]
    parts = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + server.bodies[IMPORT])
    assert parts.is_multipart()
    [part] = list(parts.walk())[1:]
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_filename() == "news.ndjson"
    assert part.get_payload(decode=True) == shipped_objects().encode()
    assert server.headers[IMPORT]["kbn-xsrf"]


def test_the_articles_are_the_default_data_view(server: Kibana) -> None:
    import_objects(settings(server.url))
    assert json.loads(server.bodies[DEFAULT]) == {"data_view_id": "news-articles", "force": True}
    assert server.headers[DEFAULT]["kbn-xsrf"]


def test_logs_in_as_elastic(server: Kibana) -> None:
    import_objects(settings(server.url))
    for path in ("/api/status", IMPORT, DEFAULT):
        header: str = server.headers[path]["Authorization"]
        scheme, _, login = header.partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(login).decode() == "elastic:söcret"


def test_without_a_password_no_login_is_sent(server: Kibana) -> None:
    import_objects(settings(server.url, elastic_password=None))
    assert "Authorization" not in server.headers[IMPORT]


def test_success_false_is_an_error_though_the_status_is_200(server: Kibana) -> None:
    error = {"type": "dashboard", "id": "newsroom", "error": {"type": "missing_references"}}
    server.answers[IMPORT] = [(200, {"success": False, "successCount": 5, "errors": [error]})]
    with pytest.raises(KibanaError, match="took 5 of 6 objects: dashboard:newsroom missing_references"):
        import_objects(settings(server.url))
    assert f"POST {DEFAULT}" not in server.asked


def test_success_false_is_an_error_though_the_count_is_right(server: Kibana) -> None:
    server.answers[IMPORT] = [(200, {"success": False, "successCount": 6})]
    with pytest.raises(KibanaError, match="no reason given"):
        import_objects(settings(server.url))


@pytest.mark.parametrize("count", [0, 5, 7, None])
def test_a_wrong_count_is_an_error_though_it_says_success(server: Kibana, count: int | None) -> None:
    server.answers[IMPORT] = [(200, {"success": True, "successCount": count})]
    with pytest.raises(KibanaError, match=f"took {count} of 6"):
        import_objects(settings(server.url))


def test_waits_until_kibana_is_available(server: Kibana) -> None:
    server.answers["/api/status"] = [
        (503, "Kibana server is not ready yet"),
        (200, "<html>starting</html>"),
        (200, {"status": {"overall": {"level": "degraded"}}}),
        AVAILABLE,
    ]
    assert import_objects(settings(server.url)) == NAMES
    assert server.asked[:5] == ["GET /api/status"] * 4 + [f"POST {IMPORT}"]


def test_a_kibana_that_stumbles_in_between_is_asked_again(server: Kibana) -> None:
    server.answers[IMPORT] = [(503, {"message": "no Elasticsearch"}), (429, {}), (502, "<html>"), TAKEN]
    assert import_objects(settings(server.url)) == NAMES
    assert server.asked.count(f"POST {IMPORT}") == 4


def test_waiting_has_an_end(server: Kibana) -> None:
    server.answers["/api/status"] = [(503, "Kibana server is not ready yet")]
    with pytest.raises(KibanaError, match=r"not ready after 0.2 s: it answers 503"):
        import_objects(settings(server.url, setup_wait_seconds=0.2))
    assert 2 <= len(server.asked) <= 20


def test_a_kibana_that_is_not_there_is_waited_for(server: Kibana) -> None:
    with pytest.raises(KibanaError, match=r"not ready after 0.1 s: \w*Connection\w*"):
        import_objects(settings("http://127.0.0.1:1", setup_wait_seconds=0.1))


@pytest.mark.parametrize("path", ["/api/status", IMPORT, DEFAULT])
def test_refused_credentials_end_it_at_once_and_are_not_told(server: Kibana, path: str) -> None:
    server.answers[path] = [(401, {"statusCode": 401, "error": "Unauthorized"})]
    with pytest.raises(KibanaError, match="401: Kibana refuses elastic") as error:
        import_objects(settings(server.url))
    assert "söcret" not in str(error.value)
    assert len([asked for asked in server.asked if asked.endswith(path)]) == 1


def test_a_kibana_that_wants_a_login_is_told_of(server: Kibana) -> None:
    server.answers["/api/status"] = [(401, {})]
    with pytest.raises(KibanaError, match="set ELASTIC_PASSWORD"):
        import_objects(settings(server.url, elastic_password=None))


def test_another_refusal_says_what_kibana_says(server: Kibana) -> None:
    server.answers[IMPORT] = [(400, {"message": "Invalid file extension"})]
    with pytest.raises(KibanaError, match=r"400: .*Invalid file extension"):
        import_objects(settings(server.url))


@pytest.mark.parametrize(("url", "says"), [(None, "KIBANA_URL is not set"), ("http://", "not an address")])
def test_an_address_is_needed(url: str | None, says: str) -> None:
    with pytest.raises((ValueError, KibanaError), match=says):
        import_objects(settings(url))


def test_the_data_views_follow_the_prefix_and_nothing_else_does() -> None:
    plain = [json.loads(line) for line in shipped_objects().splitlines()]
    prefixed = [json.loads(line) for line in shipped_objects("trial-").splitlines()]
    views = [place for place, each in enumerate(plain) if each["type"] == "index-pattern"]
    titles = [[items[place]["attributes"].pop("title") for place in views] for items in (plain, prefixed)]
    # The aliases and not the indices: what an alias hides is hidden, and a second index counts nothing twice.
    assert titles == [
        ["news-articles", "news-dead-letters"],
        ["trial-news-articles", "trial-news-dead-letters"],
    ]
    assert prefixed == plain
