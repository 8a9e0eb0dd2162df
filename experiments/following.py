"""A folder that fills is followed: each look at it counts the files that are whole, every row exactly once.

A bundle is a function of the files it was made from, and it names them with their SHA-256 in its manifest
(`delivered`). So nothing is counted twice and nothing is lost, whenever the process is killed: the bundle is
there with all of its files or not at all, and the next look begins from the last one that is there.

- A file counts once it was the same in two looks (size, time of change): one that is being written waits.
- Of files with the same content one counts, whatever they are called.
- A file that changes is read anew, whole; one that goes is asked for, since its rows would leave in silence.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from filelock import Timeout

from experiments.bundle.leftovers import find_bundles
from experiments.bundle.manifest import read_manifest
from experiments.config import RunConfig
from experiments.run import run_experiment
from experiments.updating import update_bundle
from histories.durable import lock_at, make_folder
from histories.errors import BundleError, ConfigError, DataError, StorageError, TributaryError
from histories.reading.databases import is_database
from histories.reading.files import digest, find_files
from histories.reading.objects import is_object, list_objects
from histories.reading.sources import TableSource

Stamp = tuple[tuple[str, int, int | str], ...]
"""Name, size, and time of change of a file (of those of a Delta table's log) or tag of an object."""
Make = Callable[[RunConfig, "Delivered", Path | None], tuple[Path, bool]]
"""Makes a bundle of a configuration and its deliveries, from the one before if any.

Returns it, and whether its models must be fitted anew.
"""
DELTA_LOG: Final = "_delta_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The files that a bundle counts.

    Attributes
    ----------
    number
        Of the bundle among those that followed one another, from 1.
    files
        By table and place of the source: file and SHA-256, in the order in which they are read.
    """

    number: int
    files: Mapping[str, tuple[tuple[tuple[str, str], ...], ...]]

    @property
    def count(self) -> int:
        """How many files there are."""
        return sum(len(source) for sources in self.files.values() for source in sources)

    def same_as(self, other: Delivered | None) -> bool:
        """Whether the same files with the same content are counted."""
        return other is not None and self.files == other.files

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the manifest keeps them."""
        files = {
            table: [[{"file": name, "sha256": sha256} for name, sha256 in source] for source in sources]
            for table, sources in self.files.items()
        }
        return {"number": self.number, "files": files}

    @staticmethod
    def from_dict(kept: Mapping[str, Any]) -> Delivered:
        """From the manifest."""
        files = {
            table: tuple(tuple((row["file"], row["sha256"]) for row in source) for source in sources)
            for table, sources in kept["files"].items()
        }
        return Delivered(number=int(kept["number"]), files=files)

    def chosen(self, config: RunConfig) -> RunConfig:
        """The configuration that reads these files alone."""
        inputs = {
            table: tuple(
                replace(source, files=tuple(name for name, _ in own))
                for source, own in zip(sources, self.files[table], strict=True)
            )
            for table, sources in config.inputs.items()
        }
        return replace(config, inputs=inputs)


@dataclass(slots=True, kw_only=True)
class Look:
    """What the folders held when they were last looked at."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    digests: dict[Stamp, str] = field(default_factory=dict)
    waiting: int = 0
    """Files that are new, have changed since the look before, or are empty."""
    repeated: int = 0
    """Files with the content of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of a look.

    Attributes
    ----------
    bundle, is_new, number
        The last one, whether it is of this look, and its number among those that followed one another.
    files
        How many count now; 0 while one that counts is being written.
    waiting, repeated
        Files that are being written, and that are copies of others.
    problem
        Why there is no new bundle although files changed.
    """

    bundle: Path | None = None
    is_new: bool = False
    number: int = 0
    files: int = 0
    waiting: int = 0
    repeated: int = 0
    problem: str | None = None


def follow(
    config: RunConfig,
    *,
    runs: Path,
    make: Make,
    every: float,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Followed]:
    """Look at the configuration's files again and again, and make a bundle whenever they changed.

    Parameters
    ----------
    config
        Of a run whose inputs grow.
    runs
        Where the bundles are; the last one that followed the same name there is gone on from.
    make
        Makes a bundle.
    every
        Seconds between two looks.
    wait
        Passes the time.

    Raises
    ------
    ConfigError
        When an input cannot be followed, or another process follows the same.
    """
    _refuse_what_cannot_be_followed(config)
    make_folder(runs)
    lock = lock_at(runs / f".following-{config.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f'"{config.name}" is followed by another process with the same --runs. Stop that one first.'
        ) from error
    with lock:
        look, last = Look(), last_followed(runs, config.name)
        failed: Delivered | None = None
        refit = False
        while True:
            before = None if last is None else last[1]
            found, problem = None, None
            try:
                found = look_again(config, look, before)
                if found is not None and not any(found.same_as(other) for other in (before, failed)):
                    path, refit = make(
                        found.chosen(config), found, None if refit or last is None else last[0]
                    )
                    last = path, found
            except TributaryError as error:
                problem = str(error)
                failed = None if isinstance(error, StorageError) else found  # a full disk may have room later
            yield Followed(
                bundle=None if last is None else last[0],
                is_new=last is not None and last[1] is found,
                number=0 if last is None else last[1].number,
                files=found.count if found is not None else 0,
                waiting=look.waiting,
                repeated=look.repeated,
                problem=problem,
            )
            wait(every)


def maker(*, runs: Path, mlruns: Path, memory: str | None, engine: str, step: Callable[[str], None]) -> Make:
    """Updates of the bundle before, and a whole run where there is none or it cannot be updated.

    Parameters are those of `experiments.run.run_experiment`.
    """
    options: dict[str, Any] = {"runs": runs, "mlruns": mlruns, "memory": memory, "engine": engine}

    def make(config: RunConfig, delivered: Delivered, before: Path | None) -> tuple[Path, bool]:
        options["delivered"] = delivered.to_dict()
        if before is not None:
            with contextlib.suppress(BundleError, ConfigError):  # such as contracts: fitted anew each time
                found = update_bundle(before, config, step=step, **options)
                return found.bundle, bool(found.refit)
        return run_experiment(config, step=step, **options).bundle, False

    return make


def last_followed(runs: Path, name: str) -> tuple[Path, Delivered] | None:
    """The last bundle of this name that counts deliveries, and which; None without one."""
    found = []
    for path in find_bundles(runs):
        try:
            manifest, _ = read_manifest(path)
        except BundleError:
            continue
        if manifest.get("name") == name and manifest.get("delivered"):
            found.append((path, Delivered.from_dict(manifest["delivered"])))
    return max(found, key=lambda pair: pair[1].number, default=None)


def look_again(config: RunConfig, look: Look, before: Delivered | None) -> Delivered | None:
    """The files that count now; None while a table has none, or one that counts is being written.

    Raises
    ------
    DataError
        When a file that the bundle before counts is there no more.
    """
    now: dict[str, Stamp] = {}
    files: dict[str, tuple[tuple[tuple[str, str], ...], ...]] = {}
    look.waiting = look.repeated = 0
    held = False
    for table, sources in config.inputs.items():
        counted = before.files.get(table, ()) if before else ()
        chosen = []
        for place, source in enumerate(sources):
            known = [name for name, _ in counted[place]] if place < len(counted) else []
            there = _there(config, source, table)
            _refuse_missing(known, there, table)
            own: dict[str, str] = {}
            for name in [*known, *(name for name in there if name not in known)]:
                now[name] = there[name].stamp
                if look.stamps.get(name) != now[name] or not any(size for _, size, _ in now[name]):
                    look.waiting += 1
                    held = held or name in known
                    continue
                sha256 = look.digests.get(now[name]) or there[name].digest()
                look.digests[now[name]] = sha256
                if sha256 in own:
                    look.repeated += 1
                else:
                    own[sha256] = name
            held = held or not own
            chosen.append(tuple(sorted((name, sha256) for sha256, name in own.items())))
        files[table] = tuple(chosen)
    look.stamps = now
    return None if held else Delivered(number=1 + (before.number if before else 0), files=files)


def _refuse_missing(known: list[str], there: Mapping[str, object], table: str) -> None:
    gone = [name for name in known if name not in there]
    if gone:
        raise DataError(
            f"inputs.{table}: {len(gone)} of {len(known)} files that the last bundle counts are gone, first "
            f"{gone[0]}. Their rows would leave every figure: put them back, or follow in a new --runs."
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A file or an object that is there."""

    stamp: Stamp
    digest: Callable[[], str]


def _there(config: RunConfig, source: TableSource, table: str) -> dict[str, _Found]:
    """What there is of a source, by its name as `files` says it."""
    if is_object(source):
        found = list_objects(source, table).items()
        return {name: _Found(((name, size, tag),), partial(str, tag)) for name, (size, tag) in found}
    base = config.base_dir.resolve()
    parts = {os.path.relpath(file, base): _content(file) for file in find_files(source, table, base)}
    return {name: _Found(_stamp(content), partial(digest, content)) for name, content in parts.items()}


def _content(file: Path) -> list[Path]:
    if not file.is_dir():
        return [file]
    return sorted(part for part in (file / DELTA_LOG).iterdir() if part.is_file())


def _stamp(content: list[Path]) -> Stamp:
    """What differs when a file was written to."""
    found = [(str(part), part.stat()) for part in content]
    return tuple((name, seen.st_size, seen.st_mtime_ns) for name, seen in found)


def _refuse_what_cannot_be_followed(config: RunConfig) -> None:
    if not config.inputs:
        raise ConfigError("--follow: the configuration names no inputs.")
    if config.observation_end is not None:
        raise ConfigError(
            f"--follow: observation_end is {config.observation_end}, so that rows after it would be set "
            "aside for ever. Leave it out: it is the day of the last row then."
        )
    for table, sources in config.inputs.items():
        for source in sources:
            if is_database(source):
                raise ConfigError(
                    f"--follow: inputs.{table} is a database, of which nobody says what is new. Call "
                    "`tributary update` from a timer, or follow files."
                )
