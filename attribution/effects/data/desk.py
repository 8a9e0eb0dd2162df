"""The queue that a customer meets: open cases of the channel per agent at work, at the moment of opening.

A queue is nobody's choice: who writes at a busy minute waits, angry or not. So it can tell what waiting does
where agents choose whom to answer first. Channels that the same agents answer wait in one line. Days on which
far more came than usual are marked: then something had happened that may have moved customers by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from histories.arrays import Flags, Float, Integer

HOUR: Final = 3_600_000_000
RECENT: Final = 4 * HOUR
"""Who answered within so long is taken to be at work, where no table of hours says."""
NEVER: Final = 1 << 62
SHARED: Final = 0.05
"""Share of an agent's answers from which a channel is one that the agent answers."""
STALE: Final = 0.95
"""A case that waits longer than this share of the answered ones has left the line."""
SURGE: Final = 3.0
"""Robust standard deviations above the weekday's median from which a day is one of surge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskQueue:
    """What each case met when it was opened.

    Attributes
    ----------
    waiting : shape (N,)
        Open cases in its line before it, without the customer's own.
    agents : shape (N,)
        Agents at work; NaN where no table and no answer says.
    """

    waiting: Float
    agents: Float

    @property
    def length(self) -> Float:
        """Open cases per agent at work, shape (N,), NaN while nobody is; open cases if agents are unknown."""
        if np.isnan(self.agents).all():
            return self.waiting
        found = np.full(len(self.waiting), np.nan)
        there = self.agents > 0
        found[there] = self.waiting[there] / self.agents[there]
        return found

    @property
    def unit(self) -> str:
        """What the queue is counted in, in words."""
        return "open case" if np.isnan(self.agents).all() else "open case per agent at work"


def queue_at_opening(cases: pl.DataFrame, hours: pl.DataFrame | None) -> DeskQueue:
    """The queue that each case met.

    Parameters
    ----------
    cases
        channel, started and ended (microseconds; `NEVER` where still open), person (of the author; null where
        unknown), agent (of the first answer) if known; one row per case that needs a reply.
    hours
        start, end (microseconds), agent of every shift; None where no table says.
    """
    at = cases["started"].to_numpy()
    cases = cases.with_columns(
        pl.col("channel").replace_strict(lines_of(cases), return_dtype=pl.Int64).alias("line"),
        pl.Series("left", _left(cases)),
    )
    waiting = np.zeros(len(at))
    for part in cases.with_row_index("row").partition_by("line"):
        mine = part["started"].to_numpy()
        came = np.searchsorted(np.sort(mine), mine, side="left")
        waiting[part["row"].to_numpy()] = came - np.searchsorted(
            np.sort(part["left"].to_numpy()), mine, side="right"
        )
    waiting -= _own(cases)
    return DeskQueue(waiting=np.maximum(waiting, 0.0), agents=_at_work(cases, hours, at))


def lines_of(cases: pl.DataFrame) -> dict[str, int]:
    """The line in which each channel waits: channels that the same agents answer have one line."""
    channels = cases["channel"].unique().sort().to_list()
    line = {name: place for place, name in enumerate(channels)}
    if "agent" not in cases.columns:
        return line
    for names in channels_of_agents(cases).group_by("agent").agg("channel")["channel"].to_list():
        first = min(line[name] for name in names)
        joined = {line[name] for name in names}
        line = {name: first if place in joined else place for name, place in line.items()}
    return line


def channels_of_agents(cases: pl.DataFrame) -> pl.DataFrame:
    """agent, channel: which channels each agent answers, those of a stray answer left out."""
    return (
        cases.filter(pl.col("agent").is_not_null())
        .group_by("agent", "channel")
        .len()
        .filter(pl.col("len") >= SHARED * pl.col("len").sum().over("agent"))
        .select("agent", "channel")
    )


def _left(cases: pl.DataFrame) -> Integer:
    """When each case left the line, shape (N,): answered, or so old that hardly any is answered after.

    A case that is overlooked for good stays in the table and keeps nobody waiting.
    """
    started, ended = cases["started"].to_numpy(), cases["ended"].to_numpy()
    over = ended < NEVER
    longest = np.quantile((ended - started)[over], STALE) if over.any() else 0.0
    return np.asarray(np.minimum(ended, started + max(int(longest), HOUR)), dtype=np.int64)


def _own(cases: pl.DataFrame) -> Float:
    """The author's own cases in the line, shape (N,)."""
    own = np.zeros(cases.height)
    rows = cases.with_row_index("row").filter(pl.col("person").is_not_null())
    many = rows.filter(pl.len().over("person", "line") > 1)
    for part in many.partition_by("person", "line"):
        at, left = part["started"].to_numpy(), part["left"].to_numpy()
        earlier = (at[None, :] < at[:, None]) & (left[None, :] > at[:, None])
        own[part["row"].to_numpy()] = earlier.sum(axis=1)
    return own


