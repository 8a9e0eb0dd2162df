"""The catalogue is whole, and the reference page says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from care.catalogue import CATALOGUE, Kpi, headline_order
from experiments.config import parse_config
from histories.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "care.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kpi", CATALOGUE, ids=lambda kpi: kpi.name)
def test_the_page_tells_what_the_figure_is(kpi: Kpi) -> None:
    needs = ", ".join(need.replace("|", " or ") for need in kpi.needs)
    row = (
        f"| `{kpi.name}` | {kpi.group} | {kpi.sentence} | {kpi.formula} | {kpi.unit} | "
        f"{kpi.direction or '–'} | {kpi.interval} | {needs} |"
    )
    assert row in PAGE


def test_names_differ_and_the_headline_is_of_them() -> None:
    names = [kpi.name for kpi in CATALOGUE]
    assert len(set(names)) == len(names)
    headline = set(headline_order("satisfaction"))
    assert headline - {"return"} <= set(names)
    assert len(headline) == 8
    assert set(headline_order("cost")) == headline


@pytest.mark.parametrize(
    ("care", "message"),
    [
        ({"hours": {"zone": "Mars/Olympus"}}, "time zone name such as Europe/London"),
        ({"promises": [{"name": "a", "kpi": "happiness", "within_minutes": 5}]}, "first_response"),
        ({"promises": [{"name": "a", "within_minutes": 5}] * 2}, 'two promises are called "a"'),
        ({"promises": [{"name": "a", "within_minutes": 5, "channel": "x", "group": "y"}]}, "not both"),
        ({"quiet_day": 3}, "did you mean"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(care: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"care": care})
