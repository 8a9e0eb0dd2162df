"""Columns of the panel regressions: what else moves leaving and spending besides the channels.

A design is learned once (means, scales, which columns vary) and then applied to any customers, so that a
fit on a sample credits everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel

FIRST, FEWER = 3, 3.0
"""Periods since arrival that are the first, and how many times rarer a channel's touches are later on: .9 to
1.5 in channels that come at any time."""
SPREAD = 1e-9
"""Below this standard deviation a column is constant and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignChoices:
    """Blocks of columns beside the constant, covariates, problems and period effects."""

    proxies: bool = True
    """Satisfaction proxies as covariates."""
    history: bool = False
    """Past purchases, past spend, and the time since the last purchase, all before the period."""
    own_means: bool = False
    """Each customer's mean log(1 + touches) of a period lived, by channel (Mundlak 1978). Not of the stock,
    which starts at zero and so would tell early leavers from others, nor of channels of the first periods:
    three welcome mails are more a period for who stays for two than for who stays for twenty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A learned design; `rows` applies it."""

    choices: DesignChoices
    kept: NDArray[np.bool_]
    """Which raw columns vary."""
    centre: Float
    """Means of the raw columns over the rows at risk, missing values left out."""
    scale: Float
    """Their standard deviations."""
    welcoming: NDArray[np.bool_]
    """Channels of customers' first periods, shape (C,)."""

    def rows(self, panel: Panel) -> Float:
        """The design of every customer and period, a constant first, shape (N, P, K + 1)."""
        raw = _raw_columns(panel, self.choices, self.welcoming)
        values = np.where(np.isnan(raw), self.centre, raw)[..., self.kept]
        standard = (values - self.centre[self.kept]) / self.scale[self.kept]
        return np.concatenate([np.ones((*standard.shape[:2], 1)), standard], axis=2)


def build_design(panel: Panel, choices: DesignChoices) -> Design:
    """Learn a design from the rows at risk of a panel."""
    welcoming = _welcoming(panel)
    raw = _raw_columns(panel, choices, welcoming)
    rows = raw[panel.at_risk]
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, rows, 0.0)
    centre = filled.sum(axis=0) / count
    scale = np.sqrt((np.where(known, rows - centre, 0.0) ** 2).sum(axis=0) / count)
    kept = scale > SPREAD
    return Design(
        choices=choices,
        kept=kept,
        centre=centre,
        scale=np.where(kept, scale, 1.0),
        welcoming=welcoming,
    )


def _welcoming(panel: Panel) -> NDArray[np.bool_]:
    """Channels whose touches are `FEWER` times rarer after the first periods, shape (C,)."""
    age = np.arange(panel.n_periods) - panel.entry[:, None]
    if not (panel.at_risk & (age >= FIRST)).any():
        return np.zeros(panel.n_channels, dtype=bool)
    touches = np.log1p(np.asarray(panel.touches, dtype=np.float64))
    means = []
    for rows in (panel.at_risk & (age < FIRST), panel.at_risk & (age >= FIRST)):
        means.append(touches[rows].sum(axis=0) / max(float(panel.exposure[rows].sum()), 1e-9))
    fewer: NDArray[np.bool_] = means[0] > FEWER * means[1]
    return fewer


def _raw_columns(panel: Panel, choices: DesignChoices, welcoming: NDArray[np.bool_]) -> Float:
    """All columns before standardising, shape (N, P, R)."""
    n, p = panel.spend.shape
    static = panel.covariates
    if choices.proxies:
        static = np.concatenate([static, panel.proxies], axis=1)
    missing = np.isnan(static)
    flagged = np.flatnonzero(missing.any(axis=0))
    static = np.concatenate([static, missing[:, flagged]], axis=1)
    blocks = [np.broadcast_to(static[:, None, :], (n, p, static.shape[1])), panel.problems[:, :, None]]
    if panel.time_covariates is not None:
        blocks += [panel.time_covariates, np.isnan(panel.time_covariates)]
    periods = np.broadcast_to(np.eye(p)[None, :, 1:], (n, p, p - 1))
    blocks.append(periods)
    since = np.arange(p) - panel.entry[:, None]
    if panel.entry.any():
        blocks.append(np.stack([since == 0, np.log1p(np.maximum(since, 0))], axis=2))
    if choices.history:
        blocks.append(_history(panel))
    if choices.own_means:
        at_risk, lived = panel.at_risk[:, :, None], panel.exposure.sum(axis=1)[:, None]
        own = (np.log1p(panel.touches) * at_risk).sum(axis=1) / np.maximum(lived, 1)
        own = np.where(welcoming, 0.0, own)
        blocks.append(np.broadcast_to(own[:, None, :], (n, p, own.shape[1])))
    return np.concatenate(blocks, axis=2, dtype=np.float64)


def _history(panel: Panel) -> Float:
    """What was known of the customer's buying before each period, shape (N, P, 4)."""
    n, p = panel.spend.shape
    t = np.arange(p)
    age = np.maximum(t - panel.entry[:, None], 1)
    before = np.zeros((2, n, p))
    before[0, :, 1:] = np.cumsum(panel.purchases, axis=1)[:, :-1]
    before[1, :, 1:] = np.cumsum(np.maximum(panel.spend, 0.0), axis=1)[:, :-1]
    bought = np.where(panel.purchases > 0, t, -1)
    latest = np.full((n, p), -1)
    latest[:, 1:] = np.maximum.accumulate(bought, axis=1)[:, :-1]
    never = latest < 0
    idle = t - np.where(never, panel.entry[:, None], latest)
    return np.stack(
        [np.log1p(before[0] / age), np.log1p(before[1] / age), np.log1p(np.maximum(idle, 0)), never], axis=2
    ).astype(np.float64)
