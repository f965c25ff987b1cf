"""Set-up's security against a server that knows passwords, roles and keys, and remembers every request."""

from __future__ import annotations

import json
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, BaseNode, HttpHeaders
from elastic_transport._node import NodeApiResponse
from elasticsearch import Elasticsearch
from pydantic import SecretStr

from schemas.document import INDEX_ALIAS, STANDBY_ALIAS, first_index
from services.setup import app
from services.setup.app import set_up
from services.setup.security import DEFAULT_PASSWORDS, check_passwords, secure
from services.setup.settings import SetupSettings

ELASTIC, KIBANA = "password-of-elastic", "password-of-kibana"

INDEXER_RIGHTS: dict[str, Any] = {
    "cluster": [],
    "indices": [
        {
            "names": ["news-articles*", "news-stories*", "news-dead-letters*"],
            "privileges": [
                "indices:data/write/bulk*",
                "indices:data/write/index*",
                "indices:data/write/delete*",
                "indices:data/read/get*",
                "indices:data/read/mget*",
                "indices:data/read/search*",
                "indices:admin/aliases/get",
                "indices:admin/mappings/get",
            ],
        }
    ],
}
SEARCH_RIGHTS: dict[str, Any] = {
    "cluster": [],
    "indices": [{"names": ["news-articles*", "news-dead-letters*"], "privileges": ["read", "view_index_metadata"]}],
}


@dataclass
class Server:
    """Elasticsearch's security, as far as set-up uses it."""

    passwords: dict[str, str] = field(default_factory=lambda: {"elastic": ELASTIC})
    roles: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of what changes something."""

    def answer(self, method: str, target: str, body: Any, login: str) -> tuple[int, Any]:
        kind, _, secret = login.partition(" ")
        user, _, password = b64decode(secret).decode().partition(":")
        if kind == "Basic" and self.passwords.get(user) != password:
            return 401, {"error": {"type": "security_exception", "reason": "unable to authenticate"}}
        if kind == "ApiKey" and (user not in self.keys or self.keys[user]["secret"] != password):
            return 401, {"error": {"type": "security_exception", "reason": "unable to authenticate"}}
        if method == "GET":
            if target == "/_security/_authenticate":
                return 200, {"username": user, **({"api_key": {"id": user}} if kind == "ApiKey" else {})}
            assert (kind, user) == ("Basic", "elastic"), "an indexer's key may not look at keys"
            if target == "/":
                return 200, {"version": {"number": "9.5.1"}}
            assert target.startswith("/_security/api_key?id=")
            found = {name: value for name, value in self.keys[target.partition("=")[2]].items() if name != "secret"}
            return 200, {"api_keys": [found]}
        assert (kind, user) == ("Basic", "elastic")
        self.asked.append((method, target, body))
        return self._change(method, target, body)

    def _change(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        match method, target.removeprefix("/_security/").split("/"):
            case "PUT", ["user", user, "_password"]:
                self.passwords[user] = body["password"]
                return 200, {}
            case "PUT", ["role", name]:
                created = name not in self.roles
                self.roles[name] = body
                return 200, {"role": {"created": created}}
            case "DELETE", ["api_key"]:
                old = [id_ for id_, key in self.keys.items() if key["name"] == body["name"]]
                for id_ in old:
                    del self.keys[id_]
                return (200 if old else 404), {"invalidated_api_keys": old}
            case "PUT", ["api_key"]:
                id_ = f"id{len(self.asked)}"
                self.keys[id_] = {**body, "id": id_, "secret": f"secret-{id_}"}
                return 200, {"id": id_, "encoded": b64encode(f"{id_}:secret-{id_}".encode()).decode()}
        raise AssertionError(f"{method} {target}")

    def node(self) -> type[BaseNode]:
        server = self

        class Node(BaseNode):
            def perform_request(
                self,
                method: str,
                target: str,
                body: bytes | None = None,
                headers: HttpHeaders | None = None,
                request_timeout: Any = None,
            ) -> NodeApiResponse:
                assert headers is not None
                said = json.loads(body) if body else None
                status, answer = server.answer(method, target, said, headers["authorization"])
                kept = HttpHeaders({"x-elastic-product": "Elasticsearch", "content-type": "application/json"})
                meta = ApiResponseMeta(status, "1.1", kept, 0.0, self.config)
                return NodeApiResponse(meta, json.dumps(answer).encode())

            def close(self) -> None:
                """Nothing is open."""

        return Node


@pytest.fixture
def server() -> Server:
    return Server()


def settings_in(folder: Path | None, **more: Any) -> SetupSettings:
    given: dict[str, Any] = {
        "kafka_bootstrap_servers": "broker.example:9092",
        "elasticsearch_url": "http://search.example:9200",
        "elastic_password": SecretStr(ELASTIC),
        "kibana_password": SecretStr(KIBANA),
        "keys_dir": folder,
        **more,
    }
    return SetupSettings(**given)


@pytest.fixture
def settings(tmp_path: Path) -> SetupSettings:
    return settings_in(tmp_path)


@pytest.fixture
def client(server: Server, settings: SetupSettings) -> Iterator[Elasticsearch]:
    with settings.connect(node_class=server.node()) as client:
        yield client


def key_in(folder: Path, who: str) -> str:
    """The id of the key in this service's file."""
    return b64decode((folder / who / "api_key").read_text()).decode().partition(":")[0]


