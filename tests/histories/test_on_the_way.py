"""Channels that customers meet on the way to a purchase are told from channels that make them buy."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from histories.on_the_way import on_the_way
from histories.reactions import recent_purchases

N, DAYS = 300, 300
START, END = datetime(2025, 1, 1), date(2025, 10, 27)
CHANNELS = ("coupons", "mail", "campaign", "rare")


def events(flags: np.ndarray, hour: float, channel: str | None = None) -> pl.DataFrame:
    customer, day = np.nonzero(flags)
    at = [START + timedelta(days=int(d), hours=hour) for d in day]
    frame = pl.DataFrame({"customer_id": customer, "timestamp": at})
    return frame if channel is None else frame.with_columns(channel=pl.lit(channel))


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """Coupons looked up by those about to buy; mails that raise purchases by a half for three days, and a
    campaign to all on the same day that trebles them."""
    rng = np.random.default_rng(1)
    mail, campaign = rng.random((N, DAYS)) < 0.02, np.zeros((N, DAYS), dtype=bool)
    campaign[:, 20::45] = True
    after_mail, after_campaign = (
        sum(np.roll(touched, k, axis=1) for k in range(3)) > 0 for touched in (mail, campaign)
    )
    bought = rng.random((N, DAYS)) < 0.03 * np.where(after_mail, 1.5, 1.0) * np.where(
        after_campaign, 3.0, 1.0
    )
    bought[:, 0] = True
    coupons = bought & (rng.random((N, DAYS)) < 0.4)
    rare = np.zeros((N, DAYS), dtype=bool)
    rare[:5] = coupons[:5]
    touches = pl.concat(
        [
            events(flags, hour, name)
            for name, hour, flags in zip(
                CHANNELS, (17.0, 9.0, 9.0, 17.0), (coupons, mail, campaign, rare), strict=True
            )
        ]
    )
    recent = recent_purchases(
        touches.lazy(), events(bought, 18.0).lazy(), channels=CHANNELS, observation_end=END
    )
    return on_the_way(recent, CHANNELS)


def test_a_channel_that_belongs_to_a_purchase_is_met_on_the_way(found: dict[str, str]) -> None:
    assert "coupons" in found
    assert "on the way to a purchase" in found["coupons"]


def test_a_channel_that_makes_customers_buy_is_not_and_neither_is_what_goes_out_to_all(
    found: dict[str, str],
) -> None:
    assert "mail" not in found
    assert "campaign" not in found


def test_few_touches_say_nothing(found: dict[str, str]) -> None:
    assert "rare" not in found