def _at_work(cases: pl.DataFrame, hours: pl.DataFrame | None, at: Integer) -> Float:
    """Agents at work at each instant: by their shifts, else those who answered within the last hours."""
    if hours is not None and hours.height:
        starts, ends = np.sort(hours["start"].to_numpy()), np.sort(hours["end"].to_numpy())
        there = np.searchsorted(starts, at, side="right") - np.searchsorted(ends, at, side="right")
        return np.asarray(np.maximum(there, 0), dtype=np.float64)
    if "agent" not in cases.columns:
        return np.full(len(at), np.nan)
    answers = cases.filter(pl.col("agent").is_not_null(), pl.col("ended") < NEVER)
    if answers["agent"].n_unique() < 2:
        return np.full(len(at), np.nan)
    seen = np.zeros(len(at))
    for part in answers.partition_by("agent"):
        times = np.sort(part["ended"].to_numpy())
        seen += np.searchsorted(times, at, side="right") > np.searchsorted(times, at - RECENT, side="left")
    return seen


def surge_days(days: Integer) -> Integer:
    """Days (since 1970-01-01) on which far more cases came than on others of the same weekday.

    Parameters
    ----------
    days : shape (N,)
        Day of each case.
    """
    if not len(days):
        return np.empty(0, dtype=np.int64)
    first = int(days.min())
    counts = np.bincount(days - first)
    weekday = (first + np.arange(len(counts))) % 7
    found = np.zeros(len(counts), dtype=bool)
    for day in range(7):
        here = weekday == day
        median = float(np.median(counts[here])) if here.any() else 0.0
        spread = 1.4826 * float(np.median(np.abs(counts[here] - median))) if here.any() else 0.0
        found |= here & (counts > median + SURGE * max(spread, np.sqrt(median), 1.0))
    return np.asarray(first + np.flatnonzero(found), dtype=np.int64)


def agents_at_opening(cases: pl.DataFrame, hours: pl.DataFrame | None, opened: pl.DataFrame) -> Flags | None:
    """Who was at work in the line of each opened case, shape (N, agents); None where nobody says.

    Parameters
    ----------
    cases
        channel, ended (microseconds; `NEVER` where still open), agent of the first answer if known.
    hours
        start, end (microseconds), agent of every shift; None where no table says.
    opened
        channel, started of the N cases that are asked about.

    Notes
    -----
    An agent belongs to the lines of the channels that the agent answers; one whom no case names, to all where
    no case names anybody.
    """
    answers = (
        cases.filter(pl.col("agent").is_not_null(), pl.col("ended") < NEVER).select(
            pl.col("agent").cast(pl.String), "channel", "ended"
        )
        if "agent" in cases.columns
        else None
    )
    shifts = None if hours is None else hours.drop_nulls("agent")
    if answers is not None and answers.is_empty():
        answers = None
    if shifts is not None and (
        shifts.is_empty()
        or (answers is not None and not shifts["agent"].is_in(answers["agent"].unique().to_list()).any())
    ):
        shifts = None  # names of another table of people
    if shifts is None and answers is None:
        return None
    at, line = opened["started"].to_numpy(), lines_of(cases)
    of_case = opened["channel"].replace_strict(line, default=None, return_dtype=pl.Int64)
    belongs = None if answers is None else _lines_of_agents(answers, line)
    columns = []
    source = answers if shifts is None else shifts
    assert source is not None
    for (agent,), part in sorted(source.partition_by("agent", as_dict=True).items()):
        there = _by_shifts(part, at) if shifts is not None else _by_answers(part["ended"].to_numpy(), at)
        if belongs is not None:
            there &= of_case.is_in(belongs.get(agent, [])).fill_null(False).to_numpy()
        if there.any():
            columns.append(there)
    return np.column_stack(columns) if columns else None


def _lines_of_agents(answers: pl.DataFrame, line: dict[str, int]) -> dict[str, list[int]]:
    """The lines that each agent answers."""
    found: dict[str, list[int]] = {}
    for agent, channel in channels_of_agents(answers).iter_rows():
        found.setdefault(agent, []).append(line[channel])
    return found


def _by_shifts(shifts: pl.DataFrame, at: Integer) -> Flags:
    starts, ends = np.sort(shifts["start"].to_numpy()), np.sort(shifts["end"].to_numpy())
    return np.asarray(np.searchsorted(starts, at, side="right") > np.searchsorted(ends, at, side="right"))


def _by_answers(ended: Integer, at: Integer) -> Flags:
    """Who answered within the last hours is taken to be at work; before the opening, so not by the case."""
    times = np.sort(ended)
    return np.asarray(
        np.searchsorted(times, at, side="left") > np.searchsorted(times, at - RECENT, side="left")
    )
