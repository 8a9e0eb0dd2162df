"""Likes that follow activity alone go with nothing once activity is held; likes that matter are seen."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from care.vanity import partial_rank_correlation, vanity_figures

END = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def _people(n: int, *, matters: float, seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Customers who post and buy as they are active; each post brings likes, of some more than of others."""
    draw = np.random.default_rng(seed)
    active = draw.gamma(2.0, 2.0, n)
    liked = draw.normal(0.0, 1.0, n)
    posts, purchases = [], []
    for who in range(n):
        for _ in range(1 + draw.poisson(active[who])):
            likes = int(draw.poisson(3.0 * np.exp(0.5 * liked[who])))
            at = END - DAY * float(draw.uniform(95, 400))
            posts.append(
                {"customer_id": who, "at": at, "is_customer": True, "likes": likes, "followers": None}
            )
        for _ in range(1 + draw.poisson(active[who])):
            at = END - DAY * float(draw.uniform(95, 400))
            purchases.append({"customer_id": who, "at": at, "amount": float(draw.gamma(2.0, 20.0))})
        for _ in range(draw.poisson(0.2 * active[who] * np.exp(matters * liked[who]))):
            at = END - DAY * float(draw.uniform(1, 80))
            purchases.append({"customer_id": who, "at": at, "amount": float(draw.gamma(2.0, 20.0))})
    frame = pl.DataFrame(posts, schema_overrides={"followers": pl.Int64}, infer_schema_length=None)
    return frame, pl.DataFrame(purchases, infer_schema_length=None)


def _figures(posts: pl.DataFrame, purchases: pl.DataFrame | None) -> dict[str, dict[str, object]]:
    return {row["kpi"]: row for row in vanity_figures(posts, purchases, end=END).iter_rows(named=True)}


def test_likes_of_the_active_are_vanity() -> None:
    found = _figures(*_people(600, matters=0.0))["likes_and_spend"]
    assert found["as_tool"] > 0.2  # type: ignore[operator]
    assert found["low"] < 0 < found["high"]  # type: ignore[operator]
    assert found["reason"] == "no more than chance once activity is held"


def test_likes_that_go_with_later_spend_are_seen() -> None:
    found = _figures(*_people(600, matters=0.8))
    assert set(found) == {"likes_and_retention", "likes_and_spend"}
    for row in found.values():
        assert row["low"] > 0  # type: ignore[operator]
        assert row["reason"] is None


def test_a_few_people_are_too_few() -> None:
    found = _figures(*_people(60, matters=0.8))["likes_and_spend"]
    assert found["value"] is None
    assert found["reason"] == (
        "needs 100 known customers who wrote and bought 90 days before the end; there are 60"
    )


@pytest.mark.parametrize("what", ["likes", "purchases", "customer_id"])
def test_without_what_it_compares_there_is_no_audit(what: str) -> None:
    posts, purchases = _people(120, matters=0.0)
    assert _figures(posts.drop(what, strict=False), None if what == "purchases" else purchases) == {}


def test_the_partial_correlation_is_that_of_the_three_pairs() -> None:
    """r_xy.z = (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)), of Spearman's three."""
    draw = np.random.default_rng(5)
    z = draw.normal(size=50)
    x, y = z + draw.normal(size=50), z + draw.normal(size=50)
    ranks = [pl.Series(v).rank().to_numpy() for v in (x, y, z)]
    xy, xz, yz = (np.corrcoef(ranks[a], ranks[b])[0, 1] for a, b in ((0, 1), (0, 2), (1, 2)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    found = partial_rank_correlation(x, y, z[:, None])
    assert found.value == pytest.approx(expected)
    assert found.low == pytest.approx(np.tanh(np.arctanh(expected) - 1.959964 / np.sqrt(46)), abs=1e-6)
