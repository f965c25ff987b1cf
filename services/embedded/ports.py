"""Free ports on loopback for the stack's listeners."""

import random
import socket
from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"

LOWEST, HIGHEST = 20_000, 29_999
"""Below the range from which systems take the ports of outgoing connections (Linux: from 32,768). A port of that
range can be taken while a killed broker restarts, even by a client of ours that tries to reach it."""


def choose_ports(names: Iterable[str], wanted: Mapping[str, int]) -> dict[str, int]:
    """A free port for each name: the wanted one if it is free, else a random one; all different."""
    chosen: dict[str, int] = {}
    held: list[socket.socket] = []
    try:
        for name in names:
            candidates = [wanted[name]] if name in wanted else []
            candidates += random.sample(range(LOWEST, HIGHEST + 1), k=100)
            holder = _hold_first(candidates)
            held.append(holder)
            chosen[name] = holder.getsockname()[1]
    finally:
        for holder in held:
            holder.close()
    return chosen


def _hold_first(candidates: Iterable[int]) -> socket.socket:
    for port in candidates:
        holder = socket.socket()
        # As the servers do: a port whose old connections are still dying is free.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((HOST, port))
            holder.listen(1)
        except OSError:
            holder.close()
        else:
            return holder
    raise OSError(f"no free port on {HOST} from {LOWEST} to {HIGHEST}")
