"""A small company as CSV texts, the same at every call, and a run of it without MLflow and pictures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from experiments.checks import check_run
from experiments.config import parse_config
from experiments.inputs import read_inputs
from experiments.parts.histories import build_histories
from experiments.run import Findings, find

START, END = date(2025, 1, 1), date(2025, 12, 31)
CHANNELS = ("forum", "chat", "newsletter")

TREE: dict[str, Any] = {
    "name": "small",
    "observation_end": "2025-12-31",
    "calibration_end": "2025-08-31",
    "currency": "EUR",
    "channels": {
        "forum": {"group": "social", "origin": "customer"},
        "chat": {"group": "social", "origin": "customer"},
        "newsletter": {"origin": "firm"},
    },
    "value": {
        "models": ["bg_nbd"],
        "challenger": False,
        "origins": 1,
        "posterior_draws": 0,
        "gross_margin": 0.5,
    },
    "attribution": {"methods": ["last", "linear", "markov", "shapley"], "lookback_days": 30, "replicates": 4},
}
"""Cheap settings: one purchase model, no draws, few drawn companies, no incremental credit."""


def small_company(customers: int = 60, *, seed: int = 1) -> dict[str, str]:
    """Tables by name, as CSV with a header."""
    rng = random.Random(seed)
    orders, touches, people, cases, arms = [], [], [], [], []
    for customer in range(1, customers + 1):
        acquired = START + timedelta(days=rng.randrange(120))
        region = rng.choice(["north", "south"])
        people.append(f"{customer},{acquired},{region},{rng.choice(['web', 'shop'])},{rng.randrange(5, 20)}")
        arms.append(f"welcome,{customer},{'letter' if customer % 2 else 'none'},{acquired}")
        moment = datetime.combine(acquired, datetime.min.time()) + timedelta(hours=9)
        for _ in range(rng.randrange(1, 9)):
            if moment.date() > END:
                break
            orders.append(f"{customer},{moment},{rng.randrange(500, 9000) / 100},{len(orders)}")
            moment += timedelta(days=rng.expovariate(1 / 40) + 1, hours=rng.randrange(10))
        for _ in range(rng.randrange(6)):
            at = datetime.combine(acquired, datetime.min.time()) + timedelta(hours=rng.randrange(7000))
            if at.date() > END:
                continue
            channel, case = rng.choice(CHANNELS), ""
            if channel == "chat":
                case = f"c{len(cases)}"
                reply = at + timedelta(minutes=rng.randrange(5, 300)) if rng.random() < 0.7 else ""
                cases.append(f"{case},{at},chat,{customer},{reply},{rng.randrange(1, 6)}")
            kind = {"forum": "community", "chat": "care", "newsletter": "marketing"}[channel]
            touches.append(f"{customer},{at},{channel},{kind},{case},{rng.randrange(10, 300) / 100}")
    months = [date(2025, month, 1) for month in range(1, 13)]
    ends = [(first + timedelta(days=32)).replace(day=1) - timedelta(days=1) for first in months]
    costs = [f"{name},{a},{b},{100}" for name in CHANNELS for a, b in zip(months, ends, strict=True)]
    return {
        "transactions": _csv("customer_id,timestamp,amount,order_id", orders),
        "touchpoints": _csv("customer_id,timestamp,channel,kind,case_id,cost", touches),
        "customers": _csv("customer_id,acquired_at,region,acquisition_channel,acquisition_cost", people),
        "cases": _csv("case_id,opened_at,channel,customer_id,first_response_at,csat", cases),
        "costs": _csv("channel,period_start,period_end,amount", costs),
        "assignments": _csv("experiment,customer_id,arm,assigned_at", arms),
        "interventions": _csv("name,date", ["new forum,2025-07-01"]),
    }


def _csv(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def run_small(folder: Path, tables: Mapping[str, str], tree: Mapping[str, Any] | None = None) -> Findings:
    """What a run finds of these tables; the configuration is `TREE` with the sections of `tree` over it."""
    return find_in(folder, tables, merged(TREE, tree or {}))


def find_in(folder: Path, tables: Mapping[str, str], tree: Mapping[str, Any]) -> Findings:
    """What a run finds, by this configuration and no other."""
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    inputs = {name: f"{name}.csv" for name in tables}
    config = parse_config({**tree, "inputs": inputs | dict(tree.get("inputs", {}))}, base_dir=folder)
    checked = read_inputs(config)
    check_run(config, checked)
    return find(config, build_histories(config, checked))


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the values of `over`, section by section."""
    found = dict(tree)
    for key, value in over.items():
        inner = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if inner else value
    return found
