"""API keys: who may send, and for which publishers."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

import structlog

from services.gateway.core import Client, Problem, Rejected
from services.runtime.health import Health

log = structlog.get_logger(__name__)

SHORTEST_KEY = 20
"""Characters: 20 random letters and digits are 119 bits, which nobody guesses."""

COMMENT = re.compile(r"(^|\s)#.*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[\x21-\x7e]+")

ANYBODY = Client(None)
"""Who sends to a gateway without keys."""


class BadKeys(ValueError):
    """A keys file that cannot be used; the text names the line, never a key."""


@dataclass(frozen=True)
class Key:
    """A key's SHA-256, and whose it is."""

    digest: bytes
    client: Client


def read_keys(text: str) -> tuple[Key, ...]:
    """The keys of a file: a line `NAME KEY`, then, if it is limited, its publishers apart by commas.

    One name may have several keys, so that a key can be exchanged. Raises `BadKeys`.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), start=1):
        columns = COMMENT.sub("", line).split(maxsplit=2)
        if columns:
            key = _key(number, columns)
            if any(key.digest == other.digest for other in keys):
                raise BadKeys(f"line {number}: the same key stands above; give each line a key of its own")
            keys.append(key)
    return tuple(keys)


def _key(number: int, columns: list[str]) -> Key:
    if len(columns) == 1:
        raise BadKeys(f"line {number}: must be NAME KEY, and the publishers if the key is limited to some")
    name, key = columns[:2]
    if not NAME.fullmatch(name):
        raise BadKeys(f"line {number}: a name has at most 64 letters, digits, dots, hyphens and underscores")
    if len(key) < SHORTEST_KEY or not KEY.fullmatch(key):
        raise BadKeys(f"line {number}: the key must have {SHORTEST_KEY} characters of ASCII or more")
    publishers = None
    if len(columns) > 2:
        publishers = frozenset(each.strip() for each in columns[2].split(",") if each.strip())
    return Key(sha256(key.encode()).digest(), Client(name, publishers))


class KeysFile:
    """The keys of a file, read again when it changes. Raises `BadKeys` when it has none at the start.

    A file that becomes unreadable or wrong changes nothing but the health: those who could send still can.
    """

    def __init__(self, path: Path, health: Health) -> None:
        self._path = path
        self._health = health
        self._seen = self._signature()
        self._keys = self._read()
        if not self._keys:
            raise BadKeys("it holds no key")

    def client_of(self, authorization: str | None) -> Client:
        """Whose key a request carries; raises `Rejected` (401) when it carries none that is known."""
        self._look()
        scheme, _, given = (authorization or "").partition(" ")
        digest = sha256(given.strip().encode("latin-1", "replace")).digest()
        # All are compared, in constant time: how long it takes tells nothing about a key.
        found = [key.client for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if scheme.lower() != "bearer" or not found:
            error = "send a header `authorization: Bearer KEY` with a key from the gateway's keys file"
            raise Rejected(Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", error))
        return found[0]

    def _look(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._keys = self._read()
        except BadKeys as error:
            self._health.red("keys", f"the keys file cannot be used, the keys before it still hold: {error}")
        else:
            self._health.green("keys")
            log.info("keys read again", keys=len(self._keys))

    def _signature(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> tuple[Key, ...]:
        try:
            return read_keys(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadKeys(f"it cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadKeys("it is not UTF-8") from error
