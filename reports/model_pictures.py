"""Pictures that data scientists expect of a purchase model, from the frames of `clv.pictures`.

Each function gives a `Figure`; `reports.draw_svg` draws it, `reports.charts.chart` makes it an Altair chart.
"""

from __future__ import annotations

import polars as pl

from reports.context import Figure

__all__ = [
    "alive_history_figure",
    "alive_matrix_figure",
    "frequency_recency_figure",
    "posterior_figure",
    "tracking_figure",
]


def alive_matrix_figure(frame: pl.DataFrame, *, time_unit: str) -> Figure:
    """Probability of being alive by frequency and recency, at one age."""
    return _matrix(
        frame,
        "probability_alive",
        title="Probability of being alive, by frequency and recency",
        caption="Many purchases and a long silence since: probably gone. Few purchases: silence says little.",
        time_unit=time_unit,
        percent=True,
    )


def frequency_recency_figure(frame: pl.DataFrame, *, time_unit: str) -> Figure:
    """Expected purchases by frequency and recency, at one age."""
    return _matrix(
        frame,
        "expected_purchases",
        title="Expected purchases, by frequency and recency",
        caption="The best customers bought often, and lately.",
        time_unit=time_unit,
        percent=False,
    )


def _matrix(
    frame: pl.DataFrame, value: str, *, title: str, caption: str, time_unit: str, percent: bool
) -> Figure:
    return Figure(
        form="heatmap",
        title=title,
        rows=tuple(
            {"x": row["frequency"], "y": row["recency"], "value": row[value]}
            for row in frame.sort("recency", "frequency", descending=[True, False]).iter_rows(named=True)
        ),
        x_title="frequency (repeat purchases)",
        y_title=f"recency ({time_unit}s from first to last purchase)",
        percent=percent,
        caption=caption,
    )


def tracking_figure(frame: pl.DataFrame, *, cumulative: bool = True) -> Figure:
    """Repeat purchases of all customers over time, observed beside expected."""
    prefix = "cumulative_" if cumulative else ""
    return Figure(
        form="lines",
        title=f"{'Cumulative repeat' if cumulative else 'Repeat'} purchases, observed and expected",
        rows=tuple(
            {"x": row["date"].isoformat(), "series": series, "value": row[f"{prefix}{series}"]}
            for series in ("observed", "expected")
            for row in frame.iter_rows(named=True)
        ),
        y_title="repeat purchases",
        caption="Expected by the model fitted to the calibration period, of customers as they came.",
    )


def alive_history_figure(frame: pl.DataFrame) -> Figure:
    """One customer's probability of being alive over time; it falls in silence and jumps at a purchase."""
    return Figure(
        form="lines",
        title="Probability of being alive over time",
        rows=tuple(
            {"x": row["date"].isoformat(), "series": "probability alive", "value": row["probability_alive"]}
            for row in frame.iter_rows(named=True)
        ),
        percent=True,
        caption=f"{int(frame['purchased'].sum())} purchases; each day is judged by what was known on it.",
    )


def posterior_figure(frame: pl.DataFrame, *, parameter: str) -> Figure:
    """What the data add to the prior about one parameter."""
    rows = frame.filter(pl.col("parameter") == parameter)
    return Figure(
        form="lines",
        title=f"Posterior against prior: {parameter}",
        rows=tuple(
            {"x": row["value"], "series": series, "value": row[series]}
            for series in ("posterior", "prior")
            for row in rows.sort("value").iter_rows(named=True)
        ),
        x_title=parameter,
        y_title="density, peak 1",
        caption="A posterior as wide as its prior learnt nothing.",
    )
