"""Ports for the stack's listeners."""

import socket

from services.embedded.ports import HIGHEST, HOST, LOWEST, choose_ports


def test_every_name_has_a_port_of_its_own() -> None:
    ports = choose_ports("abcdefgh", {})
    assert list(ports) == list("abcdefgh")
    assert len(set(ports.values())) == 8
    assert all(LOWEST <= port <= HIGHEST for port in ports.values())


def test_a_wanted_port_is_kept_if_it_is_free() -> None:
    wanted = choose_ports("ab", {})
    assert choose_ports("abc", wanted).items() >= wanted.items()


def test_a_wanted_port_that_is_taken_is_replaced() -> None:
    wanted = choose_ports("ab", {})
    with socket.create_server((HOST, wanted["a"])):
        ports = choose_ports("ab", wanted)
    assert ports["a"] != wanted["a"]
    assert ports["b"] == wanted["b"]
