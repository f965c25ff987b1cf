"""Who may do what in Elasticsearch: Kibana's password, a role for each kind of service, and a key of that role."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
from pathlib import Path
from typing import Any

from elasticsearch import AuthenticationException, Elasticsearch

from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, STORIES_ALIAS
from services.setup.settings import SetupSettings

DEFAULT_PASSWORDS = {"ELASTIC_PASSWORD": "newsflow-elastic", "KIBANA_PASSWORD": "newsflow-kibana"}
"""Variable -> the password in the `.env` that everybody can read; good on loopback only."""

KIBANA_USER = "kibana_system"
"""As whom Kibana itself asks Elasticsearch."""

KEY_FILE = "api_key"

PRIVILEGES = {
    # By the names of the actions: each named privilege that writes (create, index, write) may, for the sake of
    # older versions, change the mappings too.
    "indexer": [
        "indices:data/write/bulk*",
        "indices:data/write/index*",
        "indices:data/write/delete*",
        "indices:data/read/get*",
        "indices:data/read/mget*",
        "indices:data/read/search*",
        # Whether a second index takes every write too, and whether the index knows the fields of this version.
        "indices:admin/aliases/get",
        "indices:admin/mappings/get",
    ],
    "search": ["read", "view_index_metadata"],
}
"""Whose key -> what it may do, in its indices and nowhere else."""

INDICES = {
    "indexer": (INDEX_ALIAS, STORIES_ALIAS, DEAD_LETTERS_ALIAS),
    "search": (INDEX_ALIAS, DEAD_LETTERS_ALIAS),
}
"""Whose key -> the indices. The name of the standby begins as that of the articles."""


def check_passwords(settings: SetupSettings) -> None:
    """Raise `ValueError` when a password that everybody knows would guard an address beyond this machine."""
    if _is_loopback(settings.bind_address):
        return
    given = {"ELASTIC_PASSWORD": settings.elastic_password, "KIBANA_PASSWORD": settings.kibana_password}
    known = [
        name
        for name, password in given.items()
        if password and password.get_secret_value() in DEFAULT_PASSWORDS.values()
    ]
    if known:
        raise ValueError(
            f"BIND_ADDRESS={settings.bind_address} is not loopback, and {' and '.join(known)} "
            f"{'is' if len(known) == 1 else 'are'} as shipped, so that everybody knows it. Stop the stack (docker "
            "compose down), set passwords of your own in .env, or BIND_ADDRESS=127.0.0.1, and start again"
        )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:  # a name, or empty: Docker would publish on every address
        return False


def secure(client: Elasticsearch, settings: SetupSettings) -> dict[str, list[str]]:
    """Set what is not as it must be; returns the names of what was set, by kind. Run again, it changes nothing.

    `client` is logged in as `elastic`. Raises the client's own errors, and `OSError` when a key cannot be written.
    """
    roles = [who for who in PRIVILEGES if _put_role(client, settings, who)]
    return {
        "passwords": [KIBANA_USER] if _set_kibana_password(client, settings) else [],
        "roles": [_name(settings, who) for who in roles],
        "keys": [_name(settings, who) for who in PRIVILEGES if _make_key(client, settings, who)],
    }


def _name(settings: SetupSettings, who: str) -> str:
    """Of the role and of its key."""
    return settings.name(f"newsflow_{who}")


def _rights(settings: SetupSettings, who: str) -> dict[str, Any]:
    # The pattern means the alias and the indices behind it: Elasticsearch checks both.
    names = [f"{settings.name(alias)}*" for alias in INDICES[who]]
    return {"cluster": [], "indices": [{"names": names, "privileges": PRIVILEGES[who]}]}


def _set_kibana_password(client: Elasticsearch, settings: SetupSettings) -> bool:
    if settings.kibana_password is None:
        return False
    password = settings.kibana_password.get_secret_value()
    if _whoami(client, basic_auth=(KIBANA_USER, password)):
        return False
    client.security.change_password(username=KIBANA_USER, password=password)
    return True


def _put_role(client: Elasticsearch, settings: SetupSettings, who: str) -> bool:
    answer = client.security.put_role(name=_name(settings, who), **_rights(settings, who))
    created: bool = answer["role"]["created"]
    return created


def _make_key(client: Elasticsearch, settings: SetupSettings, who: str) -> bool:
    """A new key in its file, unless the one that is there is good; an older one of this name ends."""
    if settings.keys_dir is None:
        return False
    name, rights = _name(settings, who), _rights(settings, who)
    # A key keeps the rights that it was made with, whatever becomes of the role; by this it is known whether they
    # are those that it should have.
    metadata = {"rights": hashlib.sha256(json.dumps(rights, sort_keys=True).encode()).hexdigest()}
    file = settings.keys_dir / who / KEY_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    if _is_good(client, file, metadata):
        return False
    # Whatever a set-up that was stopped half-way left behind goes too. Without any, some versions answer 404.
    client.options(ignore_status=404).security.invalidate_api_key(name=name, owner=True)
    made = client.security.create_api_key(name=name, role_descriptors={name: rights}, metadata=metadata)
    _write(file, made["encoded"])
    return True


def _is_good(client: Elasticsearch, file: Path, metadata: dict[str, str]) -> bool:
    try:
        key = file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    me = _whoami(client, api_key=key) if key else None
    if me is None:
        return False
    found = client.security.get_api_key(id=me["api_key"]["id"])["api_keys"]
    return any(each["metadata"] == metadata for each in found)


def _whoami(client: Elasticsearch, **credentials: Any) -> dict[str, Any] | None:
    """Who these credentials are to Elasticsearch; None if nobody."""
    try:
        me: dict[str, Any] = client.options(**credentials).security.authenticate().body
    except AuthenticationException:
        return None
    return me


def _write(file: Path, key: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="ascii") as stream:
        stream.write(key + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
