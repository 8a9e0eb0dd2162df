"""Lists for advertising platforms: who is on them, in what form, and who is held out."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from experiments.audience import Audience, build_audience
from experiments.bundle.reading import Bundle
from experiments.filters import FilterError
from histories.errors import ConfigError, DataError

N = 400
NOW = dt.datetime(2026, 3, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def bundle(path: Path) -> Bundle:
    """Customers of whom half are worth something, and three of four consent to marketing."""
    ids = pl.Series("customer_id", range(N))
    tables = {
        "customers": pl.DataFrame({"customer_id": ids, "value": [float(n % 2) for n in range(N)]}),
        "profiles": pl.DataFrame({"customer_id": ids, "consent_marketing": [n % 4 != 1 for n in range(N)]}),
    }
    segments = [{"name": "worth it", "filter": "gt(value,.5)"}]
    made = SimpleNamespace(
        table=tables.__getitem__, path=path / "run", manifest={"configuration": {"segments": segments}}
    )
    return cast(Bundle, made)


def identities() -> pl.LazyFrame:
    """An address each, a number for every third, one address that two customers share."""
    rows = [("E-Mail", f" C{n}@Example.com ", n) for n in range(N)]
    rows += [("whatsapp", f"+44 7700 {900000 + n}", n) for n in range(0, N, 3)]
    rows += [("email", "shared@example.com", 3), ("email", "shared@example.com", 7)]
    return pl.LazyFrame(rows, schema=["platform", "handle", "customer_id"], orient="row")


def listed(path: Path, **changes: Any) -> Audience:
    asked: dict[str, Any] = {
        "rule": 'segment("worth it")',
        "purpose": "marketing",
        "platform": "google",
        "name": "spring",
        "control": 0.2,
        "now": NOW,
    }
    return build_audience(bundle(path), identities(), **asked | changes)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_who_consents_is_listed_by_hashed_addresses_and_a_part_is_held_out(tmp_path: Path) -> None:
    made = listed(tmp_path)
    assert {name: made.counts[name] for name in ("kept", "without_consent", "unreachable")} == {
        "kept": 200,
        "without_consent": 100,
        "unreachable": 0,
    }
    held = made.assignments.filter(pl.col("arm") == "control")["customer_id"].to_list()
    assert len(held) == made.counts["held_out"] == 100 - made.counts["listed"]
    assert 10 <= len(held) <= 30
    assert made.assignments["assigned_at"].unique().to_list() == ["2026-03-01T07:00:00+00:00"]
    told = set(made.addresses["Email"].drop_nulls())
    reached = [n for n in range(3, N, 4) if n not in held]
    assert told == {sha(f"c{n}@example.com") for n in reached}
    numbers = set(made.addresses["Phone"].drop_nulls())
    assert numbers == {sha(f"+447700{900000 + n}") for n in reached if n % 3 == 0}
    assert "customer_id" not in made.addresses.columns


def test_each_platform_has_its_form_and_the_control_group_stays(tmp_path: Path) -> None:
    google, meta, linkedin = (listed(tmp_path, platform=p) for p in ("google", "meta", "linkedin"))
    assert google.assignments.equals(meta.assignments)
    assert meta.addresses.columns == ["email", "phone"]
    some = next(n for n in range(3, N, 12) if n in listed_ids(meta))
    assert sha(f"447700{900000 + some}") in meta.addresses["phone"].to_list()
    assert linkedin.addresses.columns == ["email"]
    other = listed(tmp_path, name="autumn")
    assert not other.assignments["arm"].equals(google.assignments["arm"])
    assert listed(tmp_path, control=0.0).counts["held_out"] == 0


def listed_ids(made: Audience) -> list[int]:
    return made.assignments.filter(pl.col("arm") == "audience")["customer_id"].to_list()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"platform": "gogle"}, ConfigError, 'did you mean "google"'),
        ({"control": 1.0}, ConfigError, "a share from 0 up to 1"),
        ({"purpose": "research"}, FilterError, 'nobody was asked for consent to "research"'),
        ({"rule": "gt(value,5)"}, DataError, "none of 0 customers has an address"),
        ({"rule": 'segment("none")'}, ConfigError, "segment"),
    ],
)
def test_what_cannot_be_listed_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        listed(tmp_path, **changes)
