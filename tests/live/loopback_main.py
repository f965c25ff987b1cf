from __future__ import annotations

from services.cli.app import main
from services.producer import fetch
from tests.live import loopback

if __name__ == "__main__":
    fetch.resolve = loopback.resolve  # type: ignore[assignment]
    fetch.connect = loopback.connect
    main()
