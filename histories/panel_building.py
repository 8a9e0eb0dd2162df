"""build_panel: histories to the panel of one row per customer and period.

Months and quarters are calendar periods up to the last whole one, weeks end with `observation_end`. A
customer's rows start in the period of `acquired_at`, else of the first sign of the customer; touches before
it are not counted, nor is anything after `ended_at`. What passes through one channel on one day is one touch:
the five messages of a conversation are no five conversations, and no customer came five times as likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Moments
from histories.confounders import Columns, read_confounders
from histories.dated_by_month import DAYS_ARE_KNOWN, DatedByMonth, dated_by_month
from histories.errors import ConfigError, DataError
from histories.exits import elapsed_share, entry_shares, exit_shares, within_contracts
from histories.panel import TICKS, Panel, join_panels
from histories.period_index import PeriodIndex
from histories.periods import wall_time
from histories.renewals import Renewal, months_of
from histories.terms import Term

EVENT = ("customer_id", "timestamp")
PARTS = 64
"""Parts of a period by which the moments of touches are counted."""
COMING = timedelta(days=30)
"""Time up to the day of arrival whose touches tell how a customer came."""
FEWEST = 0.05
"""Share of customers who came through a channel, and who did not, from which they are told apart."""
MINOR_UNITS = 10_000
"""Money in frames is counted in 1/10,000 of the currency."""


def build_panel(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    customers: pl.LazyFrame | None = None,
    *,
    period: str = "month",
    observation_end: date,
    channels: Sequence[str],
    origins: Mapping[str, str | None],
    groups: Mapping[str, str],
    confounders: Sequence[str] = (),
    contractual: bool,
    cases: pl.LazyFrame | None = None,
    stops: Sequence[str] = (),
    renewal: Renewal | None = None,
    term: Term | None = None,
) -> Panel:
    """Count, per customer and period, treatments by channel, own acts, problems, purchases and spend.

    Parameters
    ----------
    touchpoints, purchases
        As `build_touchpoints` and `build_purchases` leave them.
    customers
        One row per customer: `acquired_at`, `ended_at` and confounders, where known.
    period
        "week", "month" or "quarter".
    observation_end
        Last day observed; a month or quarter that it cuts short is left out, with a note.
    channels
        Channels to be credited, in this order; touches of others are counted as own acts only.
    origins, groups
        Who acts in each channel, and the group it belongs to; a channel without a group is its own.
    confounders, cases
        Columns of `customers` or `cases`. Text becomes indicators. Satisfaction scales and numeric columns of
        cases (mean over the customer's cases) become proxies. Each case is a problem of its customer, once
        with the contacts that belong to it.
    contractual
        Whether `ended_at` tells who left.
    stops
        Channels of the firm whose touches stop with the customer: they count among the acts.
    renewal
        Days on which customers leave, each his own (`renewals.find_renewal`); None: on any.
    term
        Months after which they may leave (`terms.find_term`); None: after any.

    Raises
    ------
    ConfigError
        For an unknown period or confounder, or a contractual company without `ended_at`.
    DataError
        If there is no customer or no period.
    """
    start = first_period(touchpoints, purchases, period=period, observation_end=observation_end)
    part = build_panel_part(
        touchpoints,
        purchases,
        customers,
        start=start,
        period=period,
        observation_end=observation_end,
        channels=channels,
        origins=origins,
        groups=groups,
        contractual=contractual,
        cases=cases,
        stops=stops,
        renewal=renewal,
        term=term,
        dated=dated_by_month(
            touchpoints, purchases, own=[c for c, who in origins.items() if who == "customer"]
        ),
    )
    return finish_panel(part, touchpoints, customers, confounders=confounders, cases=cases)


def first_period(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, *, period: str, observation_end: date
) -> int:
    """Number of the first period with a touch or a purchase; the last whole one is -1.

    Raises
    ------
    DataError
        If there is no period.
    """
    index = PeriodIndex.of(period, observation_end)
    firsts = [frame.select(index.number("timestamp").min().alias("t")) for frame in (touchpoints, purchases)]
    first = pl.concat(firsts).select(pl.col("t").min()).collect().item()
    if first is None or first > -1:
        raise DataError(
            f"panel: no purchase and no touchpoint up to {index.end}, the end of the last whole {period}, so "
            "there is no period."
        )
    return int(first)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPart:
    """The panel of some customers, without what depends on all of them: confounders, shares of answers.

    Attributes
    ----------
    panel
        Its covariates tell through which channels the customers came.
    late
        Touches and purchases after the end of a contract.
    """

    panel: Panel
    late: tuple[int, int]


def join_parts(parts: Sequence[PanelPart]) -> PanelPart:
    """One part of the customers of several, one after the other."""
    touches, purchases = (sum(part.late[i] for part in parts) for i in (0, 1))
    return PanelPart(panel=join_panels([part.panel for part in parts]), late=(touches, purchases))


def build_panel_part(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    customers: pl.LazyFrame | None = None,
    *,
    start: int,
    period: str,
    observation_end: date,
    channels: Sequence[str],
    origins: Mapping[str, str | None],
    groups: Mapping[str, str],
    contractual: bool,
    cases: pl.LazyFrame | None = None,
    stops: Sequence[str] = (),
    renewal: Renewal | None = None,
    term: Term | None = None,
    dated: DatedByMonth = DAYS_ARE_KNOWN,
) -> PanelPart:
    """Count for the complete customers of these rows, from the period `start` on; see `build_panel`.

    What is `dated` by the month alone counts as often as it is there, and tells no moments.
    """
    index = PeriodIndex.of(period, observation_end)
    ids = _customer_ids(touchpoints, purchases, customers)
    coded = _Coder(ids=ids, index=index, start=start, shape=(ids.height, -start))
    entry, exit_ = _spans(coded, touchpoints, purchases, customers, contractual=contractual)
    apart = _apart(touchpoints, cases)
    came = _came_through(coded, touchpoints, customers, channels)
    late = (0, 0)
    if exit_ is not None and customers is not None:
        inside = [within_contracts(frame, customers) for frame in (touchpoints, purchases, apart)]
        late = _late(touchpoints, inside[0], purchases, inside[1])
        touchpoints, purchases, apart = inside
    bought = _purchase_arrays(coded, purchases)
    touches, touch_share = _touch_arrays(coded, touchpoints, channels, dated=dated)
    telling = _own_act() | (pl.col("treatment") & pl.col("channel").is_in(list(stops)))
    untold = apart.with_columns(channel=pl.lit(None, pl.String))
    acts = pl.concat([touchpoints.filter(telling).select(*EVENT, "channel"), untold])
    last = None if contractual or dated.any else _last_signs(coded, acts, purchases)
    arrived = _entry_share(coded, customers)
    days = _renewal_days(coded, customers, renewal)
    terms = _term_columns(coded, customers, term)
    panel = Panel(
        channels=tuple(channels),
        groups=tuple(groups.get(name, name) for name in channels),
        origins=tuple(origins.get(name) for name in channels),
        touches=touches,
        touch_share=None if dated.any else touch_share,
        own_acts=coded.days(acts, dated),
        problems=coded.counts(pl.concat([_contacts(touchpoints), apart])),
        spend=bought["amount"],
        purchases=bought["purchases"],
        margin=bought.get("margin"),
        acquisition=_first_spend(coded, purchases, customers),
        entry=entry,
        exit=exit_,
        exit_share=_exit_share(coded, exit_, customers),
        entry_share=arrived,
        renewal_share=None if days is None else _share_at(coded, days),
        before_renewal=None
        if days is None
        else _touch_arrays(coded, touchpoints, channels, dated=dated, until=days)[0],
        touch_moments=None
        if dated.channels
        else _touch_moments(coded, touchpoints, channels, entry, exit_, arrived),
        last_moment=None if last is None else last[0],
        last_is_purchase=None if last is None else last[1],
        covariates=came,
        covariate_names=tuple(f"came through {name}" for name in channels),
        proxies=np.zeros((ids.height, 0)),
        proxy_names=(),
        time_covariates=terms,
        time_covariate_names=() if terms is None or term is None else term.names,
        customer_ids=ids["customer_id"],
        stops=tuple(stops),
        notes=tuple(
            words
            for words in (index.words, term.words if term else "", dated.words if dated.any else "")
            if words
        ),
    )
    return PanelPart(panel=_within_rows(panel), late=late)


def finish_panel(
    part: PanelPart,
    touchpoints: pl.LazyFrame,
    customers: pl.LazyFrame | None = None,
    *,
    confounders: Sequence[str] = (),
    cases: pl.LazyFrame | None = None,
) -> Panel:
    """The panel of all customers, with what depends on all of them.

    Raises
    ------
    ConfigError
        For an unknown confounder.
    """
    panel, (touches, bought) = part.panel, part.late
    assert panel.customer_ids is not None
    ids = panel.customer_ids.to_frame("customer_id")
    covariates, proxies = read_confounders(ids, customers, cases, confounders)
    through = _told_apart(panel)
    if panel.contractual and customers is not None:
        touchpoints = within_contracts(touchpoints, customers)
    return replace(
        panel,
        covariates=np.column_stack([covariates.values, through.values]),
        covariate_names=(*covariates.names, *through.names),
        proxies=proxies.values,
        proxy_names=proxies.names,
        answered=_answered_shares(touchpoints, panel.channels),
        notes=(*panel.notes, *([_late_words(touches, bought)] if touches or bought else [])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coder:
    """Turns rows of histories into positions (customer, period) of the panel's arrays."""

    ids: pl.DataFrame
    index: PeriodIndex
    start: int
    shape: tuple[int, int]

    def place(
        self, frame: pl.LazyFrame, *, time: str = "timestamp", keep: Sequence[str] = ()
    ) -> pl.LazyFrame:
        t = (self.index.number(time) - self.start).alias("t")
        placed = frame.select("customer_id", t, *keep).filter(pl.col("t").is_between(0, self.shape[1] - 1))
        return placed.join(self.ids.lazy(), on="customer_id", how="inner")

    def counts(self, frame: pl.LazyFrame) -> NDArray[np.float64]:
        return self._summed(self.place(frame).with_columns(n=1))

    def days(self, frame: pl.LazyFrame, dated: DatedByMonth) -> NDArray[np.float64]:
        """Days with a row, those of each channel by themselves; rows where they are dated by the month."""
        placed = self.place(frame.with_columns(day=_day()), keep=["channel", "day"])
        return self._summed(placed.group_by("i", "t", "channel").agg(_days_of(dated)))

    def _summed(self, placed: pl.LazyFrame) -> NDArray[np.float64]:
        rows = placed.group_by("i", "t").agg(pl.col("n").sum()).collect()
        out = np.zeros(self.shape)
        out[rows["i"].to_numpy(), rows["t"].to_numpy()] = rows["n"].to_numpy()
        return out


def _day() -> pl.Expr:
    return pl.col("timestamp").dt.date()


def _days_of(dated: DatedByMonth) -> pl.Expr:
    """Days of a channel's rows; their number where they are dated by the month alone."""
    days, channel = pl.col("day").n_unique(), pl.col("channel").cast(pl.String).first()
    coarse = channel.is_in(list(dated.channels)).fill_null(value=False)
    return (pl.when(coarse).then(pl.len()).otherwise(days) if dated.channels else days).alias("n")


def _customer_ids(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, customers: pl.LazyFrame | None
) -> pl.DataFrame:
    frames = [touchpoints, purchases] if customers is None else [customers, purchases, touchpoints]
    ids = pl.concat([frame.select("customer_id") for frame in frames], how="vertical")
    return (
        ids.drop_nulls()
        .unique()
        .sort("customer_id")
        .collect()
        .with_row_index("i")
        .with_columns(pl.col("i").cast(pl.Int64))
    )


def _spans(
    coded: _Coder,
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    customers: pl.LazyFrame | None,
    *,
    contractual: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    n, p = coded.shape
    columns = () if customers is None else customers.collect_schema().names()
    if contractual and "ended_at" not in columns:
        raise ConfigError(
            "customers: a contractual company needs the column ended_at (empty for those still there)."
        )
    seen = pl.concat([coded.place(frame).select("i", "t") for frame in (touchpoints, purchases)])
    first = seen.group_by("i").agg(pl.col("t").min()).collect()
    entry = np.full(n, 0 if contractual else p - 1, dtype=np.int64)
    entry[first["i"].to_numpy()] = first["t"].to_numpy()
    exit_ = np.full(n, p, dtype=np.int64)
    if customers is not None and "acquired_at" in columns:
        rows = _periods_of(coded, customers, "acquired_at")
        entry[rows["i"].to_numpy()] = np.clip(rows["t"].to_numpy(), 0, p)
    if customers is not None and contractual:
        rows = _periods_of(coded, customers, "ended_at")
        exit_[rows["i"].to_numpy()] = np.minimum(rows["t"].to_numpy(), p)
    return entry, exit_ if contractual else None


def _exit_share(
    coded: _Coder, exit_: NDArray[np.int64] | None, customers: pl.LazyFrame | None
) -> NDArray[np.float64] | None:
    """Share of the period of leaving that was lived through, shape (N,); None where all left at its end."""
    if exit_ is None or customers is None:
        return None
    ended = customers.filter(pl.col("ended_at").is_not_null()).join(coded.ids.lazy(), on="customer_id")
    rows = ended.select("i", "ended_at").collect()
    lived = exit_shares(rows["ended_at"], period=coded.index.period, observation_end=coded.index.end)
    share = np.ones(coded.shape[0])
    share[rows["i"].to_numpy()] = lived.to_numpy()
    share[exit_ >= coded.shape[1]] = 1.0
    return share if share.min() < 1.0 else None


def _entry_share(coded: _Coder, customers: pl.LazyFrame | None) -> NDArray[np.float64] | None:
    """Share of the first period that a customer was there for, shape (N,); None where it is 1 for all."""
    if customers is None or "acquired_at" not in customers.collect_schema().names():
        return None
    known = customers.filter(pl.col("acquired_at").is_not_null())
    arrived = coded.place(known, time="acquired_at", keep=["acquired_at"]).collect()
    share = np.ones(coded.shape[0])
    there = entry_shares(arrived["acquired_at"], period=coded.index.period, observation_end=coded.index.end)
    share[arrived["i"].to_numpy()] = there.to_numpy()
    return share if share.min() < 1.0 else None


def _last_signs(
    coded: _Coder, acts: pl.LazyFrame, purchases: pl.LazyFrame
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Share of each period that had passed at its last own act or purchase, and whether it was a purchase."""
    share = _passed(coded)
    found = []
    for frame in (acts, purchases):
        placed = coded.place(frame.select(*EVENT).with_columns(share=share), keep=["share"])
        rows = placed.group_by("i", "t").agg(pl.col("share").max()).collect()
        moments = np.full(coded.shape, -1.0, dtype=np.float32)
        moments[rows["i"].to_numpy(), rows["t"].to_numpy()] = rows["share"].to_numpy()
        found.append(moments)
    acted, bought = found
    return np.maximum(np.maximum(acted, bought), 0.0), bought > acted


def _periods_of(coded: _Coder, customers: pl.LazyFrame, column: str) -> pl.DataFrame:
    t = (coded.index.number(column) - coded.start).alias("t")
    known = customers.filter(pl.col(column).is_not_null()).select("customer_id", t)
    return known.join(coded.ids.lazy(), on="customer_id").select("i", "t").collect()


def _own_act() -> pl.Expr:
    return (pl.col("origin") == "customer").fill_null(value=False) & ~pl.col("view")


def _contacts(touchpoints: pl.LazyFrame) -> pl.LazyFrame:
    """The first contact of each care case; without case ids, of each day with one of the customer's own."""
    contacts = touchpoints.filter(_own_act() & (pl.col("kind") == "care"))
    if "case_id" not in touchpoints.collect_schema().names():
        return _first_of_day(contacts)
    first = contacts.group_by("customer_id", "case_id").agg(pl.col("timestamp").min())
    return pl.concat(
        [
            _first_of_day(contacts.filter(pl.col("case_id").is_null())),
            first.filter(pl.col("case_id").is_not_null()).select(*EVENT),
        ]
    )


def _first_of_day(contacts: pl.LazyFrame) -> pl.LazyFrame:
    return contacts.group_by("customer_id", _day().alias("day")).agg(pl.col("timestamp").min()).select(*EVENT)


def _apart(touchpoints: pl.LazyFrame, cases: pl.LazyFrame | None) -> pl.LazyFrame:
    """Cases that no contact of the customer's own stands for, by their id or else on the same day."""
    contacts = touchpoints.filter(_own_act())
    named = cases.collect_schema().names() if cases is not None else []
    if cases is None or not {"case_id", "customer_id", "opened_at"} <= set(named):
        return contacts.select(*EVENT).clear()
    opened = cases.select("case_id", "customer_id", pl.col("opened_at").alias("timestamp")).drop_nulls()
    day = pl.col("timestamp").dt.date().alias("day")
    if "case_id" in touchpoints.collect_schema().names():
        opened = opened.join(contacts.select("case_id"), on="case_id", how="anti")
        contacts = contacts.filter(pl.col("case_id").is_null())
    days = contacts.filter(pl.col("kind") == "care").select("customer_id", day)
    apart = opened.with_columns(day).join(days, on=["customer_id", "day"], how="anti")
    return apart.select("customer_id", pl.col("timestamp").cast(contacts.collect_schema()["timestamp"]))


def _late(*frames: pl.LazyFrame) -> tuple[int, int]:
    """How many touches and purchases came after the end of a contract, from both before and after cutting."""
    touches, inside, purchases, paid = (frame.select(pl.len()).collect().item() for frame in frames)
    return touches - inside, purchases - paid


def _late_words(touches: int, purchases: int) -> str:
    return (
        f"{touches:,} touches and {purchases:,} purchases after the end of their contract do not count in "
        "incremental credit"
    )


def _answered_shares(touchpoints: pl.LazyFrame, channels: Sequence[str]) -> tuple[float | None, ...]:
    """Of the customers' own care contacts in each channel, the share whose case was answered."""
    contacts = touchpoints.filter(_own_act() & (pl.col("kind") == "care"))
    shares = contacts.group_by("channel").agg(pl.col("treatment").mean()).collect()
    by_channel = dict(zip(shares["channel"], shares["treatment"], strict=True))
    return tuple(by_channel.get(name) for name in channels)


def _renewal_days(
    coded: _Coder, customers: pl.LazyFrame | None, renewal: Renewal | None
) -> NDArray[np.int64] | None:
    """Day of each month, from 0, of the customer's own renewal, -1 without one, shape (N, P)."""
    if renewal is None or customers is None or coded.index.period != "month":
        return None
    return renewal.days(_arrivals(coded, customers), months_of(coded.shape[1], coded.index.end))


def _term_columns(
    coded: _Coder, customers: pl.LazyFrame | None, term: Term | None
) -> NDArray[np.float64] | None:
    """How far each month is from the end of the customer's term, shape (N, P, K)."""
    if term is None or customers is None or coded.index.period != "month":
        return None
    return term.columns(_arrivals(coded, customers), months_of(coded.shape[1], coded.index.end))


def _arrivals(coded: _Coder, customers: pl.LazyFrame) -> Moments:
    """First day of each customer, NaT where unknown, shape (N,)."""
    first = pl.col("acquired_at").cast(pl.Date)
    rows = customers.select("customer_id", first).join(coded.ids.lazy(), on="customer_id").collect()
    arrived: Moments = np.full(coded.shape[0], np.datetime64("NaT", "D"))
    arrived[rows["i"].to_numpy()] = rows["acquired_at"].to_numpy()
    return arrived


def _came_through(
    coded: _Coder, touchpoints: pl.LazyFrame, customers: pl.LazyFrame | None, channels: Sequence[str]
) -> NDArray[np.float32]:
    """1 where a customer had a touch of the channel when he came, shape (N, C); 0 where no arrival is known.

    Members whom a community brought in stay longer than those whom an advertisement did, whatever is said to
    them later: a touch of the day of arrival, or shortly before it, tells who came before it does anything.
    """
    out = np.zeros((coded.shape[0], len(channels)), dtype=np.float32)
    if customers is None or "acquired_at" not in customers.collect_schema().names():
        return out
    arrived = customers.select("customer_id", pl.col("acquired_at").cast(pl.Date).alias("arrived"))
    near = touchpoints.join(arrived, on="customer_id").join(coded.ids.lazy(), on="customer_id")
    came = near.filter(_day().is_between(pl.col("arrived") - COMING, "arrived")).select("i", "channel")
    rows = came.unique().collect().join(_codes(channels), on="channel")
    out[rows["i"].to_numpy(), rows["c"].to_numpy()] = 1.0
    return out


def _told_apart(panel: Panel) -> Columns:
    """Those of the channels through which neither too few nor nearly all came."""
    share = np.asarray(panel.covariates).sum(axis=0) / max(panel.n_customers, 1)
    kept = np.flatnonzero((share >= FEWEST) & (share <= 1.0 - FEWEST))
    return Columns(
        values=np.asarray(panel.covariates[:, kept], dtype=np.float64),
        names=tuple(panel.covariate_names[k] for k in kept),
    )


def _share_at(coded: _Coder, days: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share of the month that has passed at the end of these days, 0 where there is none."""
    months = months_of(coded.shape[1], coded.index.end)
    length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    return np.asarray((days + 1) / length, dtype=np.float32)


def _touch_arrays(
    coded: _Coder,
    touchpoints: pl.LazyFrame,
    channels: Sequence[str],
    *,
    dated: DatedByMonth,
    until: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Days with a touch by customer, period and channel, and the mean share of the period passed at them.

    With `until` those of the days of the month up to it.
    """
    treated = coded.place(
        touchpoints.filter(pl.col("treatment")).with_columns(day=_day(), share=_passed(coded)),
        keep=["channel", "day", "share"],
    )
    if until is not None:
        here = treated.collect()
        treated = here.filter((here["day"].dt.day() - 1).to_numpy() <= until[here["i"], here["t"]]).lazy()
    ticks = (pl.col("share").mean().clip(0.0, 1.0) * TICKS).round().cast(pl.UInt8)
    counted = treated.group_by("i", "t", "channel").agg(_days_of(dated), ticks.alias("ticks")).collect()
    rows = counted.join(_codes(channels), on="channel")
    touches = np.zeros((*coded.shape, len(channels)), dtype=np.float32)
    share = np.zeros(touches.shape, dtype=np.uint8)
    where = rows["i"].to_numpy(), rows["t"].to_numpy(), rows["c"].to_numpy()
    touches[where], share[where] = rows["n"].to_numpy(), rows["ticks"].to_numpy()
    return touches, share


def _passed(coded: _Coder) -> pl.Expr:
    """Share of its period that had passed at each event."""
    return elapsed_share(
        pl.col("timestamp").dt.date(),
        wall_time("timestamp"),
        period=coded.index.period,
        observation_end=coded.index.end,
    )


def _codes(channels: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"channel": list(channels), "c": range(len(channels))}, schema={"channel": pl.String, "c": pl.Int64}
    )


def _touch_moments(
    coded: _Coder,
    touchpoints: pl.LazyFrame,
    channels: Sequence[str],
    entry: NDArray[np.int64],
    exit_: NDArray[np.int64] | None,
    arrived: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Touches of those who were there for the whole of a period, by the part of it, shape (P, C, PARTS)."""
    n, periods = coded.shape
    share = _passed(coded)
    from_start = entry if arrived is None else np.where(arrived < 1.0, entry + 1, entry)
    until = np.full(n, periods) if exit_ is None else exit_
    spans = pl.LazyFrame({"i": np.arange(n), "from_start": from_start, "until": until})
    treated = touchpoints.filter(pl.col("treatment")).with_columns(share=share)
    part = (pl.col("share") * PARTS).floor().clip(0, PARTS - 1).cast(pl.Int64).alias("part")
    placed = coded.place(treated, keep=["channel", "share"]).join(spans, on="i")
    there = placed.filter(pl.col("t").is_between("from_start", "until", closed="left"))
    rows = there.group_by("t", "channel", part).agg(pl.len().alias("n")).collect()
    rows = rows.join(_codes(channels), on="channel")
    out = np.zeros((periods, len(channels), PARTS))
    out[rows["t"].to_numpy(), rows["c"].to_numpy(), rows["part"].to_numpy()] = rows["n"].to_numpy()
    return out


def _purchase_arrays(coded: _Coder, purchases: pl.LazyFrame) -> dict[str, NDArray[np.float64]]:
    money = [name for name in ("amount", "margin") if name in purchases.collect_schema().names()]
    sums = [pl.col(name).sum() for name in money]
    known = [pl.col("margin").is_not_null().all().alias("known")] if "margin" in money else []
    placed = coded.place(purchases, keep=money)
    rows = placed.group_by("i", "t").agg(pl.len().alias("purchases"), *sums, *known).collect()
    if known and not rows["known"].all():
        money.remove("margin")
    where = rows["i"].to_numpy(), rows["t"].to_numpy()
    arrays = {name: np.zeros(coded.shape) for name in ("purchases", *money)}
    arrays["purchases"][where] = rows["purchases"].to_numpy()
    for name in money:
        arrays[name][where] = rows[name].to_numpy() / MINOR_UNITS
    return arrays


def _first_spend(
    coded: _Coder, purchases: pl.LazyFrame, customers: pl.LazyFrame | None
) -> NDArray[np.float64]:
    """Spend of each customer's first purchase where it falls into the period of arrival, shape (N,)."""
    amount = (pl.col("amount").sort_by("timestamp").first() / MINOR_UNITS).alias("amount")
    firsts = purchases.group_by("customer_id").agg(pl.col("timestamp").min(), amount)
    rows = coded.place(firsts, keep=["amount"])
    if customers is not None and "acquired_at" in customers.collect_schema().names():
        t = (coded.index.number("acquired_at") - coded.start).alias("arrived")
        arrivals = customers.select("customer_id", t)
        rows = rows.join(arrivals, on="customer_id", how="left")
        rows = rows.filter(pl.col("arrived").is_null() | (pl.col("arrived") == pl.col("t")))
    found = rows.select("i", "amount").collect()
    out = np.zeros(coded.shape[0])
    out[found["i"].to_numpy()] = found["amount"].to_numpy()
    return out


def _within_rows(panel: Panel) -> Panel:
    """Only customers with a row, and nothing outside their rows."""
    panel = panel.take(np.flatnonzero(panel.entry <= panel.last))
    outside = ~panel.at_risk
    series = (
        panel.touches,
        panel.own_acts,
        panel.problems,
        panel.spend,
        panel.purchases,
        panel.margin,
        panel.last_moment,
        panel.last_is_purchase,
        panel.renewal_share,
        panel.before_renewal,
        panel.touch_share,
    )
    for array in series:
        if array is not None:
            array[outside] = 0
    return panel
