"""Level from the purchase models, shape from weights, a shrunk bias, and totals with t intervals."""

from datetime import date, timedelta

import numpy as np
import pytest

from clv.stack import PastWindow, Stack, learn_stack, total_interval
from clv.verdict import WindowScore, judge_headline

ORIGIN = date(2026, 1, 1)
RATE = np.random.default_rng(0).gamma(0.6, 2.0, 3000)
COUNTS = np.random.default_rng(1).poisson(RATE).astype(float)
FLAT = np.full_like(RATE, RATE.mean())


def window(level: float = 1.0, quarters: int = 1, **models: np.ndarray) -> PastWindow:
    origin = ORIGIN - timedelta(days=91 * quarters)
    return PastWindow(
        origin=origin,
        until=origin + timedelta(days=91),
        predicted=models,
        level=level * float(COUNTS.sum()),
        actual=COUNTS,
    )


@pytest.mark.parametrize(
    ("predicted", "status"),
    [
        ((115.0, 125.0, 110.0), "doubtful"),
        ((85.0, 88.0, 90.0), "doubtful"),
        ((115.0, 125.0, 105.0), "supported"),  # one was right
        ((115.0, 88.0, 110.0), "supported"),  # one missed to the other side
        ((115.0, 125.0), "supported"),
    ],
)
def test_forecasts_that_all_missed_to_one_side_are_doubtful(
    predicted: tuple[float, ...], status: str
) -> None:
    scores = [
        WindowScore(
            origin=date(2025 - k, 1, 1),
            until=date(2026 - k, 1, 1),
            model="stack",
            predicted=one,
            low=50.0,
            high=200.0,
            actual=100.0,
            mae=0.1,
        )
        for k, one in enumerate(predicted)
    ]
    verdict = judge_headline(scores, {})
    assert verdict.status == status
    if predicted[-1] == 110.0 and status == "doubtful":
        assert verdict.reason is not None
        assert verdict.reason.startswith(
            "each of 3 forecasts of purchases made before was too high, by 10% to 25%"
        )


def test_the_stack_has_the_level_of_the_purchase_models_whatever_the_challenger_says() -> None:
    stack = learn_stack([], members=["a", "b", "boost"], levelling=["a", "b"], origin=ORIGIN)
    forecast = stack.forecast({"a": RATE, "b": 3.0 * RATE, "boost": 1000.0 * FLAT})
    assert forecast.sum() == pytest.approx(2.0 * RATE.sum())
    assert stack.weights == pytest.approx({"a": 1 / 3, "b": 1 / 3, "boost": 1 / 3})


def test_weights_go_to_the_better_shape_not_to_the_better_level() -> None:
    past = [window(good=0.2 * RATE, bad=FLAT)]
    stack = learn_stack(past, members=["good", "bad"], levelling=["good", "bad"], origin=ORIGIN)
    assert stack.weights["good"] > 0.9


def test_the_bias_is_shrunk_fades_and_is_bounded() -> None:
    def bias(*past: PastWindow) -> float:
        return learn_stack(past, members=["a"], levelling=["a"], origin=ORIGIN).bias

    once = bias(window(level=0.8, a=RATE))
    weight = 0.5 * 0.7 ** (91 / 91.3125 - 1.0)
    assert once == pytest.approx(weight / (weight + 1.0) * np.log(1.25))
    assert 0.0 < bias(window(level=0.8, quarters=5, a=RATE)) < once
    assert bias(*[window(level=1e-3, a=RATE)] * 4) == 0.5
    assert (
        learn_stack([window(0.8, a=RATE)], members=["a"], levelling=["a"], origin=ORIGIN, biased=False).bias
        == 0
    )


def test_a_stack_of_one_model_is_that_model() -> None:
    stack = Stack(weights={"a": 1.0}, levelling=("a",), bias=0.0)
    assert np.allclose(stack.forecast({"a": RATE}), RATE)


def test_intervals_widen_with_past_errors_and_with_a_longer_horizon() -> None:
    def width(**changes: object) -> float:
        told = {"sampling": 1e-4, "errors": [0.02, -0.02], "level": 0.9} | changes
        low, high = total_interval(100.0, **told)  # type: ignore[arg-type]
        assert low < 100.0 < high
        return high - low

    assert width() < width(errors=[0.4, -0.3]) < width(errors=[0.4, -0.3], stretch=4.0)
    assert width() < width(published=[0.5, 0.5])
    assert width() < width(sampling=0.05)


def test_half_of_the_windows_lie_in_half_of_the_interval() -> None:
    """Errors drawn as the model has them: coverage at 90 % over 2,000 companies."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(2000):
        spread = np.sqrt(4.0 * 0.12**2 / rng.chisquare(4.0))
        past, ahead = rng.normal(0.0, spread, 4), rng.normal(0.0, spread)
        low, high = total_interval(1.0, sampling=0.0, errors=past.tolist(), level=0.9)
        held.append(low <= np.exp(ahead) <= high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("actual", "status"), [(1000.0, "supported"), (780.0, "doubtful"), (496.0, "refuted"), (0.0, "refuted")]
)
def test_a_headline_is_held_against_its_own_holdout(actual: float, status: str) -> None:
    score = WindowScore(
        origin=ORIGIN,
        until=ORIGIN + timedelta(days=180),
        model="stack",
        predicted=1000.0,
        low=700.0,
        high=1400.0,
        actual=actual,
        mae=0.5,
    )
    verdict = judge_headline([score], {})
    assert verdict.status == status
    if status == "refuted" and actual:
        assert verdict.reason is not None
        assert "+101.6%" in verdict.reason


def test_revenue_alone_can_refute_and_few_purchases_refute_nothing() -> None:
    score = WindowScore(
        origin=ORIGIN,
        until=ORIGIN,
        model="stack",
        predicted=100.0,
        low=70.0,
        high=140.0,
        actual=100.0,
        mae=0.5,
    )
    assert judge_headline([score.with_revenue(300.0, 100.0, 500.0, 100.0)], {}).status == "refuted"
    few = WindowScore(
        origin=ORIGIN, until=ORIGIN, model="stack", predicted=9.0, low=4.0, high=20.0, actual=3.0, mae=0.1
    )
    assert judge_headline([few], {}).status == "unjudged"
    assert judge_headline([], {}).status == "unjudged"
