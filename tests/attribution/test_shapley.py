"""Shapley values: the axioms, and the average over all orders of joining."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attribution.paths.encoded import EncodedPaths, encode_paths
from attribution.paths.shapley import rate_game, shapley_equal_split, shapley_rate, shapley_values
from histories.errors import ConfigError

Rows = list[tuple[list[str], int, int]]

games = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.floats(-100, 100), min_size=2**n, max_size=2**n).map(np.array)
)
rows_of_paths = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=5), st.integers(0, 5), st.integers(0, 5)
    ),
    min_size=1,
    max_size=12,
)


def encoded(rows: Rows) -> EncodedPaths:
    schema = {"path": pl.List(pl.String), "conversions": pl.Int64, "nulls": pl.Int64}
    return encode_paths(pl.DataFrame(rows, schema=schema, orient="row"))


def by_permutations(v: NDArray[np.float64]) -> list[float]:
    n = v.size.bit_length() - 1
    credit, orders = np.zeros(n), list(permutations(range(n)))
    for order in orders:
        joined = 0
        for player in order:
            credit[player] += v[joined | 1 << player] - v[joined]
            joined |= 1 << player
    return (credit / len(orders)).tolist()


@settings(deadline=None)
@given(v=games)
def test_values_equal_the_average_over_all_orders(v: NDArray[np.float64]) -> None:
    assert shapley_values(v).tolist() == pytest.approx(by_permutations(v), abs=1e-9)


@settings(deadline=None)
@given(v=games)
def test_values_are_efficient(v: NDArray[np.float64]) -> None:
    assert shapley_values(v).sum() == pytest.approx(v[-1] - v[0], abs=1e-9)


@settings(deadline=None)
@given(v=games)
def test_a_player_who_adds_nothing_gets_nothing(v: NDArray[np.float64]) -> None:
    with_null_player = np.concatenate([v, v])
    assert shapley_values(with_null_player)[-1] == pytest.approx(0.0, abs=1e-9)
    assert shapley_values(with_null_player)[:-1] == pytest.approx(shapley_values(v), abs=1e-9)


@settings(deadline=None)
@given(v=games.filter(lambda v: v.size >= 4))
def test_players_who_add_the_same_get_the_same(v: NDArray[np.float64]) -> None:
    index = np.arange(v.size)
    swapped = (index & ~3) | ((index & 1) << 1) | ((index & 2) >> 1)
    symmetric = v + v[swapped]
    first, second = shapley_values(symmetric)[:2]
    assert first == pytest.approx(second, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_paths)
def test_the_equal_split_is_the_shapley_value_of_outcomes_within_a_coalition(rows: Rows) -> None:
    paths = encoded(rows)
    n = len(paths.channels)
    bit = {name: 1 << i for i, name in enumerate(paths.channels)}
    masks = [sum(bit[name] for name in set(path)) for path, *_ in rows]
    v = np.array(
        [
            sum(won for (_, won, _), mask in zip(rows, masks, strict=True) if mask & ~s == 0)
            for s in range(1 << n)
        ],
        float,
    )
    found = shapley_equal_split(paths, paths.conversions)
    assert list(found.values()) == pytest.approx(by_permutations(v), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_paths)
def test_the_rate_game_counts_journeys_within_each_coalition(rows: Rows) -> None:
    paths = encoded(rows)
    v = rate_game(paths, paths.conversions)
    for s in range(1 << len(paths.channels)):
        inside = {name for i, name in enumerate(paths.channels) if s >> i & 1}
        within = [(won, lost) for path, won, lost in rows if set(path) <= inside]
        walked = sum(won + lost for won, lost in within)
        assert v[s] == pytest.approx(sum(won for won, _ in within) / walked if walked else 0.0)
    credit = shapley_rate(paths, paths.conversions)
    assert sum(credit.values()) == pytest.approx(sum(won for _, won, _ in rows))


def test_a_journey_of_six_channels_credits_all_six() -> None:
    paths = encoded([(list("fedcba"), 6, 0)])
    expected = dict.fromkeys("abcdef", 1.0)
    assert shapley_equal_split(paths, paths.conversions) == pytest.approx(expected)
    assert shapley_rate(paths, paths.conversions) == pytest.approx(expected)


def test_a_channel_that_lowers_the_rate_has_negative_credit() -> None:
    credit = shapley_rate(encoded([(["a"], 9, 1), (["a", "b"], 1, 9)]), np.array([9.0, 1.0]))
    assert credit["b"] < 0 < credit["a"]
    assert sum(credit.values()) == pytest.approx(10.0)


def test_twenty_channels_are_played_and_twenty_one_refused() -> None:
    names = [f"c{i:02d}" for i in range(21)]
    twenty = encoded([([name], 1, 1) for name in names[:20]])
    assert list(shapley_rate(twenty, twenty.conversions).values()) == pytest.approx([1.0] * 20)
    more = encoded([([name], 1, 1) for name in names])
    with pytest.raises(ConfigError, match="up to 20; found 21"):
        shapley_rate(more, more.conversions)
