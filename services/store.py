"""What the cores keep their memories in; on disk it is services/runtime/partition_store.py."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Keys and values that outlive the process."""

    def get(self, key: bytes) -> bytes | None:
        """The value, if there is one."""

    def put(self, key: bytes, value: bytes) -> None:
        """Remember."""

    def delete(self, key: bytes) -> None:
        """Forget; nothing happens where there is none."""


class MemoryStore:
    """A store that ends with the process: for a dry run."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, if there is one."""
        return self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Remember."""
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        """Forget."""
        self.rows.pop(key, None)
