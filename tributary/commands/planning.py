"""`tributary power`: sample size and detectable effect of an experiment, on units or on markets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attribution.effects.power import PowerPlan, detectable_effect, experiment_power, units_needed
from histories.errors import ConfigError
from tributary.commands.options import FILE, json_option
from tributary.commands.output import echo_json, echo_table

if TYPE_CHECKING:
    import polars as pl

    from attribution.effects.designs.geo import GeoPlan


@click.command()
@click.option("--baseline", type=float, help="Mean of the outcome without treatment.")
@click.option("--sd", type=float, help="Standard deviation of the outcome; leave out for a share.")
@click.option(
    "--effect",
    type=float,
    help="Smallest effect worth finding, treated minus control; of markets as a share, 0.05 for 5 %.",
)
@click.option("--units", type=int, help="Units at hand, all arms together.")
@click.option("--power", "wanted", type=float, default=0.8, show_default=True, help="Chance of finding it.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Chance of a false alarm.")
@click.option("--treated-share", type=float, default=0.5, show_default=True, help="Of one arm and control.")
@click.option("--arms", type=int, default=1, show_default=True, help="Arms beside the control.")
@click.option("--correlation", type=float, default=0.0, show_default=True, help="With the metric before.")
@click.option(
    "--geo",
    type=FILE,
    metavar="FILE",
    help="Plan a test in some markets: a table with one row per market and date (CSV or Parquet), or a "
    "configuration whose synthetic_control names one.",
)
@click.option("--outcome", help="With --geo: the column that is to rise. [default: the configuration's]")
@click.option("--unit", default="unit", show_default=True, help="With --geo: the column of the market.")
@click.option("--date", "day", default="date", show_default=True, help="With --geo: the column of the day.")
@click.option("--steps", type=int, default=8, show_default=True, help="With --geo: dates that it lasts.")
@click.option(
    "--markets",
    "sizes",
    type=int,
    multiple=True,
    help="With --geo: how many are treated; repeat it to compare. [default: 1, 2 and 3]",
)
@json_option
def power(
    *,
    baseline: float | None,
    sd: float | None,
    effect: float | None,
    units: int | None,
    wanted: float,
    alpha: float,
    treated_share: float,
    arms: int,
    correlation: float,
    geo: Path | None,
    outcome: str | None,
    unit: str,
    day: str,
    steps: int,
    sizes: tuple[int, ...],
    as_json: bool,
) -> None:
    """Sample size for an effect, detectable effect for a sample, or the power of both together.

    Give --effect for the units needed, --units for the smallest effect they find, both for the power. With
    --geo: which markets to treat, and what a test in them would find by their own past.
    """
    if geo is not None:
        from attribution.effects.designs.geo import plan_markets

        if effect is None:
            raise ConfigError("power: give --effect, the smallest lift worth finding: 0.05 for 5 %")
        frame, named = _markets_of(geo, outcome, unit, day)
        made = plan_markets(
            frame, outcome=named, steps=steps, lift=effect, sizes=sizes or (1, 2, 3), power=wanted
        )
        _tell(made, named, as_json=as_json)
        return
    if baseline is None:
        raise ConfigError("power: give --baseline, the outcome's mean without treatment; or --geo FILE")
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
    if as_json:
        echo_json(answer)
    else:
        click.echo(_sentence(plan, answer))


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


def _markets_of(path: Path, outcome: str | None, unit: str, day: str) -> tuple[pl.DataFrame, str]:
    """The table of markets under our names, and the outcome."""
    from attribution.effects.data.unit_table import read_table
    from attribution.effects.design import EffectDesign
    from histories.reading.sources import TableSource

    if path.suffix == ".toml":
        from experiments.config import load_config

        found = [
            effect
            for effect in load_config(path).effects
            if effect.design == "synthetic_control" and effect.table is not None
        ]
        if len(found) != 1:
            raise ConfigError(
                f'{path}: {len(found)} effects are a design = "synthetic_control" with a table; exactly one '
                "is needed. Or give the table itself: --geo TABLE.csv --outcome COLUMN"
            )
        return read_table(found[0], path.parent), outcome or found[0].outcomes[0]
    if outcome is None:
        raise ConfigError("power: give --outcome, the column of the table that is to rise")
    renamed: dict[str, str | int] = {
        ours: theirs for ours, theirs in (("unit", unit), ("date", day)) if ours != theirs
    }
    design = EffectDesign(
        name="markets",
        design="synthetic_control",
        outcomes=(outcome,),
        table=TableSource(path=path.name, columns=renamed),
    )
    return read_table(design, path.parent), outcome


def _tell(plan: GeoPlan, outcome: str, *, as_json: bool) -> None:
    from attribution.effects.designs.geo import SHOWN

    if as_json:
        from dataclasses import asdict

        echo_json(asdict(plan) | {"sets": plan.sets.to_dicts(), "refusal": plan.refusal})
        return
    left = f" ({len(plan.left_out)} more lack steps or never move)" if plan.left_out else ""
    click.secho(f"A test of {plan.steps} steps in some of {len(plan.markets)} markets{left}", bold=True)
    echo_table(plan.sets.head(SHOWN))
    if plan.sets.height > SHOWN:
        click.echo(f"{plan.sets.height - SHOWN} more sets were tried; --json tells all.")
    click.echo(
        f"By {plan.tests} tests of the past in which nothing was done: misfit is what the others miss, "
        f"detectable the smallest lift of {outcome} that is found with a chance of {plan.power:.0%} "
        f"(two-sided 5 %), power that of finding {plan.lift:+.1%}."
    )
    if plan.drawn is None:
        raise ConfigError(f"power of markets: {plan.refusal}")
    finding = int(plan.sets["finds"].sum())
    click.echo(f"Treat {' and '.join(plan.drawn)}: drawn by lot among {finding} that find it. Read it with")
    arms = ", ".join(f'"{name}"' for name in plan.drawn)
    click.echo(
        f'  design = "synthetic_control", treatment = {{ arms = [{arms}], intervention = "NAME" }}, '
        f'outcomes = ["{outcome}"]'
    )
