"""Log lines as JSON: what happened, without customers and without keys."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from typing import Any, BinaryIO

import orjson

__all__ = ["Journal"]


class Journal:
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
