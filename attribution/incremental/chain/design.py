"""What the chain reads of a panel: streams of events, what their rates follow, and which months are possible.

Log-linear predictors of leaving and of each stream::

    leaving             a + x_i + calendar_t + stocks, problems, changing covariates, arrival, tenure, buying
    purchases, spend    the same without the last two, and touches of the month itself
    acts                a + x_i + calendar_t + problems, changing covariates, arrival, trend, firm,
                        purchases of the month before and of this one, acts of the same kind the month before
    problems            a + x_i + calendar_t + changing covariates, arrival

Leaving recorded: the calendar is an effect per period, every channel's touches are streams, and spend is one.
Leaving silent: purchases and the customer's own acts are streams, what the firm sends is exposure only, and
the calendar is a season and a trend of acts, because an effect per period can hardly be told from leaving;
of purchases it is one if the likelihood calls for it. Where touches follow what customers do in the same
month (a question after an order, an offer to those who bought), effects on purchases are told from touches of
earlier months: acts then follow the month's purchases, and what the firm sends has columns of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.emissions import AMOUNT, COUNT, FLAG
from attribution.incremental.chain.leaving import AFTER_ACT, AFTER_PURCHASE, UNKNOWN
from attribution.incremental.chain.standard import Standard
from attribution.incremental.chain.worth import is_billed
from attribution.incremental.stocks import (
    Timing,
    decayed_stocks,
    earlier_stocks,
    kept_stocks,
    moment_precision,
    new_stocks,
    stocks_at,
    ticks_of,
)
from attribution.incremental.targeting import UsualTouches
from histories.arrays import Flags, Float, Integer, Real
from histories.panel import Panel, last_true

ZERO_SHARE = 0.05
"""Share of customer-periods without spend, months of leaving apart, above which spend is purchases at a mean
value. Below it such months have no amount: who leaves before the month's bill does not spend less."""
LOWEST_SPEND = 0.02
"""Spend below this share of the mean, but above 0, counts as so much: one cent is no sign of a mean."""
SEASON_FROM = 18
"""Periods from which a season can be told from a trend."""
YEAR = 12
AT_LEAVING = 12
"""Moments of leaving at which stocks are taken within a period."""
NODES = 3
"""Gauss-Legendre nodes that stand for the moments of leaving."""
LATEST = 0.99
"""A last sign later than this share of its period counts as so late: nobody leaves within nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What one predictor is linear in."""

    static: Float
    """A constant, then covariates, shape (N, K)."""
    calendar: Float
    """Columns of the calendar, shape (P, G)."""
    cells: Float
    """Columns of customer and period, channel stocks first where there are any, shape (N, P, R)."""

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return int(self.static.shape[1] + self.calendar.shape[1] + self.cells.shape[2])

    def rows(self, rows: slice) -> Columns:
        """Those of some customers."""
        return replace(self, static=self.static[rows], cells=self.cells[rows])

    def predict(self, coefficients: Float) -> Float:
        """The linear predictor, shape (N, P)."""
        k, g = self.static.shape[1], self.calendar.shape[1]
        value: Float = (self.static @ coefficients[:k])[:, None] + self.calendar @ coefficients[k : k + g]
        return value + self.cells @ coefficients[k + g :]

    def scores(self, slopes: Float) -> Float:
        """Slope by the coefficients for each customer, from that by the predictor, shape (N, size)."""
        return np.concatenate(
            [
                slopes.sum(axis=1, keepdims=True) * self.static,
                slopes @ self.calendar,
                np.matmul(slopes[:, None, :], self.cells)[:, 0],
            ],
            axis=1,
        )


