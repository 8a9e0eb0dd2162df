"""Power: how many units an experiment needs, and what it could find with those it has.

Shares use the normal test of two proportions, means the noncentral t of Welch's test with equal variances;
both agree with R's power.prop.test and power.t.test. Several arms share alpha by Bonferroni, the first step
of Holm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from histories.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPlan:
    """What is known before an experiment.

    Attributes
    ----------
    baseline
        Mean of the outcome without treatment: a share (0 to 1) when `std_dev` is None.
    std_dev
        Standard deviation of a number per unit; None for a share.
    alpha, power
        Chance of a false alarm (two-sided), and of finding an effect that is there.
    treated_share
        Share of the units of one arm and the control that are treated.
    arms
        Arms beside the control.
    correlation
        With the same metric before the start; CUPED leaves 1 - correlation^2 of the variance.

    Raises
    ------
    ConfigError
        When a value cannot be: a share outside 0 to 1, a negative deviation.
    """

    baseline: float
    std_dev: float | None = None
    alpha: float = 0.05
    power: float = 0.8
    treated_share: float = 0.5
    arms: int = 1
    correlation: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "baseline": np.isfinite(self.baseline) if self.std_dev is not None else 0 < self.baseline < 1,
            "std_dev": self.std_dev is None or 0 < self.std_dev < np.inf,
            "alpha": 0 < self.alpha < 1,
            "power": self.alpha < self.power < 1,
            "treated_share": 0 < self.treated_share < 1,
            "arms": self.arms >= 1,
            "correlation": -1 < self.correlation < 1,
        }
        for name, right in ranges.items():
            if not right:
                raise ConfigError(f"power: {name} = {getattr(self, name)} cannot be; {_ALLOWED[name]}")


CERTAIN = 1e3
"""An effect of so many standard errors is found whatever the sample."""
_ALLOWED = {
    "baseline": "a share lies between 0 and 1 (give std_dev for a number)",
    "std_dev": "it is a number above 0",
    "alpha": "it lies between 0 and 1",
    "power": "it lies between alpha and 1",
    "treated_share": "it lies between 0 and 1",
    "arms": "there is at least 1",
    "correlation": "it lies between -1 and 1",
}


def experiment_power(plan: PowerPlan, effect: float, units: float) -> float:
    """Chance of finding `effect` (treated minus control) with `units` in one arm and the control together.

    >>> plan = PowerPlan(baseline=0.0, std_dev=1.0)
    >>> round(experiment_power(plan, 0.5, 128), 3)
    0.801
    """
    if not units >= 2:
        raise ConfigError(f"power: {units:g} units are too few for two groups")
    n1, n0 = units * plan.treated_share, units * (1 - plan.treated_share)
    alpha, shrink = plan.alpha / plan.arms, 1 - plan.correlation**2
    if plan.std_dev is not None:
        error = plan.std_dev * np.sqrt(shrink * (1 / n1 + 1 / n0))
        dof = max(units - 2, 1.0)
        critical = scipy.stats.t.isf(alpha / 2, dof)
        return float(scipy.stats.nct.sf(critical, dof, min(abs(effect) / error, CERTAIN)))
    p0, p1 = plan.baseline, plan.baseline + effect
    pooled = plan.treated_share * p1 + (1 - plan.treated_share) * p0
    under_none = np.sqrt(shrink * pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    error = np.sqrt(shrink * (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0))
    return float(scipy.stats.norm.sf((scipy.stats.norm.isf(alpha / 2) * under_none - abs(effect)) / error))


def units_needed(plan: PowerPlan, effect: float) -> int:
    """Units in all arms together that find `effect` with the planned power.

    >>> units_needed(PowerPlan(baseline=0.10), 0.02)
    7682
    """
    if effect == 0 or not np.isfinite(effect):
        raise ConfigError(
            f"power: an effect of {effect:g} cannot be found; give the smallest one worth finding"
        )
    if plan.std_dev is None and not 0 < plan.baseline + effect < 1:
        raise ConfigError(f"power: {plan.baseline} + {effect} is no share between 0 and 1")
    enough, few = 1e12, 4.0
    if experiment_power(plan, effect, few) >= plan.power:
        return _all_arms(plan, few)
    if experiment_power(plan, effect, enough) < plan.power:
        raise ConfigError(f"power: an effect of {effect:g} needs more than {enough:.0e} units")
    pair = scipy.optimize.brentq(
        lambda log_units: experiment_power(plan, effect, np.exp(log_units)) - plan.power,
        np.log(few),
        np.log(enough),
        xtol=1e-10,
    )
    return _all_arms(plan, float(np.exp(pair)))


def detectable_effect(plan: PowerPlan, units: int) -> float:
    """Smallest effect above zero that `units` in all arms together find with the planned power.

    >>> round(detectable_effect(PowerPlan(baseline=0.10), 7682), 4)
    0.02
    """
    treated, control = plan.treated_share, 1 - plan.treated_share
    pair = units * (treated + control) / (plan.arms * treated + control)
    if pair < 4:
        raise ConfigError(f"power: {units} units are too few for {plan.arms + 1} arms")
    top = (1 - plan.baseline) * (1 - 1e-9) if plan.std_dev is None else 1e3 * plan.std_dev
    if experiment_power(plan, top, pair) < plan.power:
        raise ConfigError(f"power: {units} units cannot find any effect with power {plan.power}")
    found = scipy.optimize.brentq(
        lambda effect: experiment_power(plan, effect, pair) - plan.power, top * 1e-12, top, xtol=1e-12
    )
    return float(found)


def _all_arms(plan: PowerPlan, pair: float) -> int:
    """Units of all arms, whole ones in each, when one arm and the control take `pair`."""
    treated = int(np.ceil(pair * plan.treated_share - 1e-6))
    control = int(np.ceil(pair * (1 - plan.treated_share) - 1e-6))
    return treated * plan.arms + control
