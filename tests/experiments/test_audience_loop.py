"""A list goes to a platform, its control group stays, and the next run says what the campaign brought."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from experiments.bundle.reading import Bundle, load_bundle
from experiments.config import parse_config
from experiments.run import run_experiment
from histories.errors import ConfigError
from tributary.cli import cli

CUSTOMERS, START, SENT = 900, dt.date(2025, 1, 1), dt.date(2025, 11, 1)
LIFT = 30.0


def orders(treated: set[int], until: dt.date) -> pl.DataFrame:
    """Half of the customers buy four times as often; whoever was reached spends more in the weeks after."""
    rng = np.random.default_rng(8)
    rows: list[tuple[int, dt.date, float]] = []
    for customer in range(1, CUSTOMERS + 1):
        rate = 0.04 if customer % 2 else 0.01
        days = np.flatnonzero(rng.random((dt.date(2026, 1, 10) - START).days) < rate)
        spent = rng.gamma(4.0, 10.0, days.size + 1)
        rows.append((customer, START, float(spent[-1])))
        rows += [
            (customer, START + dt.timedelta(days=int(d)), float(s))
            for d, s in zip(days, spent[:-1], strict=True)
        ]
        if customer in treated:
            rows.append((customer, SENT + dt.timedelta(days=20), LIFT))
    made = pl.DataFrame(rows, schema=["customer_id", "timestamp", "amount"], orient="row")
    return made.filter(pl.col("timestamp") <= until).with_columns(pl.col("amount").round(2))


def run(folder: Path, until: dt.date, treated: set[int], extra: dict[str, Any], name: str) -> Bundle:
    orders(treated, until).write_csv(folder / "orders.csv")
    tree: dict[str, Any] = {
        "name": name,
        "currency": "EUR",
        "value": {"models": ["bg_nbd"], "challenger": False, "posterior_draws": 0, "origins": 1},
        "inputs": {
            "transactions": {"path": "orders.csv"},
            "identities": {"path": "identities.csv"},
            "consents": {"path": "consents.csv"},
        },
    }
    tree["inputs"] |= extra.pop("inputs", {})
    config = parse_config(tree | extra, base_dir=folder)
    return load_bundle(run_experiment(config, runs=folder / "runs", mlruns=folder / "mlruns").bundle)


@pytest.mark.usefixtures("mlruns")
@pytest.mark.parametrize("key", [None, "a key of pseudonyms that is long enough"])
def test_what_a_campaign_brought_is_read_from_its_assignments(
    key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIBUTARY_ID_KEY", raising=False)
    monkeypatch.setenv("TRIBUTARY_IDENTITY_KEY", "another key, of handles, long enough")
    if key is not None:
        monkeypatch.setenv("TRIBUTARY_ID_KEY", key)
    ids = range(1, CUSTOMERS + 1)
    pl.DataFrame(
        {"platform": "email", "handle": [f"c{n}@example.com" for n in ids], "customer_id": ids}
    ).write_csv(tmp_path / "identities.csv")
    pl.DataFrame(
        {"customer_id": ids, "purpose": "marketing", "given": "true", "timestamp": "2025-01-01"}
    ).write_csv(tmp_path / "consents.csv")
    before = run(tmp_path, SENT - dt.timedelta(days=1), set(), {}, "before")
    assert bool(before.manifest["pseudonyms"]) is (key is not None)
    config = tmp_path / "company.toml"
    config.write_text('[inputs]\nidentities = "identities.csv"\n')
    asked = [
        "audience",
        str(before.path),
        str(config),
        "--filter",
        "ge(frequency,6)",
        "--purpose",
        "marketing",
    ]
    asked += ["--platform", "meta", "--name", "autumn", "--control", "0.3", "--assigned-at", str(SENT)]
    (tmp_path / "no room" / "meta-assignments.csv").mkdir(parents=True)
    assert CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "no room")]).exit_code
    assert not (tmp_path / "no room" / "meta.csv").exists()  # else it goes out, and who is held out is lost
    told = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "list")], catch_exceptions=False)
    assert told.exit_code == 0, told.output

    assigned = pl.read_csv(tmp_path / "list" / "meta-assignments.csv")
    assert set(assigned["customer_id"]) <= set(ids)  # as the input tables have them
    treated = set(assigned.filter(pl.col("arm") == "audience")["customer_id"])
    entry = tomllib.loads(told.output[re.search(r"^\[inputs\]", told.output, re.M).start() :])  # type: ignore[union-attr]
    after = run(tmp_path, dt.date(2026, 1, 10), treated, entry, "after")
    effects = after.table("effects").filter(pl.col("segment") == "(all)", pl.col("outcome") == "spend")
    chosen = effects.row(0, named=True)
    assert (chosen["n_treated"], chosen["n_control"]) == (len(treated), assigned.height - len(treated))
    assert chosen["supported"], chosen["reason"]
    assert chosen["low"] <= LIFT <= chosen["high"]
    assert chosen["low"] > 0.0

    spent = (
        orders(treated, dt.date(2026, 1, 10))
        .filter(pl.col("timestamp") >= SENT)
        .group_by("customer_id")
        .agg(pl.col("amount").sum())
    )
    every = (
        pl.DataFrame({"customer_id": ids})
        .join(spent, on="customer_id", how="left")
        .with_columns(pl.col("amount").fill_null(0.0))
    )
    reached = pl.col("customer_id").is_in(sorted(treated))
    naive = every.filter(reached)["amount"].mean() - every.filter(~reached)["amount"].mean()  # type: ignore[operator]
    assert naive > chosen["high"]  # whoever was chosen would have bought more anyway


def test_a_list_of_a_bundle_with_other_ids_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.audience import build_audience
    from tests.experiments.test_audience import NOW, bundle, identities

    with pytest.raises(ConfigError, match="holds ids as they are: set, or unset, TRIBUTARY_ID_KEY"):
        build_audience(
            bundle(tmp_path),
            identities(),
            rule="gt(value,0)",
            purpose="marketing",
            platform="meta",
            name="x",
            control=0.1,
            now=NOW,
            id_key="a key of pseudonyms that is long enough",
        )
