"""`tributary power`: sample size and detectable effect of an experiment."""

from __future__ import annotations

import json

import click

from attribution.effects.power import PowerPlan, detectable_effect, experiment_power, units_needed
from histories.errors import ConfigError


@click.command()
@click.option("--baseline", type=float, required=True, help="Mean of the outcome without treatment.")
@click.option("--sd", type=float, help="Standard deviation of the outcome; leave out for a share.")
@click.option("--effect", type=float, help="Smallest effect worth finding, treated minus control.")
@click.option("--units", type=int, help="Units at hand, all arms together.")
@click.option("--power", "wanted", type=float, default=0.8, show_default=True, help="Chance of finding it.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Chance of a false alarm.")
@click.option("--treated-share", type=float, default=0.5, show_default=True, help="Of one arm and control.")
@click.option("--arms", type=int, default=1, show_default=True, help="Arms beside the control.")
@click.option("--correlation", type=float, default=0.0, show_default=True, help="With the metric before.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def power(
    *,
    baseline: float,
    sd: float | None,
    effect: float | None,
    units: int | None,
    wanted: float,
    alpha: float,
    treated_share: float,
    arms: int,
    correlation: float,
    as_json: bool,
) -> None:
    """Sample size for an effect, detectable effect for a sample, or the power of both together.

    Give --effect for the units needed, --units for the smallest effect they find, both for the power.
    """
    plan = PowerPlan(
        baseline=baseline,
        std_dev=sd,
        alpha=alpha,
        power=wanted,
        treated_share=treated_share,
        arms=arms,
        correlation=correlation,
    )
    answer = _answer(plan, effect, units)
    click.echo(json.dumps(answer) if as_json else _sentence(plan, answer))


def _answer(plan: PowerPlan, effect: float | None, units: int | None) -> dict[str, float | int]:
    """Effect, units and power, the missing one computed."""
    if effect is None and units is None:
        raise ConfigError("power: give --effect, --units, or both")
    if units is None:
        assert effect is not None
        return {"effect": effect, "units": units_needed(plan, effect), "power": plan.power}
    if effect is None:
        return {"effect": detectable_effect(plan, units), "units": units, "power": plan.power}
    pair = units / (plan.arms * plan.treated_share + 1 - plan.treated_share)
    return {"effect": effect, "units": units, "power": experiment_power(plan, effect, pair)}


def _sentence(plan: PowerPlan, answer: dict[str, float | int]) -> str:
    """The answer in one sentence."""
    what = "share" if plan.std_dev is None else "mean"
    relative = f" ({answer['effect'] / plan.baseline:+.1%})" if plan.baseline else ""
    shared = ", shared by the arms" if plan.arms > 1 else ""
    return (
        f"{answer['units']:,} units in {plan.arms + 1} arms find an effect of "
        f"{answer['effect']:.4g}{relative} on a {what} of {plan.baseline:g} "
        f"with a chance of {answer['power']:.0%} (two-sided alpha {plan.alpha:g}{shared})."
    )
