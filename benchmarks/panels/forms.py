"""Companies of other forms as the tables that a company keeps, and the panel read from them.

The panel is what `build_panel` makes of the tables, so that these companies test the reading as well:
problems that are cases, a last month cut short, touches after the end of a contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.form_lives import (
    CHANNELS,
    LAST_DAY,
    NAMES,
    OWN,
    PRICE,
    FormLife,
    FormTraits,
    form_truth,
    live,
)
from benchmarks.panels.form_scenarios import FormScenario
from histories.arrays import Integer, Moments
from histories.money import to_minor
from histories.on_the_way import on_the_way
from histories.panel import Panel
from histories.panel_building import build_panel
from histories.purchases import build_purchases
from histories.reactions import recent_purchases, with_order_of_events
from histories.reading.sources import Channel
from histories.simulation.calendar import event_rows, month_calendar
from histories.simulation.truth import Truth
from histories.touchpoints import build_touchpoints

ORDER_SHAPE = 4.0
LATE_DAYS = 25
"""Days after the end of a contract in which the firm still writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormTables:
    """The input tables of the specification, in currency, and the last day observed."""

    customers: pl.DataFrame
    transactions: pl.DataFrame
    touchpoints: pl.DataFrame
    cases: pl.DataFrame | None
    observation_end: date


