"""What a process remembers of one Kafka partition, on this machine's disk, and up to which record.

The store is a cache of the topic that it was made from: where it is missing or behind, those records are read
again. It is written in one step with the offset up to which it holds, so that it never holds half a record.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka import KafkaAdminClient
from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

_POSITION = b"\0position"
_TOPIC_ID = b"\0topic"

MOST_SLOTS = 64
"""Processes on one machine that share a folder; each takes the first slot that nobody holds."""


@dataclass
class StateFolder:
    """A folder that no other process uses, with the memory that all its stores share."""

    path: Path
    cache: Cache
    _lock: int | None = field(default=None, repr=False)

    @classmethod
    def take(cls, folder: Path | None, name: str, cache_mb: int) -> StateFolder:
        """The first free slot of `folder`/`name`; without a folder a new one in the system's for what is temporary.

        Raises `OSError` where nothing can be written, or every slot is held.
        """
        cache = Cache(cache_mb * 2**20)
        if folder is None:
            return cls(Path(tempfile.mkdtemp(prefix=f"newsflow-{name}-")), cache)
        for slot in range(MOST_SLOTS):
            path = folder / name / str(slot)
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            return cls(path, cache, lock)
        raise OSError(f"all {MOST_SLOTS} slots of {folder / name} are in use")

    def release(self) -> None:
        """Leave the slot to others; the system does it when the process ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, topic: str, partition: int, seconds: int, topic_id: str = "") -> PartitionStore:
        """The store of one partition; what was put more than `seconds` ago may be gone from it.

        A topic that was deleted and made anew has another `topic_id`: its store starts empty.
        """
        return PartitionStore(self.path / f"{topic}-{partition}", self.cache, seconds, topic_id.encode())


class PartitionStore:
    """Keys and values, and the offset of the next record. Changes are kept back until `save`."""

    def __init__(self, path: Path, cache: Cache, seconds: int, topic_id: bytes) -> None:
        table = BlockBasedOptions()
        # The library's own cache is 2 GiB for each store.
        table.set_block_cache(cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_bloom_filter(10, False)
        # A filter or index in one piece grows with its file, until it is larger than a shard of the cache and is
        # read anew for each key: at 10⁶ paragraphs that took half of all time.
        table.set_index_type(BlockBasedIndexType.two_level_index_search())
        table.set_partition_filters(True)
        table.set_pin_top_level_index_and_filter(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_size(8 * 2**20)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        self._rows = Rdict(str(path), options, access_type=AccessType.read_write().with_ttl(seconds))
        self._changes: dict[bytes, bytes | None] = {}
        self._topic_id = topic_id
        if self._rows.get(_TOPIC_ID) != topic_id:
            self._empty()

    def get(self, key: bytes) -> bytes | None:
        """The value, as the changes kept back have it."""
        if key in self._changes:
            return self._changes[key]
        found: bytes | None = self._rows.get(key)
        return found

    def put(self, key: bytes, value: bytes) -> None:
        """Remember."""
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        """Forget; nothing happens where there is none."""
        self._changes[key] = None

    @property
    def position(self) -> int:
        """The offset of the first record that this does not hold; 0 for an empty store."""
        stored = self._rows.get(_POSITION)
        return int(stored) if stored else 0

    def save(self, position: int) -> None:
        """Write the changes and the position in one step."""
        batch = WriteBatch(raw_mode=True)
        for key, value in self._changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_TOPIC_ID, self._topic_id)
        batch.put(_POSITION, str(position).encode())
        self._rows.write(batch)
        self._changes.clear()

    def _empty(self) -> None:
        batch = WriteBatch(raw_mode=True)
        for key in list(self._rows.keys()):
            batch.delete(key)
        self._rows.write(batch)

    def flush(self) -> None:
        """Write what is in memory to the files of the store, which else happens when it is 8 MiB."""
        self._rows.flush()

    def close(self) -> None:
        """Let go of the files."""
        self._rows.close()


def topic_id(servers: Sequence[str], topic: str) -> str:
    """The id that Kafka gave the topic when it was made. Raises `KafkaError` where it does not answer."""
    admin = KafkaAdminClient(bootstrap_servers=list(servers))
    try:
        (found,) = admin.describe_topics([topic])
        return str(found["topic_id"])
    finally:
        admin.close()
