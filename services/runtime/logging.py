"""Logs: one line a record on standard error, as text or JSON, with repeats held back."""

from __future__ import annotations

import logging
import sys
import time

import structlog

REPEAT_SECONDS = 10.0
"""The same warning of a client library is logged at most once in so many seconds. A broker that is away for
five seconds drew 1,777 error lines from the client (measured); one with a count says as much."""

MOST_REPEATS = 1_000
"""Different messages that are remembered; a library may put changing text into them."""

NOISY = ("aiokafka", "kafka", "faust", "mode", "elastic_transport")
"""Client libraries whose repeats are held back; our own records never are."""


class HoldBackRepeats(logging.Filter):
    """Lets a library's message through once in `REPEAT_SECONDS`, with the number of those held back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is written."""
        if not record.name.startswith(NOISY):
            return True
        now = time.monotonic()
        key = (record.name, str(record.msg))
        last, held = self._seen.get(key, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._seen[key] = (last, held + 1)
            return False
        self._seen[key] = (now, 0)
        if len(self._seen) > MOST_REPEATS:
            self._seen.clear()
        if held:
            record.msg = f"{record.msg} ({held} more like this in the last {now - last:.0f} s)"
        return True


def set_up_logging(level: str, log_format: str, service: str) -> None:
    """Send structlog's and the standard library's records to standard error in one form."""

    def name_the_service(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # Not by context variables: the watchdog and the client libraries log from threads of their own.
        event["service"] = service
        return event

    before: list[structlog.typing.Processor] = [
        name_the_service,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor]
    if log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        # The default formatter shows every local variable, whole articles among them.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(HoldBackRepeats())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("elastic_transport").setLevel(logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    # It warns of each page without a text, which is a dead letter already.
    logging.getLogger("trafilatura").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