def simulate_form(
    scenario: FormScenario, *, n: int, periods: int, rng: np.random.Generator
) -> SimulatedPanel:
    """Customers, the panel read from their tables, and their truth, under the equations above."""
    traits, life = live(scenario, n=n, periods=periods, rng=rng)
    tables = _write_down(scenario, traits, life, periods=periods, rng=rng)
    stays = life.exit == traits.u.shape[1]
    left = np.where(stays, periods, life.exit // scenario.steps)
    return SimulatedPanel(
        panel=read_panel(scenario, tables),
        truth=form_truth(scenario, traits, life),
        latent={"u": traits.u[:, :: scenario.steps], "exit": left.astype(np.float64)},
    )


def simulate_tables(scenario: FormScenario, *, n: int, periods: int, seed: int) -> tuple[FormTables, Truth]:
    """The same company's tables, and what is true of it."""
    rng = np.random.default_rng(seed)
    traits, life = live(scenario, n=n, periods=periods, rng=rng)
    tables = _write_down(scenario, traits, life, periods=periods, rng=rng)
    return tables, form_truth(scenario, traits, life)


def _step_days(steps: int, fine: int, periods: int) -> Moments:
    """First day of each step, and the day after the last, shape (S + 1,)."""
    starts = month_calendar(LAST_DAY, periods).starts
    length = (starts[1:] - starts[:-1]).astype(np.int64)
    days = starts[:-1, None] + (np.arange(fine) * length[:, None]) // fine
    return np.concatenate([days.ravel(), starts[-1:]])[: steps + 1]


def _write_down(
    scenario: FormScenario, traits: FormTraits, life: FormLife, *, periods: int, rng: np.random.Generator
) -> FormTables:
    """The tables of what was observed: own acts end with the customer, sends only with a contract."""
    n, steps = traits.u.shape
    days = _step_days(steps, scenario.steps, periods)
    alive = np.arange(steps) <= life.exit[:, None]

    def moments(step: Integer) -> Moments:
        length = (days[step + 1] - days[step]).astype(np.int64) * 86_400
        seconds = np.floor(length * rng.random(len(step))).astype("timedelta64[s]")
        return np.asarray(days[step].astype("datetime64[us]") + seconds)

    touches = life.touches * np.where(OWN | scenario.contractual, alive[:, :, None], True)
    i, s, c = event_rows(touches)
    contacts = pl.DataFrame({"customer_id": i, "timestamp": moments(s), "channel": np.array(NAMES)[c]})
    if scenario.late_sends:
        contacts = pl.concat([contacts, _late(scenario, life, days, rng)])
    who, when = event_rows(life.purchases * alive)
    if scenario.staggered:
        who, when = np.concatenate([np.arange(n), who]), np.concatenate([traits.entry, when])
    orders = pl.DataFrame(
        {
            "customer_id": who,
            "timestamp": moments(when),
            "amount": np.maximum(rng.gamma(ORDER_SHAPE, PRICE / ORDER_SHAPE, len(who)), 0.01).round(2),
        }
    )
    return FormTables(
        customers=_customers(scenario, traits, life, days, rng),
        transactions=orders.sort("timestamp", "customer_id"),
        touchpoints=contacts.sort("timestamp", "customer_id", "channel"),
        cases=_cases(traits, alive, moments) if scenario.problems else None,
        observation_end=date.fromisoformat(str(days[-1])) - timedelta(days=1),
    )


def _late(scenario: FormScenario, life: FormLife, days: Moments, rng: np.random.Generator) -> pl.DataFrame:
    """What `push` sends after the end of a contract."""
    gone = np.flatnonzero(life.exit < len(days) - 1)
    who = np.repeat(gone, rng.poisson(scenario.late_sends, len(gone)))
    seconds = rng.integers(0, LATE_DAYS * 86_400, len(who)) * np.timedelta64(1_000_000, "us")
    at = days[life.exit[who] + 1].astype("datetime64[us]") + seconds
    known = at < days[-1]
    return pl.DataFrame(
        {"customer_id": who[known], "timestamp": at[known], "channel": np.full(known.sum(), "push")}
    )


def _customers(
    scenario: FormScenario,
    traits: FormTraits,
    life: FormLife,
    days: Moments,
    rng: np.random.Generator,
) -> pl.DataFrame:
    n, steps = traits.u.shape
    columns: dict[str, object] = {
        "customer_id": np.arange(n),
        "acquired_at": days[traits.entry] if scenario.staggered else days[0] - _long_ago(n),
        "x": traits.x.round(3),
    }
    if scenario.contractual:
        last = days[np.minimum(life.exit + 1, steps)] - np.timedelta64(1, "D")
        columns["ended_at"] = np.where(life.exit < steps, last, np.datetime64("NaT"))
    r = scenario.proxy_correlation
    if scenario.satisfaction != "none" and r is not None:
        first = traits.u[np.arange(n), traits.entry]
        columns["satisfaction"] = (r * first + np.sqrt(1.0 - r**2) * rng.standard_normal(n)).round(3)
    return pl.DataFrame(columns)


def _long_ago(n: int) -> NDArray[np.timedelta64]:
    """Days before the observation at which those came who are there from its start, shape (n,)."""
    return (30 + 7 * (np.arange(n) % 50)).astype("timedelta64[D]")


def _cases(
    traits: FormTraits, alive: NDArray[np.bool_], moments: Callable[[Integer], Moments]
) -> pl.DataFrame:
    """One case per problem, which no touchpoint names."""
    there = alive & (np.arange(alive.shape[1]) >= traits.entry[:, None])
    i, s = event_rows((traits.problem * there).astype(np.int64))
    at = moments(s)
    return pl.DataFrame(
        {
            "case_id": [f"c{k}" for k in range(len(i))],
            "customer_id": i,
            "opened_at": at,
            "channel": "web form",
        },
        schema_overrides={"case_id": pl.String, "channel": pl.String},
    )


def read_panel(scenario: FormScenario, tables: FormTables) -> Panel:
    """The panel that a run builds from the tables."""
    channels = {c.name: Channel(group=c.group, origin=c.origin) for c in CHANNELS}  # type: ignore[arg-type]
    cases = None if tables.cases is None else tables.cases.lazy()
    confounders = [name for name in ("x", "satisfaction") if name in tables.customers.columns]
    touchpoints = build_touchpoints(tables.touchpoints.lazy(), channels=channels, cases=cases)
    purchases = build_purchases(tables.transactions.lazy().with_columns(to_minor(pl.col("amount"))))
    order = recent_purchases(touchpoints, purchases, channels=NAMES, observation_end=tables.observation_end)
    panel = build_panel(
        touchpoints,
        purchases,
        tables.customers.lazy(),
        observation_end=tables.observation_end,
        channels=NAMES,
        origins={channel.name: channel.origin for channel in CHANNELS},
        groups={channel.name: channel.group for channel in CHANNELS},
        confounders=confounders,
        contractual=scenario.contractual,
        cases=cases,
    )
    return with_order_of_events(replace(panel, announces=on_the_way(order, NAMES)), order)
