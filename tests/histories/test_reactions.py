"""Which touches follow purchases is told from the order of events."""

from dataclasses import fields
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from histories.reactions import Recent, reactions, recent_purchases

N, DAYS = 400, 360
START, END = datetime(2025, 1, 1), date(2025, 12, 26)
CHANNELS = ("service", "mail", "catalogue", "winback")


@pytest.fixture(scope="module")
def events() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Service days after a purchase, mail at any time, a catalogue after three weeks without one, a last word
    after nine."""
    rng = np.random.default_rng(1)
    bought = rng.random((N, DAYS)) < rng.gamma(2.0, 0.02, (N, 1))
    bought[:, 0] = True
    day = np.arange(DAYS)
    last = np.maximum.accumulate(np.where(bought, day, 0), axis=1)
    since = np.concatenate([np.zeros((N, 1)), (day - last)[:, :-1] + 1], axis=1)
    touched = {
        "service": rng.random((N, DAYS)) < np.where((since >= 1) & (since <= 5), 0.08, 0.01),
        "mail": rng.random((N, DAYS)) < 0.03,
        "catalogue": (since > 21) & (day % 14 == 3),
        "winback": since == 63,
    }
    return pl.concat([_events(flags, 9.0, name) for name, flags in touched.items()]), _events(bought, 12.0)


def _events(flags: np.ndarray, hour: float, channel: str | None = None) -> pl.DataFrame:
    customer, day = np.nonzero(flags)
    at = [START + timedelta(days=int(d), hours=hour) for d in day]
    frame = pl.DataFrame({"customer_id": customer, "timestamp": at})
    return frame if channel is None else frame.with_columns(channel=pl.lit(channel))


def count(events: tuple[pl.DataFrame, pl.DataFrame]) -> Recent:
    """All of them."""
    touches, purchases = (frame.lazy() for frame in events)
    return recent_purchases(touches, purchases, channels=CHANNELS, observation_end=END)


def test_the_order_of_events_tells_which_touches_follow_purchases(events) -> None:
    found = {reading.channel: reading for reading in reactions(count(events), CHANNELS)}
    assert {name: reading.follows for name, reading in found.items()} == {
        "service": True,
        "mail": False,
        "catalogue": True,
        "winback": True,
    }
    assert found["mail"].ratio == pytest.approx(1.0, abs=0.1)
    assert found["service"].ratio > 1.2
    assert found["catalogue"].ratio == found["winback"].ratio == 0.0
    assert found["winback"].weeks == ("six weeks", "eight")


def test_a_season_of_purchases_and_touches_is_no_reaction(events) -> None:
    rng = np.random.default_rng(2)
    busy = (np.arange(DAYS) > 300) & (np.arange(DAYS) < 330)
    bought = rng.random((N, DAYS)) < np.where(busy, 0.15, 0.03)
    bought[:, 0] = True
    mail = rng.random((N, DAYS)) < np.where((np.arange(DAYS) > 310) & (np.arange(DAYS) < 335), 0.2, 0.01)
    reading = reactions(count((_events(mail, 9.0, "mail"), _events(bought, 12.0))), CHANNELS)[0]
    assert not reading.follows
    assert reading.ratio == pytest.approx(1.0, abs=0.1)


def test_ads_of_a_month_to_whoever_bought_are_read_over_longer_windows(events) -> None:
    rng = np.random.default_rng(3)
    bought = rng.random((2 * N, DAYS)) < rng.gamma(2.0, 0.01, (2 * N, 1))
    bought[:, 0] = True
    last = np.maximum.accumulate(np.where(bought, np.arange(DAYS), 0), axis=1)
    recent = (np.arange(DAYS) - last <= 30) & ~bought
    ads = rng.random((2 * N, DAYS)) < np.where(recent, 0.1, 0.075)
    mail = rng.random((2 * N, DAYS)) < 0.05
    sent = pl.concat([_events(ads, 9.0, "service"), _events(mail, 9.0, "mail")])
    counted = count((sent, _events(bought, 12.0)))

    ads_alone, _ = reactions(counted, CHANNELS)
    assert not ads_alone.follows  # two weeks against the four before
    ads_read, mail_read = reactions(counted, CHANNELS, firm=CHANNELS)
    assert ads_read.follows
    assert ads_read.weeks == ("four weeks", "four")
    assert not mail_read.follows


def test_counts_of_some_customers_add_up_to_those_of_all(events) -> None:
    touches, purchases = events
    parts = [
        count(
            (touches.filter(pl.col("customer_id") % 3 == k), purchases.filter(pl.col("customer_id") % 3 == k))
        )
        for k in range(3)
    ]
    together, whole = parts[0] + parts[1] + parts[2], count(events)
    for name in (field.name for field in fields(Recent)):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name))


def test_a_company_with_few_purchases_says_nothing(events) -> None:
    touches, purchases = events
    assert reactions(count((touches.head(3), purchases.head(3))), CHANNELS) == ()


def test_purchases_of_nobody_known_count_for_nothing(events) -> None:
    touches, purchases = events
    guests = purchases.with_columns(customer_id=pl.lit(None, dtype=pl.Int64))
    with_guests = count((touches, pl.concat([purchases, guests])))
    np.testing.assert_array_equal(with_guests.purchases, count(events).purchases)
