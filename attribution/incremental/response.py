"""Response curves: the outcome with one channel's touches times tau, everything else as it is.

    v_c(tau) = v at the stocks of tau n_itc touches of c, decayed log(1 + tau n_itc)

v is the set function that the credits divide, held at today's hazards and spend, so that v_c(1) is today's
outcome and v_c(0) that without the channel. Only the channel's own two effects then move a curve. Its
interval is theirs (delta method): with L the root of their covariance, from customers' influence on the fit,
the variance is the sum over columns l of ((v(effects + l) - v(effects - l)) / 2)^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.credits.schemas import RESPONSE_SCHEMA
from attribution.incremental.aumann_shapley import creditable_share
from attribution.incremental.beside import measured
from attribution.incremental.customer_parts import customer_parts
from attribution.incremental.estimate import CreditEstimate
from attribution.incremental.range import bounds_around
from attribution.incremental.setfunction import FittedPanelModel
from attribution.settings import INCREMENTAL_OUTCOMES
from histories.arrays import Float
from histories.panel import Panel

STEPS: Final = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5])
"""Shares of today's touches."""
TODAY: Final = 4
"""The step at which they are today's."""
REACH: Final = 0.99
"""Quantile of a channel's stocks up to which there are data."""
FEW: Final = 0.05
"""Share of customer-periods that may lie beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCurves:
    """Curves of C channels at `STEPS`, of retention, spend and lifetime value in this order."""

    change: Float
    """v_c(tau) - v_c(1), in customers or currency, shape (3, C, steps)."""
    deviations: Float
    """Half the difference of v between effects + l and - l, for both l, shape (3, C, 2, steps); NaN where the
    fit has no covariance."""
    beyond: Float
    """Share of the channel's customer-periods whose stock lies above `REACH` of today's, shape (C, steps)."""


def response_curves(
    panel: Panel,
    estimate: CreditEstimate,
    *,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
) -> ResponseCurves:
    """Evaluate the curves of every channel on the customers fitted to, scaled to all.

    Parameters
    ----------
    panel, estimate
        All customers, and what `estimate_credit` found of them.
    residual_value, gross_margin
        Those of the estimate.
    """
    rows = estimate.fitted
    few, fit = panel.take(rows), estimate.fit
    stocks = estimate.decay.stocks(few)
    value = np.zeros(panel.n_customers) if residual_value is None else residual_value
    company = _Company.of(
        few, fit, stocks, value[rows], gross_margin, np.random.default_rng(estimate.crediting)
    )
    points = _effect_points(fit)
    found = np.zeros((3, few.n_channels, 5, len(STEPS)))
    beyond = np.zeros((few.n_channels, len(STEPS)))
    held = [stocks[:, :, k][few.at_risk & (stocks[:, :, k] > 0)] for k in range(few.n_channels)]
    reach = [np.quantile(own, REACH) * (1.0 + 1e-6) if own.size else np.inf for own in held]
    for j, step in enumerate(STEPS):
        moved = estimate.decay.stocks(few, touches=few.touches * np.float32(step))
        for k in range(few.n_channels):
            beyond[k, j] = (moved[:, :, k][few.at_risk] > reach[k]).sum() / max(held[k].size, 1)
            if j != TODAY:
                gap = stocks[:, :, k] - moved[:, :, k]
                for p, (beta, gamma) in enumerate(points[k]):
                    found[:, k, p, j] = company.change(gap, beta, gamma)
    found *= panel.n_customers / len(rows)
    return ResponseCurves(
        change=found[:, :, 0],
        deviations=(found[:, :, 1::2] - found[:, :, 2::2]) / 2.0,
        beyond=beyond,
    )


def _effect_points(fit: FittedPanelModel) -> Float:
    """Effects of each channel, then moved up and down along the roots of their covariance, (C, 5, 2)."""
    values, effects = np.stack([fit.beta, fit.gamma], axis=1), fit.effects()
    points = np.repeat(values[:, None], 5, axis=1)
    for k in range(len(values)):
        roots = np.full((2, 2), np.nan)
        if effects is not None:
            both = np.ix_([k, k + len(values)], [k, k + len(values)])
            size, along = np.linalg.eigh(effects.covariance[both])
            roots = (along * np.sqrt(np.maximum(size, 0.0))).T
        points[k, 1::2] += roots
        points[k, 2::2] -= roots
    return points


@dataclass(frozen=True, slots=True, kw_only=True)
class _Company:
    """Customers with what holds today."""

    panel: Panel
    log_odds: NDArray[np.float32]
    """Of leaving, by layer, shape (Q, N, P); Q is 0 without a hazard."""
    share: Float
    staying: Float
    spend: Float
    margin: Float | None
    """What touches may be credited with, shape (N, P)."""
    residual_value: Float
    gross_margin: float

    @staticmethod
    def of(
        panel: Panel,
        fit: FittedPanelModel,
        stocks: NDArray[np.float32],
        residual_value: Float,
        gross_margin: float,
        rng: np.random.Generator,
    ) -> _Company:
        prediction = fit.predict(panel, stocks, rng=rng)
        offset, creditable = prediction.hazard_offset, creditable_share(panel)
        share, staying = prediction.layer_weights
        return _Company(
            panel=panel,
            log_odds=np.zeros((0, *panel.spend.shape), dtype=np.float32)
            if offset is None
            else np.asarray(offset + stocks @ fit.beta, dtype=np.float32),
            share=np.asarray(share, dtype=np.float64),
            staying=np.asarray(staying, dtype=np.float64),
            spend=panel.spend * creditable,
            margin=None if panel.margin is None else panel.margin * creditable,
            residual_value=residual_value,
            gross_margin=gross_margin,
        )

    def change(self, gap: NDArray[np.float32], beta: float, gamma: float) -> Float:
        """What retention, spend and lifetime value become less what they are, shape (3,).

        `gap` is by how much the channel's stocks are lower than today's, shape (N, P): v(empty) of the game
        whose only player holds it.
        """
        rows = np.flatnonzero(gap.any(axis=1))
        if not np.isfinite(beta + gamma) or not rows.size:
            return np.full(3, 0.0 if np.isfinite(beta + gamma) else np.nan)
        kept, spent = self._changes(rows, gap[rows], beta, gamma, self.spend[rows])
        earned = self.gross_margin * spent
        if self.margin is not None:
            earned = self._changes(rows, gap[rows], beta, gamma, self.margin[rows])[1]
        later = self.residual_value[rows] * kept
        return np.array([kept.sum(), spent.sum(), earned.sum() + later.sum()])

    def _changes(
        self, rows: NDArray[np.int64], gap: NDArray[np.float32], beta: float, gamma: float, amount: Float
    ) -> tuple[Float, Float]:
        """Change of each customer's retention and of an amount, each shape (n,)."""
        share, staying = self.share[:, rows], self.staying[:, rows]
        nowhere = np.zeros(0)
        *_, moved, _ = customer_parts(
            np.ascontiguousarray(gap[:, :, None], dtype=np.float32),
            self.panel.entry[rows].astype(np.int64),
            self.panel.last[rows].astype(np.int64),
            np.asarray(self.log_odds[:, rows] - beta * gap, dtype=np.float32),
            np.ascontiguousarray(amount, dtype=np.float64),
            np.ascontiguousarray(share),
            np.ascontiguousarray(staying),
            np.array([beta]),
            np.array([gamma]),
            nowhere,
            nowhere,
            False,
        )
        return moved[:, 0] - staying.sum(axis=0), moved[:, 1] - share.sum(axis=0) * amount.sum(axis=1)


