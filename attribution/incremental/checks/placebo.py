"""The zero-effect placebo: the same company simulated with no effect at all, fitted again, credited again.

Whatever credit comes out is error: sampling noise, or a fault of the estimator on a company like this one.
Shuffling touch histories instead would be no placebo, because it breaks the proof of life that touches carry.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.chain.imitation import without_effects
from attribution.incremental.stocks import panel_stocks
from histories.arrays import Float
from histories.errors import ModelError
from histories.panel import Panel

PLACEBO_LIMIT = 0.05
"""Largest share of an outcome that a channel may be credited with when nothing has an effect."""
CUSTOMERS = 6_000
"""Customers simulated in all: small companies are simulated several times, to tell a fault from noise."""
MOST = 3
"""Most simulated companies."""
AGAIN = 2
"""Times as many again where the first ones fail: noise does so for one right company in twenty."""
CHANCE = 0.05
"""Chance that noise alone fails any channel or outcome (Bonferroni), however small the company."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceboCheck:
    """Credit where nothing has an effect, as shares of the outcome. Channels C."""

    channels: tuple[str, ...]
    """The C channels."""
    retention: Float
    """Credit over expected survivors, mean of the simulated companies, shape (C,)."""
    spend: Float
    """Credit over spend, shape (C,)."""
    retention_sd: Float
    """Standard error of the mean, shape (C,)."""
    spend_sd: Float
    """Standard error of the mean, shape (C,)."""

    def leaving_out(self, names: Collection[str]) -> PlaceboCheck:
        """The same of the other channels: one refused for a reason of its own speaks against itself."""
        kept = np.array([name not in names for name in self.channels], dtype=bool)
        return replace(
            self,
            channels=tuple(name for name in self.channels if name not in names),
            retention=self.retention[kept],
            spend=self.spend[kept],
            retention_sd=self.retention_sd[kept],
            spend_sd=self.spend_sd[kept],
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Outcomes whose placebo fails, in words."""
        found: list[str] = []
        clear = float(stats.norm.ppf(1.0 - CHANCE / (4.0 * max(len(self.channels), 1))))
        for outcome, share, sd in (
            ("retention", self.retention, self.retention_sd),
            ("spend", self.spend, self.spend_sd),
        ):
            failing = (np.abs(share) > PLACEBO_LIMIT) & (np.abs(share) > clear * sd)
            if failing.any():
                worst = int(np.argmax(np.where(failing, np.abs(share), 0.0)))
                found.append(
                    f"zero-effect placebo: {self.channels[worst]} is credited with {share[worst]:.1%} of "
                    f"{outcome} where nothing has an effect (at most {PLACEBO_LIMIT:.0%})"
                )
        return tuple(found)


def run_placebo(
    fit: HiddenChainFit,
    panel: Panel,
    stocks: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    customers: int = CUSTOMERS,
) -> PlaceboCheck:
    """Simulate from a fit without effects, climb again with its settings, credit.

    Parameters
    ----------
    fit
        The model.
    panel, stocks
        Customers to imitate, and their decayed stocks, shape (N, P, C).
    rng
        Draws the companies, and a sample of the customers when there are more than half of `customers`.
    customers
        Customers to simulate in all.
    """
    half = customers // 2
    if panel.n_customers > half:
        rows = np.sort(rng.choice(panel.n_customers, half, replace=False))
        panel, stocks = panel.take(rows), stocks[rows]
    companies = int(np.clip(round(customers / panel.n_customers), 1, MOST))
    found = [_one_company(fit, panel, stocks, rng) for _ in range(companies)]
    check = _check(found, panel.channels)
    if check.problems:
        found += [_one_company(fit, panel, stocks, rng) for _ in range(AGAIN * companies)]
        check = _check(found, panel.channels)
    return check


def _check(found: list[tuple[Float, Float]], channels: tuple[str, ...]) -> PlaceboCheck:
    """Means over simulated companies, and their standard errors."""
    share = np.mean([share for share, _ in found], axis=0)
    spread = np.sqrt(np.sum([variance for _, variance in found], axis=0)) / len(found)
    return PlaceboCheck(
        channels=channels,
        retention=share[0],
        spend=share[1],
        retention_sd=spread[0],
        spend_sd=spread[1],
    )


def _one_company(
    fit: HiddenChainFit, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> tuple[Float, Float]:
    """Shares of retention and spend by channel, and their sampling variances, each of shape (2, C)."""
    company = without_effects(fit, panel, stocks, rng=rng)
    new = panel_stocks(company, decay=np.array(fit.design.decays), by_day=fit.design.by_day)
    again = fit.refit(company, new)
    credit = panel_credit(again, company, new, rng=rng)
    if not (credit.retention.total and credit.spend.total):
        raise ModelError("the simulated company keeps no customer or sells nothing to have a share of")
    share = np.stack(
        [credit.retention.credit / credit.retention.total, credit.spend.credit / credit.spend.total]
    )
    by_beta = np.stack([credit.retention.staying, credit.spend.staying]) / _away(again.beta)
    by_gamma = np.stack([np.zeros(panel.n_channels), credit.spend.spending]) / _away(again.gamma)
    total = np.array([[credit.retention.total], [credit.spend.total]])
    variance = ((by_beta * fit.beta_sd) ** 2 + (by_gamma * fit.gamma_sd) ** 2) / total**2
    return share, variance * (fit.n / company.n_customers)


def _away(effect: Float) -> Float:
    """The effect, kept away from zero so that credit per unit of effect is finite."""
    result: Float = np.where(np.abs(effect) < 1e-9, 1e-9, effect)
    return result
