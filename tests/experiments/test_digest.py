"""The digest tells each target once of what left its limits, and is silent otherwise."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from care.tables import ALERTS_SCHEMA, CARE_SCHEMA
from experiments.bundle.reading import Bundle, load_bundle
from experiments.delivery import read_mailbox
from experiments.digest import LOG, digest_text, newest_bundle, signals_of, tell
from experiments.rewriting import forget_customer
from histories.errors import ConfigError, TributaryError
from tests.sample_bundle import sample_tables, write_sample

FLOOD = {
    "kind": "volume", "period": "2025-12-30", "cause": "channel: chat", "channel": "chat",
    "words": "31 requests on chat in the hour from 14:00 of Tuesday",
}  # fmt: skip


def _bundle(path: Path, *alerts: dict[str, Any], care: pl.DataFrame | None = None, **manifest: Any) -> Bundle:
    tables = sample_tables() | {"alerts": pl.DataFrame(alerts, schema=ALERTS_SCHEMA)}
    if care is not None:
        tables["care"] = care
    write_sample(path, tables=tables, name="shop", **manifest)
    return load_bundle(path)


def test_a_run_within_its_limits_is_silent(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path / "a")
    assert tell(bundle, tmp_path / "out", runs=tmp_path) == []
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / LOG).exists()


def test_each_signal_is_told_once_to_each_target(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path / "a", FLOOD)
    assert [s.words for s in tell(bundle, tmp_path / "out", runs=tmp_path)] == [
        f"2025-12-30: {FLOOD['words']}"
    ]
    assert tell(bundle, tmp_path / "out", runs=tmp_path) == []
    later = _bundle(tmp_path / "b", FLOOD, FLOOD | {"period": "2025-12-31"})
    assert [s.key for s in tell(later, tmp_path / "out", runs=tmp_path)] == [
        "volume channel: chat 2025-12-31"
    ]
    assert len(tell(later, tmp_path / "other", runs=tmp_path)) == 2
    assert len(tell(later, tmp_path / "out", runs=tmp_path, again=True)) == 2
    texts = [path.read_text() for path in sorted((tmp_path / "out").iterdir())]
    assert texts[0].startswith("1 thing left the limits: shop, data to 2025-12-31")


def test_a_promise_is_told_of_its_last_week_only(tmp_path: Path) -> None:
    row = {
        "kpi": "promise_limits", "segment": "promise: hour", "channel": "(all)", "team": "(all)",
        "value": 0.64, "low": 0.55, "high": 0.73,
    }  # fmt: skip
    rows = [
        row | {"period": "2025-W50", "reason": "a signal: outside of the limits"},
        row | {"period": "2025-W51", "reason": None},
        row | {"segment": "promise: day", "period": "2025-W51", "reason": "a signal: outside of the limits"},
        row | {"segment": "promise: day", "period": "2025-W51", "kpi": "promise", "value": 0.5},
    ]
    bundle = _bundle(tmp_path / "a", care=pl.DataFrame(rows, schema=CARE_SCHEMA))
    (signal,) = signals_of(bundle)
    assert signal.words == (
        '2025-W51: promise "day", kept in 50.0% of cases: a signal: outside of the limits (55.0% to 73.0%)'
    )


def test_a_forecast_that_time_refuted_is_told(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path / "a", forecast={"status": "refuted", "reason": "purchases off by +40%"})
    assert "the forecast of purchases is refuted: purchases off by +40%" in digest_text(
        bundle, signals_of(bundle)
    )


def test_a_mail_that_cannot_be_handed_over_is_told_again(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = read_mailbox(f"smtp://127.0.0.1:{port}?from=a@example.org&to=b@example.org")
    bundle = _bundle(tmp_path / "a", FLOOD)
    with pytest.raises(TributaryError, match="The digest could not be mailed"):
        tell(bundle, target, runs=tmp_path)
    assert (tmp_path / LOG).read_bytes() == b""


def test_an_erasure_makes_no_run_newer(tmp_path: Path) -> None:
    newest = _bundle(tmp_path / "a")
    _bundle(tmp_path / "z")
    os.utime(tmp_path / "z" / "manifest.json", (0, 0))
    forget_customer(tmp_path, newest.table("customers")["customer_id"].cast(str)[0], who="test")
    assert newest_bundle(tmp_path).path == newest.path


def test_the_newest_run_of_a_name_is_watched(tmp_path: Path) -> None:
    _bundle(tmp_path / "z")
    second = _bundle(tmp_path / "a")
    assert newest_bundle(tmp_path).path == second.path
    os.utime(tmp_path / "z" / "manifest.json")  # as a copy does, or a clock that was set back
    assert newest_bundle(tmp_path).path.name == "z"
    later = _bundle(tmp_path / "m", as_of="2026-01-31")
    os.utime(tmp_path / "m" / "manifest.json", (0, 0))
    assert newest_bundle(tmp_path).path == later.path
    with pytest.raises(ConfigError, match=r'no run of "shopp"; did you mean "shop"'):
        newest_bundle(tmp_path, "shopp")
