"""Markov chains: against plain enumeration, and what removal effects must keep."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.paths.encoded import encode_paths
from attribution.paths.markov import DENSE_STATES, MarkovFit, fit_markov
from attribution.paths.markov_order import choose_order
from attribution.paths.transitions import count_transitions, read_transitions, transition_table
from histories.errors import DataError, SchemaError

Row = tuple[list[str], int, int, float]

rows_of_paths = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=5),
        st.integers(0, 4),
        st.integers(0, 4),
        st.floats(0, 100),
    ),
    min_size=1,
    max_size=15,
).filter(lambda rows: sum(row[1] for row in rows) > 0)


def frame_of(rows: list[Row]) -> pl.DataFrame:
    worth = [(path, won, lost, value if won else 0.0) for path, won, lost, value in rows]
    schema = {"path": pl.List(pl.String), "conversions": pl.Int64, "nulls": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(worth, schema=schema, orient="row")


def fit(rows: list[Row], order: int = 1) -> MarkovFit:
    return fit_markov(count_transitions(encode_paths(frame_of(rows)), order=order))


def plain_removal_effects(rows: list[Row], order: int) -> dict[str, tuple[float, float]]:
    """Walk the chain step by step until all probability is absorbed: no linear algebra, no codes."""
    n: dict[tuple[str, ...], dict[object, float]] = defaultdict(lambda: defaultdict(float))
    worth: dict[tuple[str, ...], float] = defaultdict(float)
    for path, won, lost, value in rows:
        context: tuple[str, ...] = ()
        for channel in path:
            n[context][channel] += won + lost
            context = (*context, channel)[-order:]
        n[context]["(conversion)"] += won
        n[context]["(null)"] += lost
        worth[context] += value if won else 0.0

    def walk(removed: str | None) -> tuple[float, float]:
        at, won, value = {(): 1.0}, 0.0, 0.0
        while sum(at.values()) > 1e-15:
            following: dict[tuple[str, ...], float] = defaultdict(float)
            for context, mass in at.items():
                total = sum(n[context].values())
                if total == 0:
                    continue
                won += mass * n[context]["(conversion)"] / total
                value += mass * worth[context] / total
                for step, count in n[context].items():
                    if step not in ("(conversion)", "(null)", removed):
                        following[(*context, str(step))[-order:]] += mass * count / total
            at = following
        return won, value

    whole = walk(None)
    channels = sorted({channel for path, *_ in rows for channel in path})
    lost = {channel: walk(channel) for channel in channels}
    return {
        channel: tuple(
            1 - part / all_ if all_ > 0 else 0.0 for part, all_ in zip(lost[channel], whole, strict=True)
        )
        for channel in channels
    }  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_paths, order=st.sampled_from([1, 2, 3]))
def test_removal_effects_equal_a_walk_of_the_chain(rows: list[Row], order: int) -> None:
    expected = plain_removal_effects(rows, order)
    found = fit(rows, order)
    assert dict(zip(found.channels, found.removal_effects, strict=True)) == pytest.approx(
        {channel: effects[0] for channel, effects in expected.items() if channel in found.channels}, abs=1e-9
    )
    assert found.value_removal_effects == pytest.approx(
        [expected[channel][1] for channel in found.channels], abs=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_paths, order=st.sampled_from([1, 2, 3]), total=st.floats(0, 1e6))
def test_credit_is_conserved_and_never_negative(rows: list[Row], order: int, total: float) -> None:
    found = fit(rows, order)
    credit = found.credit(total)
    assert sum(credit.values()) == pytest.approx(total)
    assert min(credit.values()) >= 0
    assert all(-1e-12 <= effect <= 1 + 1e-12 for effect in found.removal_effects)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_paths, order=st.sampled_from([1, 2, 3]))
def test_the_chain_converts_as_often_and_for_as_much_as_the_journeys(rows: list[Row], order: int) -> None:
    found = fit(rows, order)
    journeys = sum(won + lost for _, won, lost, _ in rows)
    assert found.conversion_rate == pytest.approx(sum(row[1] for row in rows) / journeys)
    assert found.value_rate == pytest.approx(sum(row[3] for row in rows if row[1]) / journeys)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_paths, seed=st.integers(0, 99), order=st.sampled_from([1, 2]))
def test_neither_order_of_rows_nor_names_of_channels_matter(rows: list[Row], seed: int, order: int) -> None:
    rename = {"a": "z", "b": "y", "c": "x", "d": "w"}
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    renamed = [([rename[channel] for channel in path], *rest) for path, *rest in shuffled]
    first, second = fit(rows, order), fit(renamed, order)
    by_name = dict(zip(second.channels, second.removal_effects, strict=True))
    for channel, effect in zip(first.channels, first.removal_effects, strict=True):
        assert by_name[rename[channel]] == pytest.approx(effect, abs=1e-9)


def test_repeats_change_nothing_at_order_one_but_do_at_order_two() -> None:
    rows: list[Row] = [(["c", "a", "a"], 3, 0, 0.0), (["b", "a", "a"], 0, 3, 0.0)]
    short: list[Row] = [(["c", "a"], 3, 0, 0.0), (["b", "a"], 0, 3, 0.0)]
    assert fit(rows).removal_effects == pytest.approx(fit(short).removal_effects)
    assert fit(rows, 2).removal_effects == pytest.approx([1.0, 0.5, 0.5])
    assert fit(short, 2).removal_effects == pytest.approx([1.0, 0.0, 1.0])


def random_journeys(n_channels: int) -> list[Row]:
    rng = np.random.default_rng(3)
    channels = [f"c{i:02d}" for i in range(n_channels)]
    return [
        (rng.choice(channels, rng.integers(1, 6)).tolist(), int(rng.integers(0, 3)), 2, 1.0)
        for _ in range(600)
    ]


@pytest.mark.parametrize(("n_channels", "order"), [(80, 1), (9, 2), (5, 3)])
def test_a_chain_that_is_walked_equals_one_that_is_solved(n_channels: int, order: int) -> None:
    counts = count_transitions(encode_paths(frame_of(random_journeys(n_channels))), order=order)
    assert len(counts.states) > DENSE_STATES + 1
    walked = fit_markov(counts)
    solved = fit_markov(counts, dense_states=10_000)
    assert walked.removal_effects == pytest.approx(solved.removal_effects, abs=1e-12)
    assert walked.value_removal_effects == pytest.approx(solved.value_removal_effects, abs=1e-12)


def test_a_chain_that_is_left_slowly_is_factorised() -> None:
    rows = [*random_journeys(80), (["slow"] * 20_000, 1, 0, 5.0)]
    counts = count_transitions(encode_paths(frame_of(rows)))
    assert fit_markov(counts).removal_effects == pytest.approx(
        fit_markov(counts, dense_states=10_000).removal_effects, abs=1e-9
    )


def test_a_value_that_depends_on_the_way_moves_credit_of_value_only() -> None:
    rows: list[Row] = [(["a"], 10, 10, 1000.0), (["b"], 10, 10, 10.0)]
    found = fit(rows)
    assert found.credit(20.0) == pytest.approx({"a": 10.0, "b": 10.0})
    assert found.credit(1010.0, of_value=True) == pytest.approx({"a": 1000.0, "b": 10.0})


def test_transition_probabilities_of_each_state_sum_to_one() -> None:
    rows: list[Row] = [(["a", "b", "a"], 3, 1, 0.0), (["b"], 0, 2, 0.0)]
    table = transition_table(
        count_transitions(encode_paths(frame_of(rows)), order=2), outcome="conversion", segment="(all)"
    )
    assert table.group_by("from_state").agg(pl.col("probability").sum())["probability"].to_list() == (
        pytest.approx([1.0] * table["from_state"].n_unique())
    )
    assert table.filter(from_state="a > b")["to_state"].to_list() == ["b > a"]


def transitions(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema={"from_state": pl.String, "to_state": pl.String, "n": pl.Int64}, orient="row"
    )


def test_counts_of_transitions_give_the_same_fit_as_the_paths() -> None:
    rows: list[Row] = [(["a", "b", "b"], 3, 1, 0.0), (["b"], 1, 2, 0.0), (["a"], 0, 5, 0.0)]
    counts = count_transitions(encode_paths(frame_of(rows)))
    again = read_transitions(transition_table(counts, outcome="conversion", segment="(all)"))
    assert fit_markov(again).removal_effects == pytest.approx(fit_markov(counts).removal_effects)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pl.DataFrame({"from_state": ["Start"], "to_state": ["a"]}), SchemaError, r"no column \['n'\]"),
        (transitions(("start", "a", -1)), DataError, "missing or negative in 1 of 1"),
        (transitions(("a", "conversion", 1)), DataError, r"must stand in from_state"),
        (transitions(("start", "a", 1), ("conversion", "a", 1)), DataError, "1 end"),
        (transitions(("start", "a", 1)), DataError, "1 of 1 states are entered and never left"),
        (transitions(("start", "a", 1), ("a", "b", 1), ("b", "a", 1)), DataError, "round in a circle"),
        (transitions(("start", "a", 0), ("a", "null", 1)), DataError, "no journey with a touch starts"),
    ],
)
def test_transitions_that_are_no_chain_are_refused(
    table: pl.DataFrame, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_markov(read_transitions(table))


def simulate_chain(order: int, rng: np.random.Generator, n: int = 3_000) -> pl.DataFrame:
    """Journeys of a chain that remembers `order` of three channels, stopping with probability .25 a touch."""
    steps: dict[tuple[int, ...], np.ndarray] = {}
    paths, won = [], []
    for _ in range(n):
        path: list[int] = []
        while not path or (len(path) < 20 and rng.random() > 0.25):
            context = tuple(path[-order:])
            steps.setdefault(context, rng.dirichlet([0.5] * 3))
            path.append(int(rng.choice(3, p=steps[context])))
        paths.append(["abc"[i] for i in path])
        won.append(int(rng.random() < 0.3))
    return pl.DataFrame({"path": paths, "conversions": won, "nulls": [1 - w for w in won]})


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_of_a_simulated_chain_is_recovered(order: int) -> None:
    paths = encode_paths(simulate_chain(order, np.random.default_rng(order)))
    assert choose_order(paths, rng=np.random.default_rng(5)) == order


def test_too_few_journeys_choose_no_order() -> None:
    with pytest.raises(DataError, match="3 journeys cannot be split into 5 folds"):
        choose_order(encode_paths(frame_of([(["a"], 1, 2, 0.0)])), rng=np.random.default_rng(1))


def test_conversions_without_value_credit_no_channel_with_any() -> None:
    found = fit([(["a"], 1, 0, 0.0), (["b"], 1, 1, 0.0)])
    assert found.credit(0.0, of_value=True) == {"a": 0.0, "b": 0.0}
