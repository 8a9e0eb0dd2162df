"""Credit of a fitted panel model: the Aumann-Shapley value of its set function (Aumann & Shapley 1974).

Scaling all stocks from 0 to 1 together and integrating each channel's share of the slope replaces the 2^C
coalitions of the Shapley value by five Gauss-Legendre nodes. Because the slope has a part through leaving
and a part through spending, every credit splits exactly into what came from customers who stayed and what
came from customers who spent more: the Aumann-Shapley value of the game in which a channel's two effects
are two players.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from attribution.incremental.cores import on_every_core
from attribution.incremental.customer_parts import customer_parts
from attribution.incremental.setfunction import PanelModel, PanelPrediction
from histories.arrays import Float, Labels
from histories.panel import Panel

NODES = 5
"""Gauss-Legendre nodes; more change no credit by a thousandth of the total."""
CHUNK = 10_000
"""Customers credited at a time: bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCredit:
    """Credit of one outcome by channel, in customers or currency."""

    staying: Float
    """Part that came through customers who stayed, shape (C,)."""
    spending: Float
    """Part that came through customers who spent more while there, shape (C,)."""
    total: float
    """v(all): the observed outcome (retention of customers without a contract: the expected one)."""
    empty: float
    """v(empty) evaluated directly: differs from `baseline` by the quadrature error only."""
    by_period: Float | None = None
    """The credit by period, shape (P, C): of retention by that in which leaving was averted, of spend by that
    in which it is spent; None where it was not asked for."""

    @property
    def credit(self) -> Float:
        """Credit by channel, shape (C,)."""
        return self.staying + self.spending

    @property
    def baseline(self) -> float:
        """What would have happened anyway: total less all credit."""
        return float(self.total - self.credit.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelCredit:
    """Credits of one fitted model on one panel."""

    channels: tuple[str, ...]
    retention: OutcomeCredit
    spend: OutcomeCredit
    lifetime_value: OutcomeCredit | None
    """Margin observed plus residual value modelled; None without residual values."""
    expected_spend: float
    """The model's own expectation of the observed spend."""
    expected_survivors: float
    """The model's own expectation of the customers still there."""
    by_label: Mapping[tuple[str, str], PanelCredit] = field(default_factory=dict)
    """The parts of every label of every column asked for, in their order; a column's parts add up to the
    whole. The model's own expectations are not divided: NaN."""

    def outcome(self, name: str) -> OutcomeCredit | None:
        """Credit of "retention", "spend" or "lifetime_value"; None where there is none."""
        by_name = {
            "retention": self.retention,
            "spend": self.spend,
            "lifetime_value": self.lifetime_value,
        }
        return by_name[name]

    def require(self, name: str) -> OutcomeCredit:
        """Credit of an outcome that there is."""
        found = self.outcome(name)
        if found is None:
            raise ValueError(f"there is no credit of {name}")
        return found


def panel_credit(
    model: PanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    labels: Mapping[str, Labels] | None = None,
    periods_apart: bool = False,
    chunk: int = CHUNK,
) -> PanelCredit:
    """Credit every channel with retention, spend and lifetime value, customers in chunks.

    Parameters
    ----------
    model
        A fit, not necessarily to these customers.
    panel, stocks
        Customers to credit, and their decayed stocks, shape (N, P, C).
    rng
        Draws the latents of customers, where the model has any.
    residual_value
        Discounted margin after the last period, given that the customer is still there, in currency,
        shape (N,). None: no lifetime value.
    gross_margin
        Margin per unit of spend where the panel has no margin of its own.
    labels
        Segments of the customers by name of the column; every customer's part is counted in one label of
        each, found in `by_label`.
    periods_apart
        Whether the whole credit of retention and of spend is wanted by period as well.
    chunk
        Customers at a time.
    """
    shape = (3, 2 * panel.n_channels + 2)
    sums, expected = np.zeros(shape), np.zeros(2)
    by_period = np.zeros((2, panel.n_periods if periods_apart else 0, panel.n_channels))
    parts = {
        (column, str(label)): (np.asarray(own) == label, np.zeros(shape))
        for column, own in (labels or {}).items()
        for label in np.unique(own)
    }

    def of_chunk(drawing: tuple[slice, np.random.Generator]) -> _Chunk:
        rows, own = drawing
        part, s = panel.take(rows), stocks[rows]
        prediction = model.predict(part, s, rng=own)
        value = np.zeros(part.n_customers) if residual_value is None else residual_value[rows]
        of_each, apart = _of_each(
            model,
            part,
            s,
            prediction,
            residual_value=value,
            gross_margin=gross_margin,
            periods_apart=periods_apart,
        )
        return _Chunk(
            sums=of_each.sum(axis=0),
            by_period=apart,
            by_label=[of_each[inside[rows]].sum(axis=0) for inside, _ in parts.values()],
            expected=np.array([_expected_survivors(model, part, s, prediction), prediction.expected_spend]),
        )

    chunks = list(_slices(panel.n_customers, chunk))
    generators = [rng, *rng.spawn(len(chunks) - 1)] if chunks else []
    for found in on_every_core(of_chunk, list(zip(chunks, generators, strict=True)), level="chunks"):
        sums, by_period, expected = sums + found.sums, by_period + found.by_period, expected + found.expected
        for (_, added), own in zip(parts.values(), found.by_label, strict=True):
            np.add(added, own, out=added)

    def credit(sums: Float, survivors: float, spend: float) -> PanelCredit:
        return PanelCredit(
            channels=panel.channels,
            retention=_outcome(sums[0]),
            spend=_outcome(sums[1]),
            lifetime_value=None if residual_value is None else _outcome(sums[2]),
            expected_survivors=survivors,
            expected_spend=spend,
        )

    nan = float("nan")
    whole = credit(sums, float(expected[0]), float(expected[1]))
    if periods_apart:
        retention, spend = (
            replace(outcome, by_period=apart)
            for outcome, apart in zip((whole.retention, whole.spend), by_period, strict=True)
        )
        whole = replace(whole, retention=retention, spend=spend)
    return replace(
        whole,
        by_label={key: credit(part_sums, nan, nan) for key, (_, part_sums) in parts.items()},
    )


def scaled_to_all(
    found: PanelCredit, own_here: PanelCredit, own: PanelCredit, *, times: float
) -> PanelCredit:
    """Another model's credit of all customers, from that of a sample of them.

    What the other model says differently is small beside what both say, so that only the difference is taken
    from the sample: own + times (found - own_here). An outcome that the other does not credit at all stays
    without credit.

    Parameters
    ----------
    found
        The other model's credit of the sample.
    own_here, own
        Credit by the model that credits the company, of the sample and of all customers.
    times
        All customers over those of the sample.
    """
    value = found.lifetime_value, own_here.lifetime_value, own.lifetime_value
    return replace(
        found,
        retention=_moved(found.retention, own_here.retention, own.retention, times),
        spend=_moved(found.spend, own_here.spend, own.spend, times),
        lifetime_value=None if None in value else _moved(*value, times),  # type: ignore[arg-type]
        expected_spend=times * found.expected_spend,
        expected_survivors=times * found.expected_survivors,
    )


def _moved(found: OutcomeCredit, own_here: OutcomeCredit, own: OutcomeCredit, times: float) -> OutcomeCredit:
    if not found.credit.any():
        own_here, own = (replace(found, total=0.0, empty=0.0) for _ in range(2))
    return replace(
        found,
        staying=own.staying + times * (found.staying - own_here.staying),
        spending=own.spending + times * (found.spending - own_here.spending),
        total=own.total + times * (found.total - own_here.total),
        empty=own.empty + times * (found.empty - own_here.empty),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """What a chunk of customers adds."""

    sums: Float
    by_period: Float
    by_label: list[Float]
    expected: Float
    """Survivors and spend, shape (2,)."""


def _expected_survivors(
    model: PanelModel, panel: Panel, stocks: NDArray[np.float32], prediction: PanelPrediction
) -> float:
    """Customers less the sum of hazards over the rows at risk; a right model meets the observed count."""
    told = prediction.staying is not None  # layers of states in which stocks do nothing hold no hazard
    if prediction.hazard_offset is None or told or not panel.contractual:
        return prediction.expected_survivors
    push = (stocks @ model.beta).astype(np.float32)
    at_risk = panel.at_risk
    share, _ = prediction.layer_weights
    leaving = sum(
        float(((expit(layer + push) * at_risk).sum(axis=1) * weight).sum())
        for layer, weight in zip(prediction.hazard_offset, share, strict=True)
    )
    return panel.n_customers - leaving


def _of_each(
    model: PanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    prediction: PanelPrediction,
    *,
    residual_value: Float,
    gross_margin: float,
    periods_apart: bool,
) -> tuple[Float, Float]:
    """What each customer adds, (N, 3, 2C + 2): by outcome, credit by staying, spending; v(all), v(empty).

    And the sums of `customer_parts` by period.
    """
    spend = np.asarray(panel.spend, dtype=np.float64)
    creditable = creditable_share(panel)
    kept, staying, spending, empty, by_period = _parts(
        model, panel, stocks, prediction, spend * creditable, periods_apart=periods_apart
    )
    survival = np.asarray(prediction.survival, dtype=np.float64)
    given = (spend * (1.0 - creditable)).sum(axis=1)
    retained = [kept, np.zeros_like(kept), survival, empty[:, 0]]
    spent = [staying, spending, spend.sum(axis=1), given + empty[:, 1]]
    if panel.margin is None:
        earned = [gross_margin * part for part in spent]
    else:
        margin = np.asarray(panel.margin, dtype=np.float64)
        _, staying, spending, empty, _ = _parts(model, panel, stocks, prediction, margin * creditable)
        given = (margin * (1.0 - creditable)).sum(axis=1)
        earned = [staying, spending, margin.sum(axis=1), given + empty[:, 1]]
    ahead = [(residual_value * part.T).T for part in retained]
    valued = [now + later for now, later in zip(earned, ahead, strict=True)]
    each = np.stack([np.column_stack(outcome) for outcome in (retained, spent, valued)], axis=1)
    return each, by_period


def creditable_share(panel: Panel) -> Float:
    """Share of each period's spend that touches may be credited with: all but the purchase of arrival."""
    share = np.ones(panel.spend.shape)
    if panel.acquisition is not None:
        row = np.arange(panel.n_customers)
        there = panel.spend[row, panel.entry]
        part = np.divide(
            panel.acquisition, there, out=np.zeros_like(there, dtype=np.float64), where=there > 0
        )
        share[row, panel.entry] = 1.0 - np.clip(part, 0.0, 1.0)
    return share


def _parts(
    model: PanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    prediction: PanelPrediction,
    amount: Float,
    *,
    periods_apart: bool = False,
) -> tuple[Float, Float, Float, Float, Float]:
    offset = prediction.hazard_offset
    if offset is None:
        offset = np.zeros((0, *amount.shape), dtype=np.float32)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    share, staying = prediction.layer_weights
    found: tuple[Float, Float, Float, Float, Float] = customer_parts(
        np.ascontiguousarray(stocks, dtype=np.float32),
        np.ascontiguousarray(panel.entry, dtype=np.int64),
        np.ascontiguousarray(panel.last, dtype=np.int64),
        np.ascontiguousarray(offset, dtype=np.float32),
        np.ascontiguousarray(amount),
        np.ascontiguousarray(share, dtype=np.float64),
        np.ascontiguousarray(staying, dtype=np.float64),
        np.ascontiguousarray(model.beta, dtype=np.float64),
        np.ascontiguousarray(model.gamma, dtype=np.float64),
        0.5 * (nodes + 1.0),
        0.5 * weights,
        periods_apart,
    )
    return found


def _outcome(sums: Float) -> OutcomeCredit:
    channels = (len(sums) - 2) // 2
    return OutcomeCredit(
        staying=sums[:channels],
        spending=sums[channels : 2 * channels],
        total=float(sums[-2]),
        empty=float(sums[-1]),
    )


def _slices(n: int, chunk: int) -> Iterator[slice]:
    for start in range(0, n, chunk):
        yield slice(start, min(start + chunk, n))
