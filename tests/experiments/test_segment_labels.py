"""A segment is the same customers, under the same name, in every table."""

from __future__ import annotations

import polars as pl
import pytest

from attribution.effects.data.units import segment_labels as labels_of_effects
from attribution.effects.estimators.segments import segment_masks
from experiments.parts.segments import segment_labels
from histories.errors import ConfigError

CUSTOMERS = pl.DataFrame(
    {
        "customer_id": range(40),
        "region": ["north", "south", None, "north"] * 10,
        "tier": [1.0, 2.0, 3.0, None] * 10,
        "age": [float(n) for n in range(40)],
    }
)


@pytest.mark.parametrize("column", ["region", "tier", "age"])
def test_credits_and_effects_cut_a_column_alike(column: str) -> None:
    of_credits = segment_labels(CUSTOMERS, column)
    assert of_credits["label"].to_list() == labels_of_effects(CUSTOMERS, column).tolist()


def test_a_number_with_few_values_is_a_class_and_one_with_many_is_cut_at_its_quartiles() -> None:
    assert set(segment_labels(CUSTOMERS, "tier")["label"]) == {"1", "2", "3", "unknown"}
    counted = segment_labels(CUSTOMERS, "age").group_by("label").len()
    assert counted["len"].to_list() == [10, 10, 10, 10]


def test_a_segment_is_named_by_column_and_value() -> None:
    names = [name for name, _ in segment_masks("region", labels_of_effects(CUSTOMERS, "region"))]
    assert sorted(names) == ["region: north", "region: south", "region: unknown"]


def test_the_identity_of_customers_is_no_segment() -> None:
    with pytest.raises(ConfigError, match="many customers share"):
        segment_labels(CUSTOMERS, "customer_id")
