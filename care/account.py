"""The account of care: what it brought and took, month by month, with the chance that it pays.

    net = margin + cost avoided - induced contacts - cost

    margin           = cases x spend a case brings x gross margin
    induced contacts = cases x further contacts of a case x cost of a contact
    cost avoided     = contacts avoided x (cost there - cost here) x (1 - share who come back)
    ROI              = net / cost

Every uncertain input is drawn 10,000 times, effects from their normal error and assumptions from a triangle
(low, value, high), by Latin hypercube so that the draws themselves add next to no error: each input takes the
same 10,000 quantiles in an order of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import ndtri

from care.assumptions import Assumption
from care.cash_flows import internal_rate, net_present_value, payback_months
from care.evidence import LEVEL, Z
from histories.arrays import Float

Values = Mapping[str, Float]

DRAWS: Final = 10_000
_TORNADO: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One figure that the account rests on.

    Attributes
    ----------
    value
        As estimated or assumed.
    std_error
        Of an estimate; its draws are normal.
    low, high
        Of an assumption; its draws are triangular. None: it is taken as exact.
    """

    value: float
    std_error: float = 0.0
    low: float | None = None
    high: float | None = None

    @classmethod
    def assumed(cls, assumption: Assumption) -> Input:
        """An assumption as an input."""
        return cls(value=assumption.value, low=assumption.low, high=assumption.high)

    @property
    def ends(self) -> tuple[float, float]:
        """Within which it lies: the 95 % interval of an estimate, the range of an assumption."""
        if self.std_error > 0:
            return self.value - Z * self.std_error, self.value + Z * self.std_error
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )

    @property
    def is_uncertain(self) -> bool:
        """Whether it has a range."""
        return self.ends[0] < self.ends[1]

    def draws(self, uniform: Float) -> Float:
        """Draws from uniform ones, shape (n,)."""
        if self.std_error > 0:
            return np.asarray(self.value + self.std_error * ndtri(uniform), dtype=np.float64)
        low, high = self.ends
        return Assumption(name="", value=self.value, low=low, high=high).draws(uniform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A figure with its 95 % interval over the draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """How far the net moves while one input goes from its low to its high end."""

    name: str
    at_low: float
    at_high: float


@dataclass(frozen=True, kw_only=True)
class Account:
    """What care brought and took in consecutive months.

    Attributes
    ----------
    cases : shape (months,)
        Cases of known customers that the effect is about.
    handled : shape (months,)
        All such cases, unknown authors included: their answers make contacts too.
    spend_per_case, gross_margin
        Of an answer; currency, and share.
    issues_per_case, cost_per_contact
        Further contacts, and what one costs; None where not known, which leaves them out.
    avoided : shape (months,)
        How the measured contacts avoided fall on the months; sums to 1.
    contacts_avoided, cost_per_assisted_contact, recontact_share
        Measured; None where nothing was.
    costs
        By item, each shape (months,).
    cost_scale
        Factor on all costs; an input where the cost itself is assumed.
    case_scale
        Factor on all cases, likewise.
    outlay
        Paid before the first month.
    discount_rate
        Per year.
    """

    cases: Float
    spend_per_case: Input
    gross_margin: Input
    costs: Mapping[str, Float]
    handled: Float | None = None
    issues_per_case: Input | None = None
    cost_per_contact: Input | None = None
    avoided: Float | None = None
    contacts_avoided: Input | None = None
    cost_per_assisted_contact: Input | None = None
    recontact_share: Input = field(default_factory=lambda: Input(value=0.0))
    cost_scale: Input = field(default_factory=lambda: Input(value=1.0))
    case_scale: Input = field(default_factory=lambda: Input(value=1.0))
    outlay: float = 0.0
    discount_rate: float = 0.0
    seed: int = 1

    @property
    def inputs(self) -> dict[str, Input]:
        """Every input that is known, by name."""
        names = (
            "spend_per_case", "gross_margin", "issues_per_case", "cost_per_contact", "contacts_avoided",
            "cost_per_assisted_contact", "recontact_share", "cost_scale", "case_scale",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def lines(self, values: Values | None = None) -> dict[str, Float]:
        """Margin, avoided, induced, cost and net by month, shape (months,) or (draws, months)."""
        x = values or {name: np.array([one.value]) for name, one in self.inputs.items()}
        nothing = np.zeros(self.cases.size)

        def by_month(weights: Float, *names: str) -> Float:
            factor = np.prod([x[name] for name in names], axis=0)
            return np.asarray(factor[:, None] * weights[None, :], dtype=np.float64)

        margin = by_month(self.cases, "case_scale", "spend_per_case", "gross_margin")
        induced, avoided = margin * 0.0, margin * 0.0
        if self.issues_per_case is not None and self.cost_per_contact is not None:
            handled = self.cases if self.handled is None else self.handled
            induced = by_month(handled, "case_scale", "issues_per_case", "cost_per_contact")
        if self.contacts_avoided is not None and self.cost_per_assisted_contact is not None:
            here = x.get("cost_per_contact", np.zeros(1))
            saving = (x["cost_per_assisted_contact"] - here) * (1.0 - x["recontact_share"])
            weights = self._avoided_weights()
            avoided = np.asarray((x["contacts_avoided"] * saving)[:, None] * weights[None, :])
        cost = by_month(sum(self.costs.values(), nothing), "cost_scale")
        return {
            "margin": margin,
            "avoided": avoided,
            "induced": induced,
            "cost": cost,
            "net": margin + avoided - induced - cost,
        }

    def _avoided_weights(self) -> Float:
        if self.avoided is None:
            return np.full(self.cases.size, 1.0 / self.cases.size)
        return self.avoided

    @cached_property
    def drawn(self) -> dict[str, Float]:
        """The sums of every line over all months, shape (DRAWS,)."""
        rng = np.random.default_rng(self.seed)
        quantiles = (np.arange(DRAWS) + 0.5) / DRAWS
        values = {name: one.draws(rng.permutation(quantiles)) for name, one in self.inputs.items()}
        return {name: rows.sum(axis=1) for name, rows in self.lines(values).items()}

    def total(self, line: str) -> Total:
        """A line over all months; of "net" less the outlay."""
        draws, value = self.drawn[line], float(self.lines()[line].sum())
        if line == "net":
            draws, value = draws - self.outlay, value - self.outlay
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Total(value=value, low=float(low), high=float(high))

    @property
    def spent(self) -> float:
        """Cost and outlay."""
        return float(self.lines()["cost"].sum()) + self.outlay

    def roi(self) -> Total | None:
        """Net over cost; None without any cost."""
        if self.spent <= 0:
            return None
        spent = self.drawn["cost"] + self.outlay
        ratios = (self.drawn["net"] - self.outlay) / spent
        low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Total(value=self.total("net").value / self.spent, low=float(low), high=float(high))

    def chance(self) -> float:
        """That the net is above 0."""
        return float((self.drawn["net"] - self.outlay > 0).mean())

    @property
    def flows(self) -> list[float]:
        """The outlay, then the net at each month's end."""
        return [-self.outlay, *self.lines()["net"][0].tolist()]

    def present_value(self) -> float:
        """Of the flows, in today's money."""
        return net_present_value(self.flows, discount_rate=self.discount_rate)

    def payback(self, *, discounted: bool = False) -> float | None:
        """Months until it has paid for itself for good; None when it never does."""
        return payback_months(self.flows, discount_rate=self.discount_rate if discounted else 0.0)

    def internal_rate(self) -> float | None:
        """Rate a month; None without exactly one turn of sign."""
        return internal_rate(self.flows)

    def break_even_effect(self) -> float | None:
        """Spend that a case would have to bring for the net to be 0; None without cases or margin."""
        lines = self.lines()
        worth = float(self.cases.sum()) * self.case_scale.value * self.gross_margin.value
        rest = (lines["cost"] + lines["induced"] - lines["avoided"]).sum() + self.outlay
        return float(rest) / worth if worth > 0 else None

    def tornado(self) -> tuple[Swing, ...]:
        """The inputs that move the net most, each between its ends with the others as they are."""
        fixed = {name: np.array([one.value]) for name, one in self.inputs.items()}
        swings = []
        for name, one in self.inputs.items():
            if one.is_uncertain:
                ends = [
                    float(self.lines({**fixed, name: np.array([end])})["net"].sum()) - self.outlay
                    for end in one.ends
                ]
                swings.append(Swing(name=name, at_low=ends[0], at_high=ends[1]))
        return tuple(sorted(swings, key=lambda swing: -abs(swing.at_high - swing.at_low))[:_TORNADO])
