"""Effect: one estimate of what a treatment did, and the table it becomes.

Every experiment and every design is a row, also the failed ones: `supported` says whether the figure may be
quoted and `reason` says, in words, why not. The rows of one design and outcome stand in order of preference:
the first one is the estimate that was chosen beforehand, the others stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import polars as pl

from attribution.effects.design import EffectDesign
from histories.arrays import Flags
from histories.cuts import ALL

EFFECTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "name": pl.String(),
    "treatment": pl.String(),
    "control": pl.String(),
    "outcome": pl.String(),
    "segment": pl.String(),
    "design": pl.String(),
    "estimator": pl.String(),
    "estimand": pl.String(),
    "bin": pl.String(),
    "estimate": pl.Float64(),
    "std_error": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n_treated": pl.Int64(),
    "n_control": pl.Int64(),
    "effective_n": pl.Float64(),
    "supported": pl.Boolean(),
    "reason": pl.String(),
    "e_value": pl.Float64(),
    "robustness_value": pl.Float64(),
    "placebo_estimate": pl.Float64(),
    "placebo_low": pl.Float64(),
    "placebo_high": pl.Float64(),
    "first_stage_f": pl.Float64(),
    "direct_to_zero": pl.Float64(),
    "direct_allowed": pl.Float64(),
}


INTERVAL_LEVEL = 0.95
"""Coverage of `low` and `high`, and of the placebo's interval."""

