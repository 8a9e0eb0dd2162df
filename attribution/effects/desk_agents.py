"""Which agents were at work when a case was opened: by their shifts, else by what they answered before."""

from __future__ import annotations

import numpy as np
import polars as pl

from attribution.effects.desk_queue import NEVER, RECENT, channels_of_agents, lines_of
from histories.arrays import Flags, Integer


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