def response_table(
    estimate: CreditEstimate,
    curves: ResponseCurves,
    credits: pl.DataFrame,
    *,
    interval: float,
    costs: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """The curves in RESPONSE_SCHEMA: a row per outcome, channel and step.

    Parameters
    ----------
    estimate, curves
        What `estimate_credit` and `response_curves` found. A channel whose credit is combined with an
        experiment has its curve scaled as the credit is.
    credits
        Of the same customers, from `credit_table`: a curve is supported, or not, as the credit is.
    interval
        Level of the intervals.
    costs
        Cost of each channel in currency, taken as proportional to its touches: the marginal return is the
        slope of the curve (second differences) per unit of it.
    """
    rows = []
    for credit in credits.filter(pl.col("level") == "channel").iter_rows(named=True):
        outcome, name = credit["outcome"], credit["channel"]
        about = {
            key: credit[key] for key in RESPONSE_SCHEMA if key in ("outcome", "channel", "channel_group")
        }
        about |= {"supported": credit["supported"], "reason": credit["reason"]}
        k, o = estimate.credit.channels.index(name), INCREMENTAL_OUTCOMES.index(outcome)
        if credit["credit"] is None:
            rows += [{"scale": step, **about} for step in STEPS]
            continue
        change, moved = curves.change[o, k], curves.deviations[o, k]
        for reading in estimate.readings:
            if reading.replaces(outcome) and reading.experiment.channel == name:
                change, moved = change * reading.scale, moved * reading.narrowing
        total, cost = estimate.credit.require(outcome).total, (costs or {}).get(name)
        slope, tilted = (
            np.gradient(x, STEPS, axis=-1, edge_order=2) / (cost or np.nan) for x in (change, moved)
        )
        for j, step in enumerate(STEPS):
            error = measured(float(np.sqrt((moved[:, j] ** 2).sum())), abs(total))
            ends = bounds_around(float(change[j]), companions=[], std_error=error, interval=interval)
            error = float(np.sqrt((tilted[:, j] ** 2).sum()))
            sides = bounds_around(float(slope[j]), companions=[], std_error=error, interval=interval)
            rows.append(
                {
                    **about,
                    "scale": step,
                    "value": total + change[j],
                    "change": change[j],
                    "low": ends.low,
                    "high": ends.high,
                    "marginal_return": slope[j] if cost else None,
                    "marginal_low": sides.low,
                    "marginal_high": sides.high,
                    "interval_level": interval,
                    "beyond_data": curves.beyond[k, j],
                    "extrapolated": bool(curves.beyond[k, j] > FEW),
                }
            )
    return pl.DataFrame(rows, schema=RESPONSE_SCHEMA, orient="row")
