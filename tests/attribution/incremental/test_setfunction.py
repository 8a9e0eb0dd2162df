"""Aumann-Shapley credit against the definition of the set function, coalition by coalition."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import creditable_share, panel_credit
from attribution.incremental.setfunction import PanelPrediction
from attribution.incremental.stocks import decayed_stocks
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel
from histories.simulation.truth import shapley_values

QUADRATURE = 1e-6
"""Five Gauss-Legendre nodes on smooth integrands: far below sampling error."""
SCALED_AGAINST_SWITCHED = 0.02
"""Scaling all stocks together differs from switching channels by interactions between channels only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model whose parameters are given instead of fitted."""

    beta: NDArray[np.float64]
    gamma: NDArray[np.float64]
    offset: NDArray[np.float32] | None
    problems: tuple[str, ...] = ()
    share: NDArray[np.float64] | None = None
    staying: NDArray[np.float64] | None = None

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        there = np.zeros(panel.n_customers) if panel.exit is None else panel.exit >= panel.n_periods
        return PanelPrediction(
            hazard_offset=self.offset,
            survival=np.asarray(there, dtype=np.float64),
            expected_spend=float(panel.spend.sum()),
            expected_survivors=float(there.sum()),
            share=self.share,
            staying=self.staying,
        )


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = simulate_panel("r7", n=60, periods=10, seed=1).panel
    late = np.arange(60) % 4
    entry = np.minimum(late, made.last)
    outside = np.arange(10) < entry[:, None]
    return replace(
        made,
        entry=entry,
        touches=np.where(outside[:, :, None], 0, made.touches),
        spend=np.where(outside, 0, made.spend),
    )


@pytest.fixture(scope="module")
def model(panel: Panel) -> KnownModel:
    rng = np.random.default_rng(0)
    offset = rng.normal(-2.5, 0.7, (3, panel.n_customers, panel.n_periods)).astype(np.float32)
    return KnownModel(beta=rng.normal(-0.1, 0.2, 8), gamma=rng.normal(0.03, 0.05, 8), offset=offset)


def value_of(
    model: KnownModel, panel: Panel, stocks: NDArray[np.float32], mask: NDArray[np.float64]
) -> tuple[float, float]:
    """v_retention and v_spend of scaled stocks, straight from the definition."""
    assert model.offset is not None
    kept = spent = 0.0
    for i in range(panel.n_customers):
        for layer in model.offset:
            ratio = 1.0
            for t in range(panel.entry[i], panel.last[i] + 1):
                push = stocks[i, t] @ (model.gamma * (mask - 1.0))
                spent += ratio * panel.spend[i, t] * np.exp(push) / len(model.offset)
                stays = [
                    1 / (1 + np.exp(layer[i, t] + stocks[i, t] @ (model.beta * m)))
                    for m in (mask, np.ones(8))
                ]
                ratio *= stays[0] / stays[1]
            kept += (panel.exit[i] >= panel.n_periods) * ratio / len(model.offset)
    return kept, spent


def test_credit_and_baseline_add_up_to_what_was_observed(panel: Panel, model: KnownModel) -> None:
    stocks = decayed_stocks(panel.touches)
    credit = panel_credit(model, panel, stocks, rng=np.random.default_rng(0))
    for outcome, observed in (
        (credit.retention, (panel.exit >= 10).sum()),
        (credit.spend, panel.spend.sum()),
    ):
        assert outcome.total == pytest.approx(observed, rel=1e-12)
        assert outcome.baseline + outcome.credit.sum() == pytest.approx(observed, rel=1e-9)
        assert outcome.empty == pytest.approx(outcome.baseline, rel=QUADRATURE)


def test_the_empty_coalition_follows_the_definition(panel: Panel, model: KnownModel) -> None:
    stocks = decayed_stocks(panel.touches)
    credit = panel_credit(model, panel, stocks, rng=np.random.default_rng(0))
    kept, spent = value_of(model, panel, stocks, np.zeros(8))
    assert credit.retention.empty == pytest.approx(kept, rel=1e-6)
    assert credit.spend.empty == pytest.approx(spent, rel=1e-6)


def stayed(panel: Panel) -> NDArray[np.float64]:
    assert panel.exit is not None
    return np.asarray(panel.exit >= panel.n_periods, dtype=np.float64)


def parts_of(model: KnownModel, panel: Panel) -> NDArray[np.float64]:
    stocks = decayed_stocks(panel.touches)
    credit = panel_credit(model, panel, stocks, rng=np.random.default_rng(0), chunk=panel.n_customers)
    found = credit.retention, credit.spend
    return np.array([[*of.staying, *of.spending, of.total, of.empty] for of in found])


def test_even_weights_of_layers_may_be_left_out(panel: Panel, model: KnownModel) -> None:
    even = np.full((3, panel.n_customers), 1.0 / 3.0)
    said = replace(model, share=even, staying=even * stayed(panel))
    np.testing.assert_allclose(parts_of(said, panel), parts_of(model, panel), rtol=1e-12)


def test_a_layer_with_all_the_weight_is_the_only_one(panel: Panel, model: KnownModel) -> None:
    assert model.offset is not None
    all_on = np.zeros((3, panel.n_customers))
    all_on[1] = 1.0
    second = replace(model, share=all_on, staying=all_on * stayed(panel))
    alone = replace(model, offset=model.offset[1:2])
    np.testing.assert_allclose(parts_of(second, panel), parts_of(alone, panel), rtol=1e-12)
    assert not np.allclose(parts_of(second, panel), parts_of(model, panel), rtol=0.01)


def test_spend_is_weighed_by_share_and_retention_by_staying(panel: Panel, model: KnownModel) -> None:
    """Credit is linear in the weights; a layer of a life that ended earns spend and keeps nobody."""
    assert model.offset is not None
    rng = np.random.default_rng(2)
    share = rng.dirichlet(np.ones(3), panel.n_customers).T
    staying = share * np.array([[1.0], [1.0], [0.0]]) * stayed(panel)
    found = parts_of(replace(model, share=share, staying=staying), panel)
    expected = np.zeros_like(found)
    for i in range(panel.n_customers):
        one = panel.take(np.array([i]))
        for layer, w, keeps in zip(model.offset, share[:, i], staying[:, i], strict=True):
            only = replace(
                model, offset=layer[None, i : i + 1], share=np.array([[w]]), staying=np.array([[keeps]])
            )
            expected += parts_of(only, one)
    expected[0, -2], expected[1, -2] = found[0, -2], panel.spend.sum()  # v(all) is not a sum over layers
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[0, -1] < stayed(panel).sum()


def test_credit_equals_the_shapley_value_over_256_coalitions() -> None:
    few = simulate_panel("r7", n=12, periods=8, seed=4).panel
    rng = np.random.default_rng(1)
    model = KnownModel(
        beta=rng.normal(-0.1, 0.2, 8),
        gamma=rng.normal(0.03, 0.05, 8),
        offset=rng.normal(-2.5, 0.5, (1, 12, 8)).astype(np.float32),
    )
    stocks = decayed_stocks(few.touches)
    masks = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.float64)
    values = np.array([value_of(model, few, stocks, mask) for mask in masks])
    credit = panel_credit(model, few, stocks, rng=rng)
    for found, v in ((credit.retention, values[:, 0]), (credit.spend, values[:, 1])):
        exact = shapley_values(v)
        distance = np.abs(found.credit - exact).sum() / np.abs(exact).sum()
        assert distance < SCALED_AGAINST_SWITCHED


def test_chunks_of_customers_do_not_change_the_credit(panel: Panel, model: KnownModel) -> None:
    model = replace(model, offset=None)
    stocks = decayed_stocks(panel.touches)
    whole, parts = (
        panel_credit(model, panel, stocks, rng=np.random.default_rng(0), chunk=size) for size in (60, 7)
    )
    np.testing.assert_allclose(parts.spend.credit, whole.spend.credit, rtol=1e-12)


def test_lifetime_value_is_margin_plus_residual_value_of_those_who_stay(
    panel: Panel, model: KnownModel
) -> None:
    stocks = decayed_stocks(panel.touches)
    residual = np.full(panel.n_customers, 50.0)
    credit = panel_credit(
        model, panel, stocks, rng=np.random.default_rng(0), residual_value=residual, gross_margin=0.4
    )
    value = credit.require("lifetime_value")
    np.testing.assert_allclose(value.spending, 0.4 * credit.spend.spending, rtol=1e-12)
    np.testing.assert_allclose(
        value.staying, 0.4 * credit.spend.staying + 50.0 * credit.retention.credit, rtol=1e-9
    )
    assert value.total == pytest.approx(0.4 * credit.spend.total + 50.0 * credit.retention.total, rel=1e-12)


def test_own_margins_take_the_place_of_the_gross_margin(panel: Panel, model: KnownModel) -> None:
    stocks = decayed_stocks(panel.touches)
    residual = np.zeros(panel.n_customers)
    with_margin = replace(panel, margin=0.25 * panel.spend)
    found = panel_credit(model, with_margin, stocks, rng=np.random.default_rng(0), residual_value=residual)
    np.testing.assert_allclose(found.require("lifetime_value").credit, 0.25 * found.spend.credit, rtol=1e-9)


def test_a_model_without_hazard_credits_spend_alone(panel: Panel, model: KnownModel) -> None:
    spend_only = replace(model, offset=None, beta=np.zeros(8))
    credit = panel_credit(spend_only, panel, decayed_stocks(panel.touches), rng=np.random.default_rng(0))
    assert not credit.retention.credit.any()
    assert not credit.spend.staying.any()
    assert credit.spend.spending.any()


def test_a_channel_without_effect_earns_nothing_and_a_harmful_one_earns_less(
    panel: Panel, model: KnownModel
) -> None:
    beta, gamma = model.beta.copy(), model.gamma.copy()
    beta[0] = gamma[0] = gamma[1] = 0.0
    beta[1] = 0.4
    credit = panel_credit(
        replace(model, beta=beta, gamma=gamma),
        panel,
        decayed_stocks(panel.touches),
        rng=np.random.default_rng(0),
    )
    assert credit.retention.credit[0] == credit.spend.credit[0] == 0.0
    assert credit.retention.credit[1] < 0 > credit.spend.credit[1]


def test_the_purchase_of_arrival_is_in_the_total_and_earns_nobody_anything(
    panel: Panel, model: KnownModel
) -> None:
    stocks, residual = decayed_stocks(panel.touches), np.full(panel.n_customers, 5.0)
    row = np.arange(panel.n_customers)
    first = 0.6 * panel.spend[row, panel.entry]
    with_first = replace(panel, acquisition=first)
    less = panel.spend.copy()
    less[row, panel.entry] -= first
    found, without = (
        panel_credit(model, p, stocks, rng=np.random.default_rng(0), residual_value=residual)
        for p in (with_first, replace(panel, spend=less))
    )
    for outcome in ("spend", "lifetime_value"):
        one, other = found.require(outcome), without.require(outcome)
        np.testing.assert_allclose(one.credit, other.credit, rtol=1e-9)
        assert one.total - other.total == pytest.approx(first.sum(), rel=1e-9)
        assert one.empty == pytest.approx(one.baseline, rel=QUADRATURE)
    assert first.sum() > 0


def test_a_customer_who_arrived_without_spend_has_nothing_to_leave_out(panel: Panel) -> None:
    spend = panel.spend.copy()
    spend[0, panel.entry[0]] = 0.0
    acquisition = 0.25 * spend[np.arange(60), panel.entry]
    share = creditable_share(replace(panel, spend=spend, acquisition=acquisition))
    assert share[0, panel.entry[0]] == 1.0
    bought = (spend[np.arange(60), panel.entry] > 0).nonzero()[0]
    assert share[bought, panel.entry[bought]] == pytest.approx(0.75)
    assert (share > 0.99).sum() == share.size - len(bought)