BY_CUSTOMER = (
    "values",
    "offset",
    "leaving_offset",
    "entry",
    "end",
    "low",
    "high",
    "stays",
    "last_sign",
    "sign",
    "on_leaving",
    "proxies",
)
"""Arrays of the inputs with customers first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainInputs:
    """Arrays of N customers, P periods and M streams; nothing here depends on a parameter."""

    channels: int
    """Number of channels C, whose stocks come first among the cells of leaving and of purchases. In purchases
    what touches of the month itself add to them comes next."""
    acting: Flags
    """Channels whose touches are a stream, shape (C,)."""
    targeted: int
    """Channels of the firm, for each of which there is a column of what a customer gets as a rule."""
    reacting: Flags
    """Streams of acts that may follow purchases of the month, shape (M - 1,)."""
    ordered: bool
    """Whether the order of events tells which do; else the likelihood says whether all do or none."""
    leaving: Columns
    columns: tuple[Columns, ...]
    """Of each stream, length M."""
    kinds: Integer
    """Kind of each stream, shape (M,)."""
    own: NDArray[np.bool_]
    """Whether each stream is acts of the customer's own, shape (M,)."""
    values: Float
    """What was seen, shape (N, P, M)."""
    offset: Float
    """Log of the share of the period lived through, shape (N, P)."""
    leaving_offset: Float
    """The same of the first period alone: whoever leaves within a period was at risk until then, (N, P)."""
    entry: Integer
    end: Integer
    """First and last period with a row, shape (N,)."""
    low: Integer
    high: Integer
    """First and last period in which the customer may have left, shape (N,)."""
    stays: NDArray[np.bool_]
    """Whether the customer may be there still, shape (N,)."""
    moments: Float
    """Nodes and weights that stand for the moments of leaving within a period, shape (K, 2); none: all leave
    at the end of one."""
    last_sign: Float
    """Share of the customer's part of period `low` that had passed at the last sign of life, and events of
    that period whose moments are not known, shape (N, 2)."""
    sign: Float
    """What that sign was (see `leaving`), shape (N,)."""
    on_leaving: Float
    """Channel stocks of who leaves in a period less those of who stays, shape (N, P, C); 0 before `low`."""
    proxies: Float
    """Standardised proxies, NaN where missing, shape (N, J)."""
    precision: Float | None
    """What unseen moments of leaving add to the precision of effects on leaving, shape (C,)."""

    def rows(self, rows: slice) -> ChainInputs:
        """Those of some customers."""
        return replace(
            self,
            leaving=self.leaving.rows(rows),
            columns=tuple(columns.rows(rows) for columns in self.columns),
            **{name: getattr(self, name)[rows] for name in BY_CUSTOMER},
        )

    @property
    def new_stocks(self) -> Float:
        """What touches of each month add to the channel stocks, shape (N, P, C)."""
        return self.columns[0].cells[:, :, self.channels : 2 * self.channels]

    @property
    def billed(self) -> bool:
        """Whether spend is a bill, of which the chain is told nothing (see `ChainDesign.billed`)."""
        return not self.values[:, :, 0].any()

    @property
    def silent(self) -> bool:
        """Whether nobody records who leaves."""
        return bool((self.stays & (self.low <= self.high)).any())

    @property
    def n_customers(self) -> int:
        """Number of customers N."""
        return int(self.values.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainDesign:
    """How a panel becomes inputs; fixed by the customers a model was fitted to."""

    contractual: bool
    covariates: Standard
    changing: Standard | None
    proxies: Standard
    acting: tuple[bool, ...]
    """Channels whose touches are a stream, length C."""
    other_acts: bool
    """Whether the customer's own acts that were no treatment are a stream."""
    problems: bool
    """Whether problems are recorded."""
    staggered: bool
    """Whether customers enter in different periods."""
    enters_by_purchase: bool
    """Whether every customer enters with a purchase; that one is then no event."""
    amounts: bool
    """Whether spend is a stream of amounts, instead of purchases."""
    billed: bool
    """Whether spend is a bill, the same month after month: it is then no stream, and touches change what a
    bill is worth (`chain.worth`)."""
    mean_spend: float
    """Of a period with a row, or of a purchase where purchases are the stream, in currency."""
    harmonics: int
    """Sine and cosine pairs of the year; without recorded leaving."""
    periods: int
    """Periods that have effects of their own."""
    decay: float
    """Share of the stock of problems left after a period."""
    decays: tuple[float, ...]
    """The same of each channel's stock, length C."""
    by_day: Timing
    """Whether these are by the day of touches."""
    usual: UsualTouches
    """How often the firm's channels reach a customer as a rule; of none where leaving is recorded."""

    @staticmethod
    def learn(
        panel: Panel, *, decay: float, decays: tuple[float, ...] = (), by_day: Timing = False
    ) -> ChainDesign:
        """Read from a panel which columns and streams exist; without `decays` all channels have `decay`."""
        rows = np.arange(panel.n_customers)
        acting = np.ones(panel.n_channels, dtype=bool)
        if not panel.contractual:
            acting = panel.tells_life
        acting &= (np.asarray(panel.touches).sum(axis=(0, 1)) > 0) & ~panel.announcing
        there = panel.at_risk
        amounts = panel.contractual and _share_without_spend(panel) <= ZERO_SHARE
        changing = None
        if panel.time_covariates is not None and panel.time_covariates.shape[2]:
            changing = Standard.learn(panel.time_covariates[there])
        return ChainDesign(
            contractual=panel.contractual,
            covariates=Standard.learn(_lasting(panel)),
            changing=changing,
            proxies=Standard.learn(panel.proxies),
            acting=tuple(acting.tolist()),
            other_acts=not panel.contractual and bool(other_acts(panel).sum() > 0),
            problems=bool(panel.problems.any()),
            staggered=bool(np.ptp(panel.entry) > 0),
            enters_by_purchase=bool((panel.purchases[rows, panel.entry] > 0).all()),
            amounts=amounts,
            billed=amounts and is_billed(panel),
            mean_spend=float(
                panel.spend[there].mean() if amounts else panel.spend.sum() / max(panel.purchases.sum(), 1.0)
            ),
            periods=panel.n_periods,
            harmonics=int(panel.n_periods >= SEASON_FROM),
            decay=decay,
            decays=decays or (decay,) * panel.n_channels,
            by_day=by_day,
            usual=UsualTouches.learn(panel),
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the M streams: purchases or spend, acts, problems."""
        return (
            "spend" if self.amounts else "purchases",
            *(f"channel {k}" for k, acts in enumerate(self.acting) if acts),
            *(("other acts",) if self.other_acts else ()),
            *(("problems",) if self.problems and self.contractual else ()),
        )

    def inputs(self, panel: Panel, stocks: Real) -> ChainInputs:
        """The model's arrays for these customers; `stocks` are decayed, shape (N, P, C)."""
        n, periods = panel.spend.shape
        static = np.column_stack([np.ones(n), self.covariates.filled(_lasting(panel))])
        calendar = self._calendar(periods)
        context = self._context(panel)
        felt = earlier_stocks(panel, stocks, decay=np.array(self.decays), by_day=self.by_day)
        rows = np.tile(np.arange(periods), n)
        new = self.new_stocks(panel, panel.touches, ticks_of(panel, by_day=self.by_day), rows)
        rest = np.concatenate([*self._troubles(panel), context], axis=2)
        usual = self.usual.of(panel)
        cells = [felt, usual, rest, *self._tenure(panel), *self._bought_at_all(panel)]
        leaving = Columns(static=static, calendar=calendar, cells=np.concatenate(cells, axis=2))
        arrived = [_arrival_month(panel)] if self.staggered and not self.contractual else []
        months = np.eye(periods, self.periods)
        buying = Columns(
            static=static,
            calendar=calendar if self.contractual else np.column_stack([months, calendar]),
            cells=np.concatenate([felt, new, np.log(usual), rest, *arrived], axis=2),
        )
        acting = Columns(static=static, calendar=calendar, cells=self._habits(panel, context))
        signs = (panel.purchases > 0) | (panel.own_acts > 0)
        seen = last_true(signs, none=0)
        columns, kinds, own, values = (
            [buying],
            [AMOUNT if self.amounts else COUNT],
            [False],
            [self._bought(panel)],
        )
        for k in np.flatnonzero(self.acting):
            columns.append(self._after_own(acting, panel.touches[:, :, k]))
            kinds.append(COUNT)
            own.append(panel.origins[k] == "customer")
            values.append(np.asarray(panel.touches[:, :, k], dtype=np.float64))
        if self.other_acts:
            columns.append(self._after_own(acting, other_acts(panel)))
            kinds.append(COUNT)
            own.append(True)
            values.append(other_acts(panel))
        if self.problems and self.contractual:
            columns.append(Columns(static=static, calendar=calendar, cells=context))
            kinds.append(FLAG)
            own.append(False)
            values.append((np.asarray(panel.problems) > 0).astype(np.float64))
        exit_ = panel.exit
        last = np.maximum(seen, panel.entry)
        moments, last_sign = _moments(panel, last)
        return ChainInputs(
            channels=panel.n_channels,
            acting=np.array(self.acting),
            targeted=usual.shape[2],
            reacting=self._reacting(panel),
            ordered=self._ordered(panel),
            leaving=leaving,
            columns=tuple(columns),
            kinds=np.array(kinds, dtype=np.int64),
            own=np.array(own),
            values=np.ascontiguousarray(np.stack(values, axis=2), dtype=np.float64),
            offset=np.log(np.where(panel.at_risk, panel.exposure, 1.0)),
            leaving_offset=_arrival(panel),
            entry=np.asarray(panel.entry, dtype=np.int64),
            end=np.asarray(panel.last, dtype=np.int64),
            low=np.asarray(last if exit_ is None else exit_, dtype=np.int64),
            high=np.asarray(
                panel.last if exit_ is None else np.where(exit_ < periods, exit_, -1), dtype=np.int64
            ),
            stays=np.ones(n, dtype=bool) if exit_ is None else np.asarray(exit_ >= periods),
            moments=moments,
            last_sign=last_sign,
            sign=_last_sign(panel, last),
            on_leaving=self.on_leaving(panel, stocks, last, last_sign),
            proxies=np.ascontiguousarray(self.proxies.scaled(panel.proxies)),
            precision=moment_precision(panel, decay=np.array(self.decays), by_day=self.by_day),
        )

    def new_stocks(
        self, panel: Panel, touches: Real, ticks: NDArray[np.uint8] | None, periods: int | Integer
    ) -> Float:
        """What touches of a period add to stocks, of the shape of the touches, (..., C); see `new_stocks`."""
        flat = (-1, panel.n_channels)
        ticks = None if ticks is None else ticks.reshape(flat)
        decay = np.array(self.decays)
        new = new_stocks(panel, touches.reshape(flat), periods, decay=decay, by_day=self.by_day, ticks=ticks)
        return new.reshape(touches.shape)

    def on_leaving(self, panel: Panel, stocks: Real, last: Integer, last_sign: Float) -> Float:
        """Stocks of who leaves in a period less those of who stays, from the last sign on, shape (N, P, C).

        The mean over the moments of leaving, each as likely as it is that no other sign came before it: who
        shows many would soon have given one. Those are early moments, when more of a stock is left. Where the
        moments of signs are not known, as likely as that so many came until then.
        """
        whole = (panel.n_customers, panel.n_periods, panel.n_channels)
        if panel.contractual or not panel.at_any_moment:
            return np.broadcast_to(0.0, whole)
        rows, decay = np.arange(panel.n_customers), np.array(self.decays)
        seen = np.asarray(panel.touches[rows, last], dtype=np.float64)
        ticks = ticks_of(panel, by_day=self.by_day)
        then = None if ticks is None else ticks[rows, last]
        stays, new = np.asarray(stocks[rows, last]), self.new_stocks(panel, seen, then, last)
        kept = kept_stocks(panel, np.ones(panel.n_channels), decay=decay, by_day=self.by_day)
        sign, events, rate = last_sign[:, :1], last_sign[:, 1:], _signs_per_period(panel, last)[:, None]
        later = _left_at_leaving(decay, rate, np.ones_like(sign), np.zeros_like(sign)) / kept - 1.0
        silent = np.arange(panel.n_periods) > last[:, None]
        found = (silent[:, :, None] * stocks) * later[:, None, :]
        after = _left_at_leaving(decay, rate, 1.0 - sign, events)
        left = (stays - new) / kept * decay**sign * after
        left += stocks_at(panel, seen, sign, after=after, decay=decay, by_day=self.by_day, ticks=then)
        found[rows, last] = left - stays
        return found * (panel.tells_life & ~panel.late & ~panel.announcing)

    def _ordered(self, panel: Panel) -> bool:
        return panel.reacts is not None and not self.contractual

    def _reacting(self, panel: Panel) -> Flags:
        """Streams of acts that may follow purchases; all where the order of events is not known."""
        known = np.ones(panel.n_channels, dtype=bool)
        if panel.reacts is not None:
            known = np.isin(panel.channels, panel.reacts)
        rest = np.full(self.other_acts + (self.problems and self.contractual), not self.contractual)
        return np.concatenate([known[np.array(self.acting)], rest])

    def _bought(self, panel: Panel) -> Float:
        if self.billed:
            return np.zeros(panel.spend.shape)
        if self.amounts:
            spend = np.asarray(panel.spend, dtype=np.float64)
            return np.where(spend > 0.0, np.maximum(spend, LOWEST_SPEND * self.mean_spend), 0.0)
        purchases = np.array(panel.purchases, dtype=np.float64)
        if self.enters_by_purchase and not self.contractual:
            purchases[np.arange(panel.n_customers), panel.entry] -= 1.0
        return purchases

    def _calendar(self, periods: int) -> Float:
        if self.contractual:
            return np.eye(periods, self.periods)[:, 1:]
        angle = 2 * np.pi * np.arange(periods)[:, None] / YEAR * np.arange(1, self.harmonics + 1)
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)

    def _troubles(self, panel: Panel) -> list[Float]:
        """Problems as a cause: a flag where leaving is recorded, else a stock."""
        if not self.problems:
            return []
        problems = np.asarray(panel.problems)[:, :, None]
        if self.contractual:
            return [(problems > 0).astype(np.float64)]
        return [decayed_stocks(problems, decay=self.decay).astype(np.float64)]

    def _context(self, panel: Panel) -> Float:
        """Changing covariates, and time since arrival where leaving is recorded, shape (N, P, R)."""
        n, periods = panel.spend.shape
        blocks = [np.zeros((n, periods, 0))]
        if self.changing is not None and panel.time_covariates is not None:
            blocks.append(self.changing.filled(panel.time_covariates))
        if self.staggered and self.contractual:
            age = np.arange(periods) - panel.entry[:, None]
            blocks.append(np.stack([age == 0, np.log1p(np.maximum(age, 0))], axis=2).astype(np.float64))
        return np.concatenate(blocks, axis=2)

    def _tenure(self, panel: Panel) -> list[Float]:
        """Whether this is a customer's first month, and how many there were, where leaving is silent.

        Those apt to leave have left early, many after one purchase, and the first month may be a part of one
        or not. Stocks of what the firm sends grow in a customer's first months, and would have the credit.
        """
        if self.contractual:
            return []
        age = np.arange(panel.n_periods) - panel.entry[:, None]
        return [_arrival_month(panel), np.log1p(np.maximum(age, 0))[:, :, None].astype(np.float64)]

    def _bought_at_all(self, panel: Panel) -> list[Float]:
        """Whether there was a purchase in the month, where leaving is silent: some leave after one.

        A channel that follows purchases is used by those who stayed, and would have the credit for it.
        """
        return [] if self.contractual else [(self._bought(panel) > 0)[:, :, None].astype(np.float64)]

    def _after_own(self, acting: Columns, acts: Real) -> Columns:
        """Columns of a stream of acts where leaving is silent: acts like it of the month before come first.

        One question leads to another. Without them bursts are taken for satisfaction that comes and goes, and
        what follows a burst is no effect of it.
        """
        if self.contractual:
            return acting
        before = _month_before(np.log1p(np.asarray(acts, dtype=np.float64)))
        return replace(acting, cells=np.concatenate([before[:, :, None], acting.cells], axis=2))

    def _habits(self, panel: Panel, context: Float) -> Float:
        """What acts follow beyond static columns and calendar; purchases before and now come first.

        The month of arrival is another: the purchase that a customer came with may have led to no act.
        They follow what the firm sends in the same month and the one before, not its stock: the decay of a
        firm's letters to those who look around would be that of looking around.
        """
        n, periods = panel.spend.shape
        if self.contractual:
            return np.concatenate([*self._troubles(panel), context], axis=2)
        trend = np.broadcast_to((np.arange(periods) / YEAR)[None, :, None], (n, periods, 1))
        bought = np.log1p(np.asarray(panel.purchases, dtype=np.float64))
        blocks = [np.stack([_month_before(bought), bought], axis=2), trend, context]
        if self.staggered or self.enters_by_purchase:
            blocks.append(_arrival_month(panel))
        firm = panel.by_firm
        if firm.any():
            sent = np.log1p(np.asarray(panel.touches, dtype=np.float64)[:, :, firm].sum(axis=2))
            blocks.append(np.stack([_month_before(sent), sent], axis=2))
        return np.concatenate(blocks, axis=2)


def _lasting(panel: Panel) -> Float:
    """What stays as it is: covariates, and when the customer came, shape (N, R + 1).

    Who comes later is another kind of customer, as a rule: he acts less, say, and leaves sooner.
    """
    return np.column_stack([panel.covariates, panel.entry]).astype(np.float64)


def _month_before(values: Float) -> Float:
    """What each month's predecessor had, 0 for the first, shape (N, P)."""
    before = np.zeros_like(values)
    before[:, 1:] = values[:, :-1]
    return before


def _arrival_month(panel: Panel) -> Float:
    """1 in the first period of each customer, shape (N, P, 1)."""
    first: Float = (np.arange(panel.n_periods) == panel.entry[:, None])[:, :, None].astype(np.float64)
    return first


def _share_without_spend(panel: Panel) -> float:
    """Of customer-periods in which nobody left."""
    rows = np.array(panel.at_risk)
    if panel.exit is not None:
        left = np.flatnonzero(panel.exit < panel.n_periods)
        rows[left, panel.exit[left]] = False
    return float((panel.spend[rows] <= 0).mean()) if rows.any() else 1.0


def _arrival(panel: Panel) -> Float:
    """Log of the share of its first period that each customer was there for, 0 in all others."""
    offset = np.zeros((panel.n_customers, panel.n_periods))
    if panel.entry_share is not None:
        offset[np.arange(panel.n_customers), panel.entry] = np.log(panel.entry_share)
    return offset


def _moments(panel: Panel, last: Integer) -> tuple[Float, Float]:
    """Moments of leaving, and what is known of the last sign."""
    n = panel.n_customers
    if panel.contractual or not panel.at_any_moment:
        return np.zeros((0, 2)), np.zeros((n, 2))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    rows = np.arange(n)
    known, untimed = np.zeros(n), np.asarray(panel.own_acts + panel.purchases, dtype=np.float64)[rows, last]
    if panel.last_moment is not None:
        known, untimed = np.asarray(panel.last_moment[rows, last], dtype=np.float64), np.zeros(n)
    share = np.ones(n)
    if panel.entry_share is not None:
        share = np.where(last == panel.entry, panel.entry_share, 1.0)
    known = np.clip((known - (1.0 - share)) / share, 0.0, LATEST)
    return 0.5 * np.column_stack([nodes + 1.0, weights]), np.column_stack([known, untimed])


def _signs_per_period(panel: Panel, last: Integer) -> Float:
    """Acts and purchases that each customer shows in a period, drawn towards the mean by one, shape (N,)."""
    signs = np.asarray(panel.own_acts + panel.purchases, dtype=np.float64).sum(axis=1)
    periods = np.maximum(last - panel.entry, 0) + 1.0
    return np.asarray((signs + signs.sum() / periods.sum()) / (periods + 1.0))


def _left_at_leaving(decay: Float, rate: Float, span: Float, events: Float) -> Float:
    """Mean share of a stock that is left at leaving, within a part of a period that no sign closes, (N, C).

    Parameters
    ----------
    decay
        Of each channel, shape (C,).
    rate, span, events
        Signs in a period, the part, and signs within it of which the moments are not known, each (N, 1).
    """
    nodes, weights = np.polynomial.legendre.leggauss(AT_LEAVING)
    total, left = np.zeros_like(span), np.zeros((len(span), len(decay)))
    for x, weight in zip(0.5 * (nodes + 1.0), weights, strict=True):
        likely = weight * x**events * np.exp(-rate * span * x)
        total += likely
        left += likely * decay ** (span * x)
    return left / total


def _last_sign(panel: Panel, last: Integer) -> Float:
    """Whether the last sign of life was a purchase, where moments of leaving matter and are known, (N,)."""
    if panel.contractual or not panel.at_any_moment or panel.last_is_purchase is None:
        return np.full(panel.n_customers, UNKNOWN)
    return np.where(panel.last_is_purchase[np.arange(panel.n_customers), last], AFTER_PURCHASE, AFTER_ACT)


def other_acts(panel: Panel) -> Float:
    """Acts of the customer's own that were no treatment, or announce a purchase, shape (N, P)."""
    treating = panel.tells_life & ~panel.announcing
    treated = np.asarray(panel.touches, dtype=np.float64)[:, :, treating].sum(axis=2)
    rest: Float = np.maximum(np.asarray(panel.own_acts, dtype=np.float64) - treated, 0.0)
    return rest
