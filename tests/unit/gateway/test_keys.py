from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.gateway.core import Client, Rejected
from services.gateway.keys import BadKeys, KeysFile, read_keys
from services.runtime.health import Health

ONE = "a" * 20
TWO = "b" * 32


def file(folder: Path, text: str) -> Path:
    path = folder / "keys"
    path.write_text(text)
    return path


def change(path: Path, text: str) -> None:
    """With a time of its own: two writes may fall into one tick of the file system's clock."""
    path.write_text(text)
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


def test_a_line_is_a_key() -> None:
    text = f"# who may send\n\ndesk {ONE}\nwire  {TWO}\ta.example, The Post # limited\ndesk {TWO}2\n"
    keys = read_keys(text)
    assert [key.client for key in keys] == [
        Client("desk"),
        Client("wire", frozenset({"a.example", "The Post"})),
        Client("desk"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("desk", "NAME KEY"),
        (f"de/sk {ONE}", "letters"),
        (f"{'x' * 65} {ONE}", "letters"),
        (f"desk {'k' * 19}", "20"),
        (f"desk {'é' * 20}", "ASCII"),
        (f"desk {ONE}\nwire {ONE}", "same key"),
    ],
)
def test_a_wrong_line_is_named_and_its_key_is_not(text: str, said: str) -> None:
    with pytest.raises(BadKeys, match=r"line \d") as caught:
        read_keys(text)
    assert said in str(caught.value)
    assert "kkk" not in str(caught.value)
    assert ONE not in str(caught.value)


def test_the_right_key_is_known_and_no_other(tmp_path: Path) -> None:
    keys = KeysFile(file(tmp_path, f"desk {ONE}\nwire {TWO}\n"), Health("gateway"))
    assert keys.client_of(f"Bearer {ONE}") == Client("desk")
    assert keys.client_of(f"bearer  {TWO} ") == Client("wire")
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {ONE}",
        ONE,
        f"Bearer {ONE}x",
        f"Bearer {ONE[:-1]}",
        "Bearer é",
    ):
        with pytest.raises(Rejected) as caught:
            keys.client_of(wrong)
        assert caught.value.status == 401


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = file(tmp_path, f"desk {ONE}\n")
    health = Health("gateway")
    health.green("start")
    keys = KeysFile(path, health)
    change(path, f"wire {TWO}\n")
    assert keys.client_of(f"Bearer {TWO}") == Client("wire")
    with pytest.raises(Rejected):
        keys.client_of(f"Bearer {ONE}")
    assert health.reason is None


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_becomes_wrong_leaves_the_keys_as_they_were(tmp_path: Path, gone: bool) -> None:
    path = file(tmp_path, f"desk {ONE}\n")
    health = Health("gateway")
    keys = KeysFile(path, health)
    if gone:
        path.unlink()
    else:
        change(path, "desk short\n")
    assert keys.client_of(f"Bearer {ONE}") == Client("desk")
    assert "keys file" in str(health.reason)
    change(path, f"desk {TWO}\n")
    assert keys.client_of(f"Bearer {TWO}") == Client("desk")
    assert "keys file" not in str(health.reason)


def test_a_file_without_a_usable_key_is_none(tmp_path: Path) -> None:
    health = Health("gateway")
    with pytest.raises(BadKeys, match="no key"):
        KeysFile(file(tmp_path, "# nobody yet\n"), health)
    with pytest.raises(BadKeys, match="cannot be read"):
        KeysFile(tmp_path / "none", health)
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadKeys, match="UTF-8"):
        KeysFile(path, health)
