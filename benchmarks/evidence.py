"""Bias, error and coverage of the effect estimators where the truth is known.

    python -m benchmarks.evidence --replications 200 --units 5000

Three worlds: units that chose their treatment with a number and with a share as outcome
(`benchmarks.worlds`), and a contractual company with cases and purchases, read by a landmark design
from its tables. Truth is the mean effect of the population, from a draw of a million units, or from two
runs of the company in which everybody, and nobody, is answered fast. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from attribution.effects.data.history import build_history
from attribution.effects.data.index_dates import find_index_dates
from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.designs.landmark import build_landmark_units
from attribution.effects.estimators.aipw import ESTIMANDS, estimate_ratio
from attribution.effects.estimators.nuisance import (
    LEARNERS,
    Learner,
    assign_folds,
    fit_nuisances,
    fit_propensity,
)
from attribution.effects.estimators.regression import fit_lin, mean_difference
from benchmarks.worlds import simulate_care_world, simulate_confounded_units

Estimates = dict[tuple[str, str], tuple[float, float]]

REPLY = EffectDesign(
    name="reply within the hour",
    design="landmark",
    treatment={"channel": "twitter", "first_response_minutes": 60},
    control="slower",
    landmark_days=28,
    follow_up_days=180,
    outcomes=["retention", "spend"],
    covariates=["score", "region"],
)


def estimate_all(
    units: Units, treated: np.ndarray, outcome: str, rng: np.random.Generator, learners: Sequence[Learner]
) -> Estimates:
    """Estimate and standard error of every estimator, by estimator and estimand."""
    y, x = units.outcomes[outcome], units.covariates
    folds = assign_folds(len(units), rng, units.clusters)
    propensity = fit_propensity(treated, x, folds, learners)
    nuisances = fit_nuisances(y, treated, x, folds, propensity=propensity, learners=learners)
    found: Estimates = {
        ("aipw", e.name): estimate_ratio(e.scores(y, treated.astype(float), nuisances), units.clusters)
        for e in ESTIMANDS
    }
    found["lin", "ATE"] = fit_lin(y, treated, x, clusters=units.clusters)[:2]
    found["naive", "ATE"] = mean_difference(y, treated)
    return found


def population_truth(*, binary: bool) -> dict[str, float]:
    """Mean effects of a million simulated units, by estimand."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1_000_000, 3))
    e = 1 / (1 + np.exp(-(0.6 * x[:, 0] - 0.4 * x[:, 1])))
    tau = 1 + 0.5 * x[:, 0]
    if binary:
        base = -0.5 + 0.5 * x[:, 0] + 0.3 * x[:, 1]
        tau = 1 / (1 + np.exp(-base - tau)) - 1 / (1 + np.exp(-base))
    weights = {"ATE": np.ones_like(e), "ATT": e, "ATU": 1 - e, "ATO": e * (1 - e)}
    return {name: float(w @ tau / w.sum()) for name, w in weights.items()}


def company_truth(effect: float) -> dict[str, dict[str, float]]:
    """Mean difference of each outcome when everybody is answered fast and when nobody is."""
    means = []
    for force in (True, False):
        world = simulate_care_world(60_000, np.random.default_rng(99), effect=effect, force=force)
        units, _ = company_units(world)
        means.append({name: float(values.mean()) for name, values in units.outcomes.items()})
    return {name: {"ATE": means[0][name] - means[1][name]} for name in means[0]}


def company_units(world: object) -> tuple[Units, np.ndarray]:
    """The landmark's units of a company, and who of them was treated."""
    history = build_history(world.tables, observation_end=world.end.date())
    index = find_index_dates(REPLY, history, world.tables, np.random.default_rng(0))
    return build_landmark_units(REPLY, history, index, world.tables), index.treated


def replicate(
    worlds: Sequence[str], units: int, replications: int, learners: Sequence[Learner]
) -> Iterator[tuple[str, Estimates, dict[str, float]]]:
    """World, estimates and truth of every replication."""
    for binary, label in ((False, "number"), (True, "share")):
        if label not in worlds:
            continue
        truth = population_truth(binary=binary)
        for seed in range(replications):
            made = simulate_confounded_units(units, np.random.default_rng(seed), binary=binary)
            yield (
                label,
                estimate_all(made.units, made.treated, "y", np.random.default_rng(seed), learners),
                truth,
            )
    for effect in (0.0, 0.2) if "company" in worlds else ():
        truths = company_truth(effect)
        for seed in range(replications):
            # about 57 % of the customers are at risk when their problem opens and are followed to the end
            world = simulate_care_world(int(units / 0.57), np.random.default_rng(seed), effect=effect)
            rows, treated = company_units(world)
            for outcome in REPLY.outcomes:
                found = estimate_all(rows, treated, outcome, np.random.default_rng(seed), learners)
                label = f"company, effect {effect:g}: {outcome}"
                yield label, {k: v for k, v in found.items() if k[1] == "ATE"}, truths[outcome]


def table(worlds: Sequence[str], units: int, replications: int, learners: Sequence[Learner]) -> str:
    """One row per world and estimator."""
    errors: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    truths: dict[tuple[str, str, str], float] = {}
    for world, estimates, truth in replicate(worlds, units, replications, learners):
        for (estimator, estimand), (estimate, error) in estimates.items():
            key = world, estimator, estimand
            truths[key] = truth[estimand]
            errors[key].append((estimate - truth[estimand], error))
    lines = [
        "| world | estimator | truth | bias | RMSE | mean std. error | 95 % intervals cover |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (world, estimator, estimand), pairs in errors.items():
        off, error = np.array(pairs).T
        covered = np.mean(np.abs(off) < 1.96 * error)
        lines.append(
            f"| {world} | {estimator} {estimand} | {truths[world, estimator, estimand]:.4g} "
            f"| {off.mean():+.4f} | {np.sqrt((off**2).mean()):.4f} | {error.mean():.4f} | {covered:.1%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--worlds", nargs="+", default=["number", "share", "company"])
    parser.add_argument("--learners", nargs="+", default=[learner.name for learner in LEARNERS])
    chosen = parser.parse_args()
    candidates = [learner for learner in LEARNERS if learner.name in chosen.learners]
    print(table(chosen.worlds, chosen.units, chosen.replications, candidates))
