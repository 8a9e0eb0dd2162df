"""Log lines as JSON: what happened, without customers and without keys."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sys
from typing import Any, BinaryIO

import orjson


class AccessLog:
    """Writes one JSON object per line; a log that cannot be written never fails a request."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    def write(self, event: str, **facts: Any) -> None:
        """Add a line."""
        line = orjson.dumps({"at": dt.datetime.now(dt.UTC), "event": event, **facts}, default=str)
        stream = self._stream if self._stream is not None else sys.stderr.buffer
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + b"\n")
            stream.flush()


class LogHandler(logging.Handler):
    """Turns what libraries log into the same kind of lines."""

    def __init__(self) -> None:
        super().__init__()
        self._log = AccessLog()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, without the values of a traceback."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        self._log.write(
            "log", level=record.levelname, logger=record.name, message=record.getMessage(), kind=kind
        )
