"""The engine of a run: in memory, bucket by bucket within a memory limit, or on a cluster."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from experiments.config import RunConfig
from histories.engines.base import Engine, Local
from histories.engines.spill import spill_folder
from histories.engines.spilled import Spilled
from histories.errors import ConfigError
from histories.house import code_version
from histories.identity import KEY_VARIABLE
from histories.reading.inputs import Inputs
from histories.reading.sources import memory_bytes

DEFAULT_MEMORY: Final = "2GB"
"""What one bucket may take on a cluster, where nobody says."""
TOLD_EVERY: Final = 5.0
"""Seconds between two words about buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where a run computes.

    Attributes
    ----------
    engine
        What splits the histories by customer.
    folder
        Where large tables are written on the way; None: a temporary folder of the system.
    words
        What was asked for: engine and memory.
    """

    engine: Engine
    folder: Path | None = None
    words: str = ""

    def begin(self, config: RunConfig, inputs: Inputs) -> None:
        """Take over the buckets that a killed run of this configuration and these rows had finished."""
        told = {
            "configuration": config.to_dict(),
            "rows": {name: table.sha256 for name, table in inputs.tables.items()},
            "pseudonyms": os.environ.get(KEY_VARIABLE),
            "work": self.words,
            "code": code_version(),
        }
        text = json.dumps(told, sort_keys=True, default=str)
        self.engine.begin(hashlib.sha256(text.encode()).hexdigest())


class Progress:
    """Says which part of a run has begun, and within it how many buckets are done, and how long it takes.

    Parameters
    ----------
    step
        Called with a few words.
    """

    def __init__(self, step: Callable[[str], None]) -> None:
        self._step, self._text = step, ""
        self._begun = self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say what begins now."""
        self._text = text
        self._begun = self._last = time.monotonic()
        self._step(text)

    def told(self, done: int, of: int) -> None:
        """Say how many buckets are done, not more often than every few seconds."""
        now = time.monotonic()
        if done == 0:
            self._begun = now
        if done in (0, of) or now - self._last < TOLD_EVERY:
            return
        self._last = now
        left = (now - self._begun) / done * (of - done)
        self._step(f"{self._text}: {done} of {of} buckets, about {left:,.0f} s left")


def read_memory(text: str) -> int:
    """Bytes of a size such as "2GB".

    Raises
    ------
    ConfigError
        When it is none.
    """
    try:
        return memory_bytes(text)
    except ValueError as error:
        raise ConfigError(f"--memory: {error}.") from error


@contextmanager
def workplace(
    name: str, *, memory: str | None, runs: Path, told: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[Workplace]:
    """The engine of this name for as long as the block runs.

    Parameters
    ----------
    name
        "local" or "spark".
    memory
        What the work may take, such as "2GB"; None: whatever it needs.
    runs
        Where buckets are kept on disk until the block ends.
    told
        Called with the number of buckets done, and of all.

    Raises
    ------
    ConfigError
        When the memory cannot be read, or the engine cannot run here.
    StorageError
        When there is no room for buckets.
    """
    if name == "local" and memory is None:
        yield Workplace(engine=Local())
        return
    allowed = read_memory(memory or DEFAULT_MEMORY)
    if name == "local":
        with spill_folder(runs) as folder:
            engine = Spilled(folder, memory=allowed, told=told, whole=True)
            yield Workplace(engine=engine, folder=folder, words=f"{name} {allowed}")
        return
    from histories.engines.spark import Spark, spark_session  # most runs need none of it

    with spark_session() as session, spill_folder(runs) as folder:
        cluster = Spark(session, folder, memory=allowed, told=told)
        yield Workplace(engine=cluster, folder=folder, words=f"{name} {allowed}")
