"""`newsflow` with the network replaced: what is not loopback is written down and never connected.

    python -m tests.live.loopback_main produce rss …

LOOPBACK_TRIED names the file of what was tried; LOOPBACK_UNGUARDED=1 breaks the guard on purpose.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path


def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses only: no name is ever looked up."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        raise OSError(f"no name is resolved in a test: {host}") from None


def connect(address: tuple[str, int], timeout: float) -> socket.socket:
    if not ipaddress.ip_address(address[0]).is_loopback:
        with Path(os.environ["LOOPBACK_TRIED"]).open("a") as tried:
            tried.write(f"{address[0]}\n")
        raise OSError("a test connects to nothing but loopback")
    return socket.create_connection(address, timeout)


def may_reach(*_: object) -> bool:
    return True
