"""How far customers and scores have moved since the bundle that is being served.

Population stability index (PSI): sum over bins of (p - q) ln(p / q), where the bins are the tenths of the
reference and one more holds nulls; below .1 little moved, above .25 much did (Siddiqi 2006, section 10).
Kolmogorov-Smirnov (KS): the greatest distance between the two distribution functions, from 0 to 1.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from experiments.bundle.reading import Bundle, read_bundle
from histories.errors import BundleError

INPUTS: Final = ("frequency", "recency", "T", "monetary_value")
SCORES: Final = ("probability_alive", "expected_purchases", "customer_lifetime_value")
ALERT: Final = 0.25
"""PSI from which a column is said to have moved."""

_FLOOR: Final = 1e-4  # share of an empty bin, so that the logarithm exists

Floats = npt.NDArray[np.float64]


def drift_since(reference: Path, customers: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per column and statistic; none where nothing is served yet, or either side is empty.

    Parameters
    ----------
    reference
        The bundle that is served, or the link to it.
    customers
        The customers table of the new one.
    """
    if not os.path.lexists(reference):
        return []
    try:
        before = read_bundle(reference, _inputs_and_scores, verify=False)
    except (BundleError, OSError, pl.exceptions.PolarsError):
        return []
    if before.is_empty() or customers.is_empty():
        return []
    rows = []
    for column in (*INPUTS, *SCORES):
        old, new = _values(before[column]), _values(customers[column])
        psi = population_stability(old, new)
        row = {
            "column": column,
            "kind": "input" if column in INPUTS else "score",
            "n_reference": before.height,
            "n": customers.height,
            "moved": psi > ALERT,
        }
        rows += [{**row, "statistic": "psi", "value": psi}]
        rows += [{**row, "statistic": "ks", "value": kolmogorov_smirnov(old, new)}]
    return rows


def _inputs_and_scores(bundle: Bundle) -> pl.DataFrame:
    return bundle.scan("customers").select(*INPUTS, *SCORES).collect()


def _values(series: pl.Series) -> Floats:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def population_stability(reference: Floats, values: Floats) -> float:
    """PSI of `values` against `reference`, shapes (n,) and (m,); NaN is a bin of its own.

    >>> same = np.arange(1000.0)
    >>> population_stability(same, same)
    0.0
    """
    known = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9))) if known.size else np.empty(0)
    p, q = (_shares(edges, sample) for sample in (values, reference))
    return float(np.sum((p - q) * np.log(p / q)))


def _shares(edges: Floats, sample: Floats) -> Floats:
    missing = np.isnan(sample)
    counts = np.bincount(np.searchsorted(edges, sample[~missing], side="left"), minlength=edges.size + 1)
    shares = np.append(counts, missing.sum()) / sample.size
    return np.maximum(shares, _FLOOR)


def kolmogorov_smirnov(reference: Floats, values: Floats) -> float:
    """Greatest distance between the distribution functions, NaN left out; 0 where a side is empty.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    1.0
    """
    old, new = (np.sort(sample[~np.isnan(sample)]) for sample in (reference, values))
    if not old.size or not new.size:
        return 0.0
    points = np.concatenate([old, new])
    below = [np.searchsorted(sample, points, side="right") / sample.size for sample in (old, new)]
    return float(np.abs(below[0] - below[1]).max())
