"""simulate_company: a company's tables and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from histories.errors import ConfigError
from histories.simulation.books import Books, write_down
from histories.simulation.calendar import Calendar, month_calendar
from histories.simulation.kinds import CompanyScenario, company_scenario
from histories.simulation.process import simulate_process
from histories.simulation.traits import CHANNELS
from histories.simulation.truth import Truth
from histories.simulation.turns import Turns

OBSERVATION_END = date(2026, 6, 30)
MIN_MONTHS = 6
TRUTH_SCHEMA = {
    "outcome": pl.String,
    "channel": pl.String,
    "channel_group": pl.String,
    "credit": pl.Float64,
    "baseline": pl.Float64,
    "total": pl.Float64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCompany:
    """Input tables of a company, and what is true of it."""

    books: Books
    truth: Truth
    region_truth: dict[str, Truth] | None
    """By region, where effects differ between regions."""
    experiment: dict[str, float]
    """True effect of the newsletter per assigned customer over the experiment: "retention", "spend"."""
    turns: Turns | None
    """Answers of the desk, where the company has one."""
    scenario: CompanyScenario
    calendar: Calendar
    seed: int


def simulate_company(
    *,
    customers: int = 5_000,
    months: int = 18,
    seed: int = 1,
    scenario: str | CompanyScenario = "default",
    observation_end: date = OBSERVATION_END,
) -> SimulatedCompany:
    """Simulate a company; the same arguments give the same company.

    Parameters
    ----------
    customers, months
        Size; at least 10 customers and 6 months.
    seed
        Of all randomness.
    scenario
        A name from `COMPANY_SCENARIOS`, or a scenario of your own.
    observation_end
        A day of the last month, which is simulated to its end.

    Raises
    ------
    ConfigError
        For an unknown scenario, or fewer customers or months.
    """
    if customers < 10 or months < MIN_MONTHS:
        raise ConfigError(
            f"simulate: {customers} customers over {months} months; at least 10 and {MIN_MONTHS} are needed."
        )
    chosen = company_scenario(scenario) if isinstance(scenario, str) else scenario
    rng = np.random.default_rng(seed)
    calendar = month_calendar(observation_end, months)
    process = simulate_process(chosen, n=customers, calendar=calendar, rng=rng)
    books = write_down(
        process,
        calendar,
        contractual=chosen.contractual,
        proxy_correlation=chosen.proxy_correlation,
        rng=rng,
    )
    return SimulatedCompany(
        books=books,
        truth=process.truth,
        region_truth=process.region_truth,
        experiment=process.experiment,
        turns=process.turns,
        scenario=chosen,
        calendar=calendar,
        seed=seed,
    )


def truth_frame(truth: Truth) -> pl.DataFrame:
    """True credit by outcome and channel, with baseline and total of the outcome on each row."""
    group = {channel.name: channel.group for channel in CHANNELS}
    rows = [
        (name, channel, group.get(channel, channel), float(credit), outcome.baseline, outcome.total)
        for name, outcome in truth.outcomes.items()
        for channel, credit in zip(truth.channels, outcome.credit, strict=True)
    ]
    return pl.DataFrame(rows, schema=TRUTH_SCHEMA, orient="row")