# ---------------------------------------------------------------- what is asked


def test_roles_the_password_and_keys_of_the_least_rights(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    assert secure(client, settings) == {
        "passwords": ["kibana_system"],
        "roles": ["newsflow_indexer", "newsflow_search"],
        "keys": ["newsflow_indexer", "newsflow_search"],
    }
    assert server.passwords == {"elastic": ELASTIC, "kibana_system": KIBANA}
    assert server.roles == {"newsflow_indexer": INDEXER_RIGHTS, "newsflow_search": SEARCH_RIGHTS}
    keys = {key["name"]: key["role_descriptors"] for key in server.keys.values()}
    # A key without descriptors would have all that `elastic` may do.
    assert keys == {
        "newsflow_indexer": {"newsflow_indexer": INDEXER_RIGHTS},
        "newsflow_search": {"newsflow_search": SEARCH_RIGHTS},
    }
    for who in ("indexer", "search"):
        assert server.keys[key_in(tmp_path, who)]["name"] == f"newsflow_{who}"
    # Only keys of our own user may end: another one's may have the same name.
    assert ("DELETE", "/_security/api_key", {"name": "newsflow_indexer", "owner": True}) in server.asked


def test_what_writes_can_neither_delete_an_index_nor_change_aliases_or_mappings() -> None:
    (indices,) = INDEXER_RIGHTS["indices"]
    kept = {"indices:admin/aliases/get", "indices:admin/mappings/get"}
    assert {each for each in indices["privileges"] if not each.startswith("indices:data/")} == kept
    # Elasticsearch lets these change mappings, whatever their names say.
    assert {"create", "create_doc", "index", "write"}.isdisjoint(indices["privileges"])
    assert {"all", "manage", "delete", "read", "auto_configure"}.isdisjoint(indices["privileges"])


def test_the_index_that_takes_every_write_too_is_within_the_rights() -> None:
    """Set-up gives no new rights in a migration: the key of a running indexer must be good for both."""
    for rights in (INDEXER_RIGHTS, SEARCH_RIGHTS):
        names = rights["indices"][0]["names"]
        assert any(fnmatch(STANDBY_ALIAS, name) for name in names)
        assert any(fnmatch(first_index(INDEX_ALIAS), name) for name in names)


def test_a_key_is_for_its_owner_only(client: Elasticsearch, settings: SetupSettings, tmp_path: Path) -> None:
    secure(client, settings)
    for who in ("indexer", "search"):
        assert stat.S_IMODE((tmp_path / who / "api_key").stat().st_mode) == 0o400
        assert [file.name for file in (tmp_path / who).iterdir()] == ["api_key"]


def test_names_carry_the_prefix(server: Server, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, newsflow_prefix="night-")
    with settings.connect(node_class=server.node()) as client:
        secure(client, settings)
    assert server.roles.keys() == {"night-newsflow_indexer", "night-newsflow_search"}
    assert {key["name"] for key in server.keys.values()} == server.roles.keys()
    names = [role["indices"][0]["names"] for role in server.roles.values()]
    assert names == [
        ["night-news-articles*", "night-news-stories*", "night-news-dead-letters*"],
        ["night-news-articles*", "night-news-dead-letters*"],
    ]


def test_what_is_not_asked_for_stays(server: Server) -> None:
    settings = settings_in(None, kibana_password=None)
    with settings.connect(node_class=server.node()) as client:
        done = secure(client, settings)
    assert (done["passwords"], done["keys"]) == ([], [])
    assert (server.passwords, server.keys) == ({"elastic": ELASTIC}, {})


# ---------------------------------------------------------------- again


def test_again_it_changes_nothing(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    secure(client, settings)
    keys, before = dict(server.keys), (tmp_path / "indexer" / "api_key").read_text()
    server.asked.clear()
    assert secure(client, settings) == {"passwords": [], "roles": [], "keys": []}
    assert [target for _, target, _ in server.asked] == [
        "/_security/role/newsflow_indexer",
        "/_security/role/newsflow_search",
    ]
    assert server.keys == keys
    assert (tmp_path / "indexer" / "api_key").read_text() == before


def test_another_password_of_kibana_is_set(server: Server, client: Elasticsearch, settings: SetupSettings) -> None:
    server.passwords["kibana_system"] = "of-yesterday"
    assert secure(client, settings)["passwords"] == ["kibana_system"]
    assert server.passwords["kibana_system"] == KIBANA


@pytest.mark.parametrize("content", ["", "bm8ta2V5Om9mLW91cnM=\n", "not base64\xff"])
def test_a_key_that_is_none_is_replaced_and_the_older_one_ends(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path, content: str
) -> None:
    secure(client, settings)
    old, kept = key_in(tmp_path, "indexer"), key_in(tmp_path, "search")
    file = tmp_path / "indexer" / "api_key"
    file.unlink()
    file.write_text(content, encoding="latin-1")
    assert secure(client, settings)["keys"] == ["newsflow_indexer"]
    assert server.keys.keys() == {key_in(tmp_path, "indexer"), kept}
    assert old not in server.keys


def test_keys_of_a_lost_elasticsearch_are_replaced(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    secure(client, settings)
    server.keys.clear()
    assert secure(client, settings)["keys"] == ["newsflow_indexer", "newsflow_search"]
    assert server.keys.keys() == {key_in(tmp_path, "indexer"), key_in(tmp_path, "search")}


def test_a_lost_file_ends_its_key(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    secure(client, settings)
    (tmp_path / "search" / "api_key").unlink()
    assert secure(client, settings)["keys"] == ["newsflow_search"]
    assert len(server.keys) == 2


def test_a_key_of_other_rights_or_another_name_is_replaced(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    secure(client, settings)
    server.keys[key_in(tmp_path, "indexer")]["metadata"] = {"rights": "of an older version"}
    search = tmp_path / "search" / "api_key"
    search.unlink()
    search.write_text((tmp_path / "indexer" / "api_key").read_text())
    assert secure(client, settings)["keys"] == ["newsflow_indexer", "newsflow_search"]


def test_a_set_up_that_was_killed_in_mid_write_is_mended(
    server: Server, client: Elasticsearch, settings: SetupSettings, tmp_path: Path
) -> None:
    (tmp_path / "indexer").mkdir()
    part = tmp_path / "indexer" / ".api_key.part"
    part.write_text("half")
    part.chmod(0o400)
    secure(client, settings)
    assert server.keys[key_in(tmp_path, "indexer")]["name"] == "newsflow_indexer"


# ---------------------------------------------------------------- passwords that everybody knows


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_the_shipped_passwords_are_good_on_loopback(address: str) -> None:
    check_passwords(
        settings_in(None, bind_address=address, elastic_password=SecretStr(DEFAULT_PASSWORDS["ELASTIC_PASSWORD"]))
    )


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "", "192.168.1.7", "news.example", "localhost.example"])
@pytest.mark.parametrize("shipped", DEFAULT_PASSWORDS.values())
@pytest.mark.parametrize("variable", DEFAULT_PASSWORDS)
def test_elsewhere_they_are_refused_by_name(address: str, variable: str, shipped: str) -> None:
    settings = settings_in(None, bind_address=address, **{variable.lower(): SecretStr(shipped)})
    with pytest.raises(ValueError, match=rf"BIND_ADDRESS={address}.*{variable} is as shipped.*\.env") as refused:
        check_passwords(settings)
    assert shipped not in str(refused.value)


def test_passwords_of_ones_own_are_good_everywhere() -> None:
    check_passwords(settings_in(None, bind_address="0.0.0.0"))


def test_they_are_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "set_up_topics", lambda _: pytest.fail("Kafka was asked"))
    shipped = {name.lower(): SecretStr(value) for name, value in DEFAULT_PASSWORDS.items()}
    with pytest.raises(ValueError, match="ELASTIC_PASSWORD and KIBANA_PASSWORD are as shipped"):
        set_up(settings_in(None, bind_address="0.0.0.0", **shipped))


# ---------------------------------------------------------------- all of set-up


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, server: Server) -> Server:
    """Set-up meets this server, and a Kafka that has everything."""
    connect = SetupSettings.connect
    monkeypatch.setattr(
        SetupSettings, "connect", lambda self, **more: connect(self, **more, node_class=server.node())
    )
    monkeypatch.setattr(app, "set_up_topics", lambda _: [])
    monkeypatch.setattr(app, "set_up_index", lambda *_: [])
    return server


def test_security_comes_with_set_up_and_only_with_a_password(connected: Server, tmp_path: Path) -> None:
    assert set_up(settings_in(tmp_path)).keys() == {"topics", "passwords", "roles", "keys", "indices"}
    connected.asked.clear()
    key = SecretStr((tmp_path / "search" / "api_key").read_text().strip())
    connected.answer = lambda *_: (200, {})  # type: ignore[method-assign]
    done = set_up(settings_in(None, elastic_password=None, elasticsearch_api_key=key))
    assert done == {"topics": [], "indices": []}
    assert connected.asked == []


def test_a_wrong_password_says_what_is_wrong(connected: Server, tmp_path: Path) -> None:
    connected.passwords["elastic"] = "another"
    with pytest.raises(ValueError, match="ELASTIC_PASSWORD must be") as error:
        set_up(settings_in(tmp_path, setup_wait_seconds=0.01))
    assert ELASTIC not in str(error.value)
