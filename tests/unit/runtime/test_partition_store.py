from __future__ import annotations

from pathlib import Path

from services.runtime.partition_store import PartitionStore, StateFolder

HOUR = 3600


def test_what_is_saved_comes_back_with_its_position(tmp_path: Path) -> None:
    folder = StateFolder.take(tmp_path, "deduper", 8)
    store = folder.open("articles-clean", 3, HOUR)
    assert store.position == 0
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    store.delete(b"b")
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (b"1", None, None)
    store.save(7)
    store.delete(b"a")
    assert store.get(b"a") is None
    store.close()
    again = folder.open("articles-clean", 3, HOUR)
    assert (again.get(b"a"), again.position) == (b"1", 7), "what was not saved is not there"
    again.close()


def test_partitions_and_topics_have_stores_of_their_own(tmp_path: Path) -> None:
    folder = StateFolder.take(tmp_path, "linker", 8)
    stores = [folder.open(topic, number, HOUR) for topic in ("a", "b") for number in range(2)]
    for number, store in enumerate(stores):
        store.put(b"k", str(number).encode())
        store.save(number)
    assert [store.get(b"k") for store in stores] == [b"0", b"1", b"2", b"3"]
    for store in stores:
        store.close()


def test_a_topic_made_anew_has_an_empty_store(tmp_path: Path) -> None:
    """Its offsets begin again: a position of the old one would pass over new records."""
    folder = StateFolder.take(tmp_path, "linker", 8)
    for topic_id, expected in (("first", None), ("first", b"v"), ("second", None)):
        store = folder.open("a", 0, HOUR, topic_id)
        assert (store.get(b"k"), store.position) == (expected, 9 if expected else 0)
        store.put(b"k", b"v")
        store.save(9)
        store.close()


def test_processes_share_a_folder_without_sharing_a_store(tmp_path: Path) -> None:
    one, other = (StateFolder.take(tmp_path, "linker", 8) for _ in range(2))
    assert one.path != other.path
    gone = one.path
    one.release()
    assert StateFolder.take(tmp_path, "linker", 8).path == gone, "the slot of a process that ended is free again"


def test_without_a_folder_each_process_has_a_new_one() -> None:
    one, other = (StateFolder.take(None, "linker", 8) for _ in range(2))
    assert one.path != other.path
    assert isinstance(one.open("a", 0, HOUR), PartitionStore)
