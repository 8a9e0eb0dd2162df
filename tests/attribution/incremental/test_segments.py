"""Credit by segment: exact parts of the whole, a test of equal effects, own effects where they differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.effects import Effects
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.plan import Plan
from attribution.incremental.regression import OWN_MEANS, STATIC
from attribution.incremental.segments.decision import decide
from attribution.incremental.segments.heterogeneity import shrink, wald_test
from attribution.incremental.segments.own import Comparison, OwnFit, compare_segments
from attribution.incremental.segments.table import segment_table
from attribution.incremental.segments.targets import OwnTarget
from attribution.incremental.setfunction import PanelPrediction
from attribution.incremental.stocks import decayed_stocks
from attribution.incremental.table import credit_table
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

EXACT = 1e-9
"""Relative: rounding, no more."""
QUICK = AttributionSettings(replicates=4)
PLAN = Plan(default=STATIC, companions=(OWN_MEANS,))
SMALL = simulate_panel("r7", n=300, periods=8, seed=2).panel
OUTCOMES = ("retention", "spend", "lifetime_value")


@dataclass(frozen=True)
class Drawn:
    """A fit whose predictions hang on the generator."""

    beta: NDArray[np.float64]
    gamma: NDArray[np.float64]
    problems: tuple[str, ...] = ()

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        return PanelPrediction(
            hazard_offset=rng.normal(-3.0, 1.0, (3, *panel.spend.shape)).astype(np.float32),
            survival=rng.random(panel.n_customers),
            expected_spend=0.0,
            expected_survivors=0.0,
        )


@settings(max_examples=15, deadline=None)
@given(
    labels=st.lists(st.sampled_from(["north", "south", "unknown"]), min_size=300, max_size=300),
    chunk=st.sampled_from([7, 100, 1_000]),
    seed=st.integers(0, 99),
)
def test_segments_add_up_to_the_whole_however_customers_are_divided(
    labels: list[str], chunk: int, seed: int
) -> None:
    draws = np.random.default_rng(seed)
    model = Drawn(beta=draws.normal(0.0, 0.3, 8), gamma=draws.normal(0.0, 0.1, 8))
    stocks, value = decayed_stocks(SMALL.touches), draws.random(300)
    about = {"residual_value": value, "gross_margin": 0.4, "chunk": chunk}
    whole = panel_credit(model, SMALL, stocks, rng=np.random.default_rng(seed), **about)
    names = {"region": np.array(labels), "all": np.full(300, "everybody")}
    divided = panel_credit(model, SMALL, stocks, rng=np.random.default_rng(seed), labels=names, **about)
    assert divided.spend.credit.tolist() == whole.spend.credit.tolist()
    for column in names:
        for outcome in OUTCOMES:
            mine = whole.require(outcome)
            found = [part.require(outcome) for key, part in divided.by_label.items() if key[0] == column]
            size = np.abs(mine.credit).sum() + abs(mine.total)
            assert np.abs(sum(part.credit for part in found) - mine.credit).max() <= EXACT * size
            assert sum(part.baseline for part in found) == pytest.approx(mine.baseline, abs=EXACT * size)
            assert sum(part.total for part in found) == pytest.approx(mine.total, rel=EXACT)


def test_the_test_of_equal_effects_is_the_distance_of_two_vectors_in_their_joint_covariance() -> None:
    first, second = np.array([0.0, 1.0]), np.array([1.0, -1.0])
    v, w = np.array([[1.0, 0.5], [0.5, 2.0]]), np.array([[0.5, 0.0], [0.0, 0.5]])
    test = wald_test([first, second], [v, w])
    apart = first - second
    assert test.freedom == 2
    assert test.statistic == pytest.approx(apart @ np.linalg.inv(v + w) @ apart)


def test_equal_effects_are_rejected_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(1)
    roots = [rng.normal(size=(3, 3)) + 2 * np.eye(3) for _ in range(4)]
    spreads = [root @ root.T for root in roots]
    p = [wald_test([root @ rng.normal(size=3) for root in roots], spreads).p_value for _ in range(1_000)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07


def test_effects_that_differ_by_chance_alone_are_shrunk_to_their_mean() -> None:
    spreads = [np.eye(2), 3.0 * np.eye(2)]
    alike = shrink([np.array([0.1, 0.0]), np.array([-0.3, 0.0])], spreads)
    assert alike[0].tolist() == pytest.approx(alike[1].tolist())
    assert alike[0][0] == pytest.approx(0.0, abs=1e-12)  # the mean weighted by 1 and 1/3


def test_effects_that_differ_much_are_hardly_shrunk_and_the_noisy_ones_more() -> None:
    estimates = [np.array([10.0, 10.0]), np.array([-10.0, -10.0])]
    first, second = shrink(estimates, [np.diag([0.01, 20.0]), np.diag([0.01, 20.0])])
    assert 9.9 < first[0] < 10.0
    assert 0.0 < first[1] < 9.5
    assert second.tolist() == pytest.approx((-first).tolist())


@pytest.mark.parametrize(
    ("scenario", "estimator"),
    [("r7", STATIC), ("hidden30", HiddenChain(structure=Structure()))],
)
def test_a_fit_moves_its_effects_to_any_target_and_its_covariance_is_its_own(
    scenario: str, estimator: HiddenChain
) -> None:
    panel = simulate_panel(scenario, n=700, periods=8, seed=3).panel
    stocks = decayed_stocks(panel.touches)
    fit = estimator.fit(panel, stocks, rng=np.random.default_rng(0))
    effects = fit.effects()
    assert effects is not None
    own = OwnTarget(
        own=OwnFit(fit=fit, effects=effects, customers=np.arange(700)),
        effects=effects.values + 0.1,
        free=np.ones(len(effects.values), dtype=bool),
    )
    moved = own.moved(estimator, panel, stocks, rng=np.random.default_rng(0))
    assert np.concatenate([moved.beta, moved.gamma]) == pytest.approx(effects.values + 0.1, abs=1e-3)
    spread = np.sqrt(np.diag(effects.covariance))
    if isinstance(estimator, HiddenChain):
        errors = np.concatenate([fit.beta_sd, fit.gamma_sd])
        assert effects.correction < 0.95
        assert spread / errors == pytest.approx(np.sqrt(effects.correction) * np.ones(12), rel=0.1)


def test_moved_effects_take_the_level_with_them_as_a_fit_with_them_held_would() -> None:
    rng = np.random.default_rng(4)
    influence = rng.normal(size=(500, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
    effects = Effects(values=np.zeros(2), influence=influence[:, :2])
    weights = effects.weights_towards(np.array([0.5, -0.2]))
    shift = (weights - 1.0) @ influence
    covariance = influence.T @ influence
    conditional = covariance[2, :2] @ np.linalg.inv(covariance[:2, :2]) @ np.array([0.5, -0.2])
    assert shift == pytest.approx([0.5, -0.2, conditional])


def _tests(p_leaving: float, p_spending: float) -> Comparison:
    test = wald_test([np.zeros(1), np.zeros(1)], [np.eye(1), np.eye(1)])
    return Comparison(
        compared=np.array([0]),
        tests={"leaving": replace(test, p_value=p_leaving), "spending": replace(test, p_value=p_spending)},
    )


def test_p_values_are_corrected_for_the_number_of_columns_within_a_family() -> None:
    found = decide({"region": _tests(0.03, 0.5), "income": _tests(0.6, 0.001)})
    assert found["region"].p_values == pytest.approx({"leaving": 0.06, "spending": 0.5})
    assert found["region"].differ == frozenset()
    assert found["income"].differ == {"spending"}
    assert decide({"region": _tests(0.03, 0.5)})["region"].differ == {"leaving"}


@pytest.fixture(scope="module")
def differing() -> SimulatedPanel:
    return simulate_panel("segments", n=2_600, periods=10, seed=1)


@pytest.fixture(scope="module")
def estimate(differing: SimulatedPanel) -> CreditEstimate:
    return estimate_credit(differing.panel, settings=QUICK, plan=PLAN, residual_value=_value(differing))


def _value(company: SimulatedPanel) -> NDArray[np.float64]:
    return np.full(company.panel.n_customers, 50.0)


def table_of(company: SimulatedPanel, estimate: CreditEstimate, **columns: NDArray[np.str_]) -> pl.DataFrame:
    return segment_table(company.panel, estimate, columns, settings=QUICK, residual_value=_value(company))


def of(table: pl.DataFrame, segment: str, outcome: str, level: str = "channel") -> pl.DataFrame:
    wanted = (pl.col("segment") == segment) & (pl.col("outcome") == outcome) & (pl.col("level") == level)
    return table.filter(wanted)


def test_segments_whose_effects_differ_are_credited_with_their_own(
    differing: SimulatedPanel, estimate: CreditEstimate
) -> None:
    assert differing.segment is not None
    assert differing.segment_truth is not None
    table = table_of(differing, estimate, half=differing.segment)
    per_customer: dict[str, float] = {}
    for label in ("high", "low"):
        rows = of(table, f"half: {label}", "spend")
        assert rows["reason"].str.contains(r"own effects on spending \(p ").all()
        assert rows["reason"].str.contains("need not add up").all()
        assert (rows["range_low"] < rows["low"]).all()
        truth = differing.segment_truth[label].outcomes["spend"]
        per_customer[label] = rows["credit"].sum() / truth.total
    common = panel_credit(
        estimate.fit,
        differing.panel,
        decayed_stocks(differing.panel.touches),
        rng=np.random.default_rng(0),
        labels={"half": differing.segment},
    ).by_label
    ratio = common["half", "high"].spend.credit.sum() / common["half", "low"].spend.credit.sum()
    own = of(table, "half: high", "spend")["credit"].sum() / of(table, "half: low", "spend")["credit"].sum()
    assert own > 1.25 * ratio  # own effects move the shares towards the truth: satisfaction is hidden here
    assert per_customer["high"] > 1.25 * per_customer["low"]


def test_a_segment_too_small_for_a_fit_of_its_own_is_not_supported_where_the_others_differ(
    differing: SimulatedPanel, estimate: CreditEstimate
) -> None:
    assert differing.segment is not None
    labels = differing.segment.astype("U8")
    labels[:100] = "unknown"
    rows = of(table_of(differing, estimate, half=labels), "half: unknown", "spend")
    assert not rows["supported"].any()
    assert rows["reason"].str.contains("100 customers fitted, below 1,000").all()
    assert rows["credit"].is_not_null().all()


def test_segments_that_do_not_differ_have_common_effects_and_add_up_to_the_whole(
    differing: SimulatedPanel, estimate: CreditEstimate
) -> None:
    n = differing.panel.n_customers
    chance = np.where(np.random.default_rng(5).random(n) < 0.5, "heads", "tails")
    few = np.where(np.arange(n) < 50, "few", "many")
    table = table_of(differing, estimate, coin=chance, size=few)
    whole = credit_table(differing.panel, estimate, outcomes=OUTCOMES, interval=0.95)
    keys = ["outcome", "level", "channel"]
    expected = whole.select(*keys, whole="credit")
    for column in ("coin", "size"):
        parts = table.filter(pl.col("segment").str.starts_with(f"{column}: "))
        sums = parts.group_by(keys).agg(pl.col("credit").sum()).join(expected, on=keys)
        assert sums.height == expected.height
        gap = (sums["credit"] - sums["whole"]).abs() / sums["whole"].abs().max()
        assert gap.max() < EXACT  # type: ignore[operator]
    assert of(table, "coin: heads", "spend")["reason"].str.contains("no difference found, p = ").all()
    small = of(table, "size: few", "spend").filter("supported")
    assert small["reason"].str.contains("50 customers fitted, below 1,000").all()
    rare = of(table, "size: few", "spend").filter(~pl.col("supported"))
    assert rare["reason"].str.contains("touches in all, below 50").all()
    assert (of(table, "size: few", "spend", "total")["customers"] == 50).all()
    widths = {
        label: (
            of(table, f"size: {label}", "spend")["high"] - of(table, f"size: {label}", "spend")["low"]
        ).sum()
        for label in ("few", "many")
    }
    assert 0 < widths["few"] < 0.1 * widths["many"]


def test_channels_hardly_used_in_a_segment_are_not_compared() -> None:
    panel = simulate_panel("r7", n=400, periods=8, seed=1).panel
    labels = np.where(np.arange(400) < 200, "a", "b")
    touches = panel.touches.copy()
    touches[:200, :, 2] = 0.0
    panel = replace(panel, touches=touches)
    found = compare_segments(
        STATIC, panel, decayed_stocks(touches), labels, rng=np.random.default_rng(0), smallest=100
    )
    assert 2 not in found.compared
    assert found.tests["leaving"].freedom == len(found.compared) == 7


def test_credit_of_a_simulated_company_is_that_of_its_segments(differing: SimulatedPanel) -> None:
    assert differing.segment_truth is not None
    for outcome in ("retention", "spend"):
        whole = differing.truth.outcomes[outcome]
        parts = [truth.outcomes[outcome] for truth in differing.segment_truth.values()]
        assert sum(part.credit for part in parts) == pytest.approx(whole.credit, rel=EXACT)
        assert sum(part.total for part in parts) == pytest.approx(whole.total, rel=EXACT)
