"""Whose words carry: an index of audience from 0 to 100, for ranking only, and how firm its order is.

Each part is a customer's rank among those who wrote, as a share; the index is their weighted mean. The
weights are a convention, so they are published, and beside the index stands how far its order would move with
others: the lowest rank correlation (Spearman) with any of the orders that weights a fifth larger or smaller
make.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
import polars as pl

from histories.arrays import Float

WEIGHTS: Final = {"followers": 0.4, "likes": 0.2, "shares": 0.2, "answers": 0.2}
"""Reach; likes and shares a post; answers to other customers."""
MOVED: Final = 0.2


def audience_index(members: pl.DataFrame) -> tuple[pl.DataFrame, float]:
    """The members with `audience_index`, and the lowest rank correlation under other weights.

    Parameters
    ----------
    members
        customer_id, posts, and followers, likes, shares, answers; a part that is null for all has no weight.

    >>> members = pl.DataFrame({"customer_id": [1, 2, 3], "posts": 1, "followers": [10, 20, 30],
    ...                         "likes": None, "shares": None, "answers": [0, 0, 5]})
    >>> found, firm = audience_index(members)
    >>> found["audience_index"].round(1).to_list(), firm
    ([22.2, 44.4, 100.0], 1.0)
    """
    parts = [name for name in WEIGHTS if members[name].count()]
    if not parts or members.is_empty():
        return members.with_columns(pl.lit(None, pl.Float64).alias("audience_index")), 1.0
    each = {"likes", "shares"}
    per = {name: pl.col("posts") if name in each else pl.lit(1) for name in parts}
    told = members.select((pl.col(name).fill_null(0) / per[name]).alias(name) for name in parts)
    ranks = np.column_stack([_ranked(told[name]) for name in parts])
    weights = np.array([WEIGHTS[name] for name in parts])
    index = ranks @ (weights / weights.sum())
    order, firm = _order(index), 1.0
    for signs in product((-MOVED, MOVED), repeat=len(parts)):
        other = weights * (1.0 + np.array(signs))
        moved = _order(ranks @ (other / other.sum()))
        if order.std() > 0 and moved.std() > 0:
            firm = min(firm, float(np.corrcoef(order, moved)[0, 1]))
        elif order.std() > 0 or moved.std() > 0:  # an order out of nothing, or none any more
            firm = min(firm, 0.0)
    return members.with_columns(pl.Series("audience_index", 100.0 * index)), round(firm, 12)


def _ranked(values: pl.Series) -> Float:
    """Rank from 0 to 1, of equals the mean; who has nothing has 0."""
    rank = values.rank("average").to_numpy() / values.len()
    return np.where(values.to_numpy() > 0, rank, 0.0)


def _order(index: Float) -> Float:
    return pl.Series(np.round(index, 12)).rank("average").to_numpy().astype(float)
