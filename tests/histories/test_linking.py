"""Profiles linked to customers by likeness: how many are right, who may be two, what cannot be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from histories.errors import ConfigError, DataError
from histories.linking import Linked, link_profiles
from tributary.cli import cli

pytest.importorskip("splink", reason="needs the extra `identity`")

FIRST = [a + b for a in ("an", "be", "cla", "da", "em", "fe") for b in ("na", "nno", "rika")]
LAST = [
    a + b
    for a in ("schmi", "mey", "web", "fisch", "wag", "beck", "hoff", "koch")
    for b in ("dt", "er", "mann", "berg")
]


def world(
    n: int = 1200, known: int = 200, strangers: int = 150
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """People, profiles of some of them with slips of the pen and of strangers, and who each profile is."""
    rng = np.random.default_rng(1)

    def persons(count: int) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "name": [f"{rng.choice(FIRST)} {rng.choice(LAST)}" for _ in range(count)],
                "city": rng.choice([f"city{k}" for k in range(40)], count),
                "born": rng.integers(1950, 2005, count),
            }
        )

    people = persons(n).with_columns(customer_id=pl.int_range(pl.len(), dtype=pl.Int64))
    who = rng.choice(n, known, replace=False)
    own = people[who].with_columns(
        name=pl.Series(
            [
                name[:3] + name[4] + name[3] + name[5:] if rng.random() < 0.2 else name
                for name in people[who]["name"]
            ]
        ),
        born=pl.when(pl.Series(rng.random(known) < 0.1)).then(None).otherwise("born"),
    )
    others = persons(strangers).with_columns(customer_id=pl.lit(None, dtype=pl.Int64))
    whole = pl.concat([own, others.select(own.columns)]).with_columns(
        platform=pl.lit("forum"), handle=pl.format("u{}", pl.int_range(pl.len()))
    )
    return people, whole.drop("customer_id"), whole.select("handle", true="customer_id")


@pytest.fixture(scope="module")
def found() -> Linked:
    people, profiles, _ = world()
    return link_profiles(people, profiles)


def test_nineteen_links_of_twenty_are_right_and_the_same_each_time(found: Linked) -> None:
    people, profiles, truth = world()
    right = found.links.join(truth, on="handle")
    assert right.height > 80  # of 200; the others agree on too little
    assert (right["customer_id"] == right["true"]).fill_null(False).mean() >= 0.95
    assert right["probability"].min() >= 0.95
    assert found.links.columns == ["platform", "handle", "customer_id", "method", "probability"]
    assert link_profiles(people, profiles).links.equals(found.links)


def test_a_profile_that_two_customers_may_be_is_linked_to_none(found: Linked) -> None:
    people, profiles, _ = world()
    linked = found.links
    twin = people.filter(pl.col("customer_id") == linked["customer_id"][0]).with_columns(
        customer_id=pl.lit(-1, dtype=pl.Int64)
    )
    doubled = link_profiles(pl.concat([people, twin]), profiles)
    assert linked["handle"][0] not in doubled.links["handle"]
    assert doubled.ambiguous > 0


def test_what_is_missing_is_said() -> None:
    people, profiles, _ = world(50, 10, 5)
    with pytest.raises(ConfigError, match=r"1 columns in common \(name\); two or more"):
        link_profiles(people.select("customer_id", "name"), profiles)
    with pytest.raises(ConfigError, match='profiles: there is no column "handle"'):
        link_profiles(people, profiles.drop("handle"))
    with pytest.raises(DataError, match="handle: a value is missing"):
        link_profiles(people, profiles.with_columns(handle=pl.lit(None, dtype=pl.String)))
    with pytest.raises(DataError, match="too little agrees to learn from"):
        link_profiles(people, profiles.with_columns(name=pl.lit("x"), city=pl.lit("y"), born=pl.lit(1)))


def test_the_command_writes_a_table_of_identities(tmp_path: Path) -> None:
    people, profiles, _ = world()
    for name, table in (("people", people), ("profiles", profiles)):
        table.write_csv(tmp_path / f"{name}.csv")
    asked = ["link", str(tmp_path / "people.csv"), str(tmp_path / "profiles.csv")]
    found = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "identities.csv")])
    assert found.exit_code == 0, found.output
    assert "of 350 profiles" in found.output
    assert pl.read_csv(tmp_path / "identities.csv")["method"].unique().to_list() == ["splink"]
