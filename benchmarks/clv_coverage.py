"""Do the intervals cover what they promise? 200 simulated companies at each of three sizes.

Run once; the table goes into docs/clv.md:

    python -m benchmarks.clv_coverage --companies 200 --sizes 250 1000 4000
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np

from benchmarks.buyers import simulate_geometric
from clv.intervals import PARAMETER_DRAWS, predict_intervals
from clv.purchases import BgNbd, GeometricFit, Observations
from clv.purchases.base import UNFITTED
from clv.spend import GammaGamma
from clv.uncertainty import purchase_posterior, spend_posterior
from clv.value import Horizon, discounted_purchases
from histories.arrays import Float
from histories.errors import TributaryError

LEVEL = 0.9
HORIZON = Horizon(months=9, discount_rate=0.10, time_unit="week")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """One simulated company: its truth, its data and its future."""

    truth: GeometricFit
    spend: tuple[float, float, float]
    observations: Observations
    mean_amount: Float
    future: Float
    future_value: Float


def simulate_company(rng: np.random.Generator, customers: int) -> Company:
    """A company with parameters drawn around CDNOW's, observed for one to two years."""
    r, mean_rate = rng.uniform(0.2, 1.2), rng.uniform(0.03, 0.15)
    dropout, spread = rng.uniform(0.1, 0.35), rng.uniform(2.0, 5.0)
    truth = GeometricFit(
        r=r, alpha=r / mean_rate, a=dropout * spread, b=(1.0 - dropout) * spread, report=UNFITTED
    )
    T = rng.integers(52, 105, customers).astype(np.float64)
    drawn = simulate_geometric(
        rng, T, r=truth.r, alpha=truth.alpha, a=truth.a, b=truth.b, horizon=HORIZON.length
    )
    p, q, v = rng.uniform(2.0, 7.0), rng.uniform(2.5, 5.0), rng.uniform(10.0, 30.0)
    counts = np.concatenate([drawn.observations.frequency, drawn.future])
    nu = rng.gamma(q, 1.0 / v, customers)
    totals = np.where(counts > 0, rng.gamma(np.maximum(p * counts, 1e-12)) / np.tile(nu, 2), 0.0)
    x = drawn.observations.frequency
    mean = np.divide(totals[:customers], x, out=np.full(customers, np.nan), where=x > 0)
    return Company(
        truth=truth,
        spend=(p, q, v),
        observations=drawn.observations,
        mean_amount=mean,
        future=drawn.future,
        future_value=totals[customers:],
    )


def study(company: Company, rng: np.random.Generator) -> dict[str, float]:
    """Which of the intervals cover, and how wide they are."""
    import polars as pl

    data = company.observations
    x, t_x, T, m = data.frequency, data.recency, data.T, company.mean_amount
    fit = BgNbd().fit(data)
    posterior = purchase_posterior(fit, data, prior="weak", draws=1000, rng=rng)
    summary = pl.DataFrame({"frequency": x, "monetary_value": m}).fill_nan(None)
    spend = GammaGamma().fit(summary)
    spending = spend_posterior(spend, summary, prior="weak", draws=1000, rng=rng)
    low, high = posterior.interval(LEVEL)
    truth = company.truth.vector()
    inside = {
        f"parameter {n}": float(a <= t <= b)
        for n, t, a, b in zip(fit.parameter_names, truth, low, high, strict=True)
    }
    fits = [fit.with_vector(v) for v in posterior.thin(PARAMETER_DRAWS)]
    spends = [spend.with_vector(v) for v in spending.thin(PARAMETER_DRAWS) if v[1] > 1.0]
    plain, discounted = discounted_purchases(company.truth, HORIZON, x, t_x, T)
    drawn = [discounted_purchases(f, HORIZON, x, t_x, T) for f in fits]
    values = [float(d[1] @ spends[i % len(spends)].predict_spend(x, m)) for i, d in enumerate(drawn)]
    tails = [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0]
    e_low, e_high = np.quantile([d[0] for d in drawn], tails, axis=0, method="weibull")
    n_low, n_high = np.quantile([d[0].sum() for d in drawn], tails, method="weibull")
    v_low, v_high = np.quantile(values, tails, method="weibull")
    known = {"frequency": x, "recency": t_x, "T": T, "monetary_value": m, "gross_margin": 1.0, "level": LEVEL}
    p, q, v = company.spend
    true_value = float(discounted @ spend.with_vector(np.array([p, q, v])).predict_spend(x, m))
    one = predict_intervals(fits, spends, HORIZON, **known, rng=rng)
    counts = (one.purchases_low <= company.future) & (company.future <= one.purchases_high)
    # future amounts are compared undiscounted, so the limits are scaled back
    scale = np.divide(plain, discounted, out=np.ones_like(plain), where=discounted > 0)
    inside_value = (one.value_low * scale <= company.future_value + 1e-9) & (
        company.future_value <= one.value_high * scale + 1e-9
    )
    return inside | {
        "expectation of a customer": float(np.mean((e_low <= plain) & (plain <= e_high))),
        "total expected purchases": float(n_low <= plain.sum() <= n_high),
        "total expected value": float(v_low <= true_value <= v_high),
        "count of one customer": float(counts.mean()),
        "width of count": float((one.purchases_high - one.purchases_low).mean()),
        "value of one customer": float(inside_value.mean()),
        "pit deviation": pit_deviation(fits[:: PARAMETER_DRAWS // 5], company, rng),
        "effective share": posterior.effective / 1000,
    }


def pit_deviation(fits: list[GeometricFit], company: Company, rng: np.random.Generator) -> float:
    """Largest distance of the randomised PIT of the counts from the uniform distribution (Kolmogorov)."""
    data = company.observations
    lower, upper = np.zeros(data.size), np.zeros(data.size)
    for fit in fits:
        alive = fit.predict_alive(data.frequency, data.recency, data.T)
        for m in np.unique(company.future):
            rows = company.future == m
            part = (data.frequency[rows], data.recency[rows], data.T[rows])
            t = np.full(int(rows.sum()), HORIZON.length)
            more = alive[rows] * fit.predict_tail_alive(int(m) + 1, t, *part)
            at_least = alive[rows] * fit.predict_tail_alive(int(m), t, *part) if m else np.ones(t.size)
            lower[rows] += (1.0 - at_least) / len(fits)
            upper[rows] += (1.0 - more) / len(fits)
    pit = np.sort(lower + rng.random(data.size) * (upper - lower))
    grid = np.arange(1, pit.size + 1) / pit.size
    return float(np.max(np.abs(pit - grid + 0.5 / pit.size)))


def main() -> None:
    """Run the study and print one row per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--companies", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--first", type=int, default=0, help="number of the first company, to go on later")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    table: dict[int, dict[str, float]] = {}
    for size in arguments.sizes:
        rows, failed = [], 0
        for number in range(arguments.first, arguments.first + arguments.companies):
            rng = np.random.default_rng([arguments.seed, size, number])
            company = simulate_company(rng, size)
            try:
                rows.append(study(company, rng))
            except TributaryError:
                failed += 1
        table[size] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        table[size] |= {"companies": len(rows), "refused": failed}
        print(json.dumps({"size": size, **table[size]}), flush=True)
    names = list(table[arguments.sizes[0]])
    print("| figure | " + " | ".join(f"{size:,} customers" for size in table) + " |")
    print("|---|" + "---|" * len(table))
    for name in names:
        print(f"| {name} | " + " | ".join(f"{table[size][name]:.3f}" for size in table) + " |")


if __name__ == "__main__":
    main()
