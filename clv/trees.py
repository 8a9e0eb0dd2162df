"""Boosted trees as plain numbers: what a fitted regression says, without the library that fitted it.

A fit of scikit-learn's histogram boosting is read into arrays, so that it can stand in JSON, and be asked, in
any process. A row goes left at a node where its feature is at most the threshold, or is missing and the node
says so.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from histories.arrays import Flags, Float, Integer
from histories.compiled import compiled

#: How the arrays are written.
ARRAYS = {
    "roots": "<i4",
    "feature": "<i2",
    "threshold": "<f8",
    "left": "<i4",
    "right": "<i4",
    "missing_left": "|u1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """A sum of trees with the logarithm as its link.

    Attributes
    ----------
    baseline
        Log of the mean.
    roots
        Place of each tree's root among the nodes, shape (trees,).
    feature
        Feature that a node asks for, -1 at a leaf, shape (nodes,).
    threshold
        Largest value that goes left; the log factor at a leaf.
    left, right
        Places of the next nodes; 0 at a leaf.
    missing_left
        Whether a missing value goes left.
    """

    baseline: float
    roots: Integer
    feature: Integer
    threshold: Float
    left: Integer
    right: Integer
    missing_left: Flags

    @classmethod
    def of(cls, regressor: Any) -> Self:
        """Read a fitted HistGradientBoostingRegressor of numeric features with the loss "poisson"."""
        nodes = [stage[0].nodes for stage in regressor._predictors]
        sizes = np.array([len(each) for each in nodes])
        roots = np.cumsum(sizes) - sizes
        every = np.concatenate(nodes)
        ahead = np.repeat(roots, sizes)
        leaf = every["is_leaf"].astype(bool)
        return cls(
            baseline=float(np.ravel(regressor._baseline_prediction)[0]),
            roots=roots.astype(np.int64),
            feature=np.where(leaf, -1, every["feature_idx"]).astype(np.int64),
            threshold=np.where(leaf, every["value"], every["num_threshold"]),
            left=np.where(leaf, 0, every["left"] + ahead).astype(np.int64),
            right=np.where(leaf, 0, every["right"] + ahead).astype(np.int64),
            missing_left=every["missing_go_to_left"].astype(bool),
        )

    def predict(self, features: Float) -> Float:
        """Means of rows of features, shape (n, features) to (n,)."""
        rows = np.ascontiguousarray(features, dtype=np.float64)
        total = _walk(
            rows, self.roots, self.feature, self.threshold, self.left, self.right, self.missing_left
        )
        return np.asarray(np.exp(self.baseline + total), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; arrays as their little-endian bytes in base 64."""
        found: dict[str, Any] = {"baseline": self.baseline}
        for name, kind in ARRAYS.items():
            found[name] = base64.b64encode(getattr(self, name).astype(kind).tobytes()).decode("ascii")
        return found

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`, also after a trip through JSON."""
        read = {
            name: np.frombuffer(base64.b64decode(fields[name]), dtype=kind) for name, kind in ARRAYS.items()
        }
        return cls(
            baseline=float(fields["baseline"]),
            roots=read["roots"].astype(np.int64),
            feature=read["feature"].astype(np.int64),
            threshold=read["threshold"].astype(np.float64),
            left=read["left"].astype(np.int64),
            right=read["right"].astype(np.int64),
            missing_left=read["missing_left"].astype(bool),
        )


@compiled
def _walk(
    rows: Float,
    roots: Integer,
    feature: Integer,
    threshold: Float,
    left: Integer,
    right: Integer,
    missing_left: Flags,
) -> Float:
    """Sum of the leaves that each row comes to, shape (n,)."""
    total = np.zeros(rows.shape[0])
    for i in range(rows.shape[0]):
        for root in roots:
            node = root
            while feature[node] >= 0:
                value = rows[i, feature[node]]
                if np.isnan(value):
                    node = left[node] if missing_left[node] else right[node]
                elif value <= threshold[node]:
                    node = left[node]
                else:
                    node = right[node]
            total[i] += threshold[node]
    return total
