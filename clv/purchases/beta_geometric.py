"""BG/NBD, MBG/NBD and their relatives for regular buyers: choices, fits and predictions.

The arithmetic is in `clv.purchases.geometric`. All arrays of one call have one shape, times are in the unit
of the summary that was fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import scipy

from clv.purchases import geometric
from clv.purchases.base import UNFITTED, FitReport, PurchaseFit
from clv.purchases.geometric import GeometricFamily, Levels
from clv.purchases.maximum import Score, maximize
from clv.purchases.observations import Observations, require_repeats
from histories.arrays import Float

NAMES = ("r", "alpha", "a", "b")
LOWER, UPPER = (1e-5, 1e-8, 1e-6, 1e-6), (1e4, 1e8, 1e4, 1e7)
#: Rows of the sample on which the search starts.
SCOUT_ROWS = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricFit(PurchaseFit):
    """Fitted parameters. r and alpha shape the purchase rate; a and b the dropout probability.

    Attributes
    ----------
    r, alpha
        Purchase rates are gamma(r, alpha): mean r / alpha per time unit.
    a, b
        Dropout probabilities are beta(a, b): mean a / (a + b) per purchase.
    k
        Erlang shape of the times between purchases; 1 is Poisson.
    birth
        1 where a customer may leave right after the first purchase (the "modified" models), else 0.
    """

    parameter_names: ClassVar[tuple[str, ...]] = NAMES

    r: float
    alpha: float
    a: float
    b: float
    k: int = 1
    birth: int = 0

    @property
    def family(self) -> GeometricFamily:
        """Which member of the family this is."""
        return GeometricFamily(k=self.k, birth=self.birth)

    @property
    def model(self) -> str:
        """Name of the model, as in the configuration."""
        return ("m" if self.birth else "") + ("bg_nbd" if self.k == 1 else f"bg_cnbd_{self.k}")

    @property
    def memoryless(self) -> bool:
        """Only with Poisson purchases: an Erlang customer is somewhere on the way to the next one."""
        return self.k == 1

    @property
    def cost(self) -> int:
        """Work of one row in one pass over the data, in units of a BG/NBD row."""
        return self.k

    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient on `data`, as a function of the parameter vector."""
        levels, family = Levels.of(data), self.family
        return lambda vector: geometric.score(vector, data, levels, family)

    def many_scorer(self, data: Observations) -> Callable[[Float], Float]:
        """Log-likelihoods at many parameter vectors, shape (draws, 4) to (draws,)."""
        levels, family = Levels.of(data), self.family
        if self.k > 1:
            score = self.scorer(data)
            return lambda vectors: np.array([score(vector)[0] for vector in vectors])
        return lambda vectors: geometric.log_likelihoods(vectors, data, levels, family)

    def predict_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """P(alive at T); 1 at frequency 0 when nobody leaves before a repeat purchase. Shape (n,)."""
        return geometric.probability_alive(self.vector(), x, t_x, T, self.family)

    def predict_purchases_alive(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases in (T, T + t] | alive at T] at the horizons `t`, shape (len(t), n)."""
        return geometric.purchases_alive(self.vector(), t, x, t_x, T, self.family)

    def predict_tail_alive(self, m: int, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """P(at least m purchases in (T, T + t] | alive at T), shape (n,)."""
        return geometric.count_tail_alive(self.vector(), m, t, x, t_x, T, self.family)

    def predict_ever_alive(self, x: Float, T: Float) -> Float:
        """1: nobody leaves between purchases. Shape (n,)."""
        return np.ones(np.broadcast(x, T).shape)

    def predict_median_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """Median time from T to the next purchase of a living customer, shape (n,).

        For k = 1 it is (alpha + T) (2^(1 / (r + x)) - 1).
        """
        return geometric.median_next_purchase(self.vector(), x, t_x, T, self.family)

    def predict_survival_alive(self, t: Float, x: Float, T: Float) -> Float:
        """P(alive at T + t | alive at T) at the times `t`, shape (len(t), n)."""
        return geometric.survival_alive(self.vector(), t, x, T, self.family)

    def predict_residual_alive(self, rate: float, x: Float, T: Float) -> Float:
        """E[purchases after T for ever, discounted at `rate` | alive at T], shape (n,)."""
        return geometric.residual_alive(self.vector(), rate, x, T, self.family)

    def simulate_alive(self, t: float, x: Float, T: Float, *, rng: np.random.Generator) -> Float:
        """Draw the number of purchases in (T, T + t] of customers who are alive at T, shape (n,)."""
        rate = rng.standard_gamma(self.r + self.k * x) / (self.alpha + T)
        dropout = np.clip(rng.beta(self.a, self.b + x + self.birth), 1e-12, 1.0)
        stages = rng.poisson(np.minimum(rate * t, 1e12))
        return np.minimum(rng.geometric(dropout), stages // self.k).astype(np.float64)

    def expected_purchases(self, t: Float) -> Float:
        """E[repeat purchases of a new customer in (0, t]], shape (len(t),)."""
        zero = np.zeros(1)
        born = self.b / (self.a + self.b) if self.birth else 1.0
        return born * geometric.purchases_alive(self.vector(), t, zero, zero, zero, self.family)[:, 0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parameters = dict(zip(NAMES, self.vector().tolist(), strict=True))
        return {"model": self.model, "k": self.k, "parameters": parameters, "report": self.report.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(
            **fields["parameters"],
            k=int(fields["k"]),
            birth=int(str(fields["model"]).startswith("m")),
            report=FitReport.from_dict(fields["report"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometric:
    """Choices for the models in which a customer may leave after each purchase.

    `k` = 1, `birth` = 0 is BG/NBD (Fader, Hardie & Lee 2005), `birth` = 1 MBG/NBD (Batislam, Denizel &
    Filiztekin 2007), `k` > 1 their relatives for regular buyers, (M)BG/CNBD-k (Platzer & Reutterer 2016).
    With k > 1 the likelihood leaves out the times between purchases themselves, which hold no parameter;
    `clv.fitting` adds them, so that different k can be compared.

    Attributes
    ----------
    k
        Erlang shape of the times between purchases.
    birth
        1 where a customer may leave right after the first purchase.
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    """

    fitted: ClassVar[type[GeometricFit]] = GeometricFit

    k: int = 1
    birth: int = 0
    penalizer: float = 0.0

    def fit(self, summary: pl.DataFrame | Observations) -> GeometricFit:
        """Estimate r, alpha, a, b by maximum likelihood.

        Raises
        ------
        ConvergenceError
            When no maximum is found; the message names the remedy.
        """
        return _fit(summary, penalizer=self.penalizer, k=self.k, birth=self.birth)


def BgNbd(*, penalizer: float = 0.0) -> Geometric:
    """Choices for BG/NBD (Fader, Hardie & Lee 2005).

    Parameters
    ----------
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    """
    return Geometric(k=1, birth=0, penalizer=penalizer)


def MbgNbd(*, penalizer: float = 0.0) -> Geometric:
    """Choices for MBG/NBD (Batislam, Denizel & Filiztekin 2007).

    Parameters
    ----------
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    """
    return Geometric(k=1, birth=1, penalizer=penalizer)


def BgCnbd(*, k: int = 2, penalizer: float = 0.0) -> Geometric:
    """Choices for BG/CNBD-k (Platzer & Reutterer 2016).

    Parameters
    ----------
    k
        Erlang shape of the times between purchases; 1 is Poisson.
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    """
    return Geometric(k=k, birth=0, penalizer=penalizer)


def MbgCnbd(*, k: int = 2, penalizer: float = 0.0) -> Geometric:
    """Choices for MBG/CNBD-k (Platzer & Reutterer 2016).

    Parameters
    ----------
    k
        Erlang shape of the times between purchases; 1 is Poisson.
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    """
    return Geometric(k=k, birth=1, penalizer=penalizer)


def _fit(summary: pl.DataFrame | Observations, *, penalizer: float, k: int, birth: int) -> GeometricFit:
    """Fit one member of the family in rescaled time, and report it in the user's."""
    data = summary if isinstance(summary, Observations) else Observations.from_summary(summary)
    unscored = GeometricFit(r=1.0, alpha=1.0, a=1.0, b=1.0, k=k, birth=birth, report=UNFITTED)
    require_repeats(data, unscored.model)
    factor = 1.0 / float(data.T.max())
    scaled = data.rescale_time(factor)
    scout = scaled.sample(SCOUT_ROWS, rng=np.random.default_rng(0)) if scaled.size > 2 * SCOUT_ROWS else None
    best = maximize(
        unscored.scorer(scaled),
        names=NAMES,
        starts=_starts(scaled, k),
        lower=LOWER,
        upper=UPPER,
        customers=data.customers,
        subject=f"{unscored.model} on {data.customers:.0f} customers",
        sample_score=None if scout is None else unscored.scorer(scout),
        sample_customers=0.0 if scout is None else scout.customers,
        penalizer=penalizer,
    )
    vector = best.parameters / np.array([1.0, factor, 1.0, 1.0])
    # densities of k x stages, each 1 / factor as long
    stages = float(data.weights @ data.frequency)
    log_likelihood = best.log_likelihood + stages * (k * np.log(factor) - scipy.special.gammaln(k))
    report = FitReport.from_maximum(best, log_likelihood=float(log_likelihood), customers=data.customers)
    return replace(unscored.with_vector(vector), report=report)


def _starts(data: Observations, k: int) -> list[tuple[float, float, float, float]]:
    """Two starting points with the mean purchase rate of the data: diverse and alike customers."""
    rate = k * max(float(data.weights @ data.frequency), 1.0) / float(data.weights @ data.T)
    return [(0.5, 0.5 / rate, 0.8, 2.5), (4.0, 4.0 / (2.0 * rate), 0.5, 8.0)]
