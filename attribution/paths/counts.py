"""What descriptive credit rests on: touches, customers and journeys by channel and by group."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from attribution.credits.rows import TOTAL, UNTOUCHED, Counts, group_members
from attribution.paths.encoded import EncodedPaths
from attribution.paths.sums import sum_by

__all__ = ["count_by_channel", "count_by_group"]


def count_by_channel(paths: EncodedPaths, touches: pl.LazyFrame | None, *, untouched: float = 0.0) -> Counts:
    """Counts of each channel, of `(untouched)` and of `(total)`.

    n is the number of journeys, with and without the outcome, that hold the channel. Customers are unknown
    where `touches` (customer_id, channel of journey touches) is not given.
    """
    member = paths.membership()
    member.data[:] = 1.0
    journeys = (member.T @ paths.journeys).tolist()
    walked = np.repeat(paths.journeys, paths.lengths)
    by_channel = sum_by(paths.codes, walked, len(paths.channels)).tolist()
    touched = float(paths.journeys[paths.lengths > 0].sum())
    n = dict(zip(paths.channels, journeys, strict=True))
    return Counts(
        touches=_whole({**dict(zip(paths.channels, by_channel, strict=True)), UNTOUCHED: 0.0}),
        n=_whole({**n, UNTOUCHED: untouched, TOTAL: touched + untouched}),
        customers=_customers(touches, pl.col("channel")),
    )


def count_by_group(paths: EncodedPaths, touches: pl.LazyFrame | None, *, groups: Mapping[str, str]) -> Counts:
    """Counts of each group; a journey or customer with several of its channels counts once."""
    member = paths.membership().tocsc()
    place = {name: code for code, name in enumerate(paths.channels)}
    n = {}
    for group, inside in group_members(paths.channels, groups).items():
        visits = np.asarray(member[:, [place[name] for name in inside]].sum(axis=1)).ravel()
        n[group] = float(paths.journeys[visits > 0].sum())
    group_of = {name: groups.get(name, name) for name in paths.channels}
    channel = pl.col("channel").cast(pl.String)
    label = channel.replace_strict(group_of, default=None, return_dtype=pl.String)
    return Counts(n=_whole(n), customers=_customers(touches, label))


def _customers(touches: pl.LazyFrame | None, label: pl.Expr) -> dict[str, int]:
    """Distinct customers with a touch of each label, and of any."""
    if touches is None:
        return {}
    labelled = touches.select("customer_id", label=label.cast(pl.String)).unique()
    by_label = labelled.group_by("label").agg(n=pl.col("customer_id").n_unique()).collect()
    everyone = labelled.select(pl.col("customer_id").n_unique()).collect().item()
    return {**dict(by_label.filter(pl.col("label").is_not_null()).iter_rows()), TOTAL: int(everyone)}


def _whole(values: Mapping[str, float]) -> dict[str, int]:
    """Counts as whole numbers."""
    return {name: round(value) for name, value in values.items()}