Z_INTERVAL = NormalDist().inv_cdf(0.5 + INTERVAL_LEVEL / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One estimate, with its interval, its sample and the checks it went through.

    Attributes
    ----------
    name, design
        The configured design.
    treatment, control
        What is compared with what, in words.
    outcome, segment
        The outcome, in its own unit (money in currency, retention as a share), and for whom; `(all)` is
        everybody.
    estimator, estimand
        How it was estimated (`difference_in_means`, `cuped`, `lin`, `aipw`, ...) and of whom the mean is
        (`ATE` everybody, `ATT` the treated, `ATU` the untreated, `ATO` where the groups overlap, `LATE` those
        whom an instrument moves).
    bin
        Of a response curve: minutes to the first answer, `15-60`, `1440-` for later, `never`; None elsewhere.
    estimate, std_error, low, high
        Treated minus control and its 95 % interval; None where nothing may be read.
    n_treated, n_control
        Units in each group.
    effective_n
        Units after weighting, both groups together: (sum w)^2 / sum w^2 in each.
    supported, reason
        Whether the figure may be quoted; if not, why.
    e_value
        How strongly (as a risk ratio) a hidden cause would have to act on treatment and outcome to explain
        the estimate away.
    robustness_value
        Share of the residual variance of treatment and of outcome a hidden cause would have to explain to
        bring the estimate to zero (0 to 1).
    placebo_estimate, placebo_low, placebo_high
        The same estimator where no effect can be, and its 95 % interval.
    first_stage_f
        Of an instrument: the effective F, robust and clustered, of the instrument in the first stage.
    direct_to_zero, direct_allowed
        Of a queue: the direct effect on the outcome, per unit of the queue, that would bring the estimate to
        zero, and the largest that the placebo allows.
    """

    name: str
    treatment: str
    control: str
    outcome: str
    segment: str = ALL
    design: str
    estimator: str
    estimand: str
    bin: str | None = None
    estimate: float | None = None
    std_error: float | None = None
    low: float | None = None
    high: float | None = None
    n_treated: int = 0
    n_control: int = 0
    effective_n: float | None = None
    supported: bool = True
    reason: str | None = None
    e_value: float | None = None
    robustness_value: float | None = None
    placebo_estimate: float | None = None
    placebo_low: float | None = None
    placebo_high: float | None = None
    first_stage_f: float | None = None
    direct_to_zero: float | None = None
    direct_allowed: float | None = None

    @property
    def claims_sign(self) -> bool:
        """Whether the interval lies on one side of no effect; not where an end is open."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of no effect; None where there is no estimate."""
        if self.estimate is None or not self.std_error:
            return None
        return math.erfc(abs(self.estimate / self.std_error) / math.sqrt(2.0))

    def refused(self, reason: str, *, withhold: bool = False) -> Effect:
        """The same effect, not supported for one more reason; `withhold` takes the figure away as well."""
        told = reason if self.reason is None else f"{self.reason}; {reason}"
        if not withhold:
            return replace(self, supported=False, reason=told)
        return replace(self, supported=False, reason=told, estimate=None, std_error=None, low=None, high=None)

    def __str__(self) -> str:
        return format_effects([self])


def effect_of(
    design: EffectDesign,
    outcome: str,
    estimator: str,
    estimand: str,
    treated: Flags | None = None,
    **figures: Any,
) -> Effect:
    """An effect of a design, before it has an estimate.

    Both groups are counted by who was `treated`, shape (N,). `figures` are further fields, and other names of
    treatment and control than the design's.
    """
    sizes = {} if treated is None else {"n_treated": int(treated.sum()), "n_control": int((~treated).sum())}
    about = {"treatment": design.treatment_label, "control": design.control_label, **sizes, **figures}
    return Effect(
        name=design.name,
        design=design.design,
        outcome=outcome,
        estimator=estimator,
        estimand=estimand,
        **about,
    )


def with_interval(effect: Effect, *, estimate: float, std_error: float) -> Effect:
    """The effect with its figures and their normal 95 % interval; a figure that is not finite is withheld."""
    if not (np.isfinite(estimate) and np.isfinite(std_error)):
        return effect.refused("the estimate is not a finite number", withhold=True)
    if std_error == 0.0 and estimate == 0.0:
        return effect.refused(
            f"{effect.outcome} is the same for all: there is nothing to tell apart", withhold=True
        )
    half = Z_INTERVAL * std_error
    return replace(effect, estimate=estimate, std_error=std_error, low=estimate - half, high=estimate + half)


def with_refusal(effect: Effect, refusal: str | None) -> Effect:
    """The effect, refused when its design was."""
    return effect if refusal is None else effect.refused(refusal)


def effects_frame(effects: Sequence[Effect]) -> pl.DataFrame:
    """The `effects` table: one row per effect, in order; empty and typed without any.

    >>> effects_frame([]).columns[:3]
    ['name', 'treatment', 'control']
    """
    names = [field.name for field in fields(Effect)]
    rows = {name: [getattr(effect, name) for effect in effects] for name in names}
    return pl.DataFrame(rows, schema=EFFECTS_SCHEMA)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of Holm (1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


def format_effects(effects: Sequence[Effect]) -> str:
    """A plain table for a terminal: one line per effect, and below it the reasons of those not supported."""
    if not effects:
        return "no effects"
    lines = [
        f"{'outcome':<18} {'segment':<16} {'treatment':<30} {'estimator':<22} {'effect':>10} "
        f"{'95 % interval':>24} {'n':>15}"
    ]
    name = None
    for effect in effects:
        if effect.name != name:
            name = effect.name
            lines.append(f"-- {name} ({effect.design}): against {effect.control}")
        lines.append(_format_line(effect))
    return "\n".join(lines)


def _format_line(effect: Effect) -> str:
    """One effect as one line, with the reason on a second one when it is not supported."""
    figure, interval = "withheld", ""
    if effect.estimate is not None and effect.low is not None and effect.high is not None:
        figure = f"{effect.estimate:.4g}"
        interval = f"[{effect.low:.4g}, {effect.high:.4g}]"
    how = f"{effect.estimator} {effect.estimand}"
    line = (
        f"{effect.outcome[:18]:<18} {effect.segment[:16]:<16} {effect.treatment[:30]:<30} {how[:22]:<22} "
        f"{figure:>10} {interval:>24} {effect.n_treated:>7,}/{effect.n_control:>7,}"
    )
    return line if effect.supported else f"{line}\n    not supported: {effect.reason}"
