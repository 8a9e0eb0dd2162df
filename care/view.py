"""The matters of a desk as arrays, of which any part can be looked at: all, a channel, a week, an agent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from care.journeys import Journeys
from care.settings import CareSettings, Promise
from care.waits import Curve
from histories.arrays import Flags, Float

Clock = Literal["calendar", "business"]
Coded = tuple[list[str], NDArray[np.signedinteger]]

_NUMBERS: Final = (
    "needs_reply", "answered", "first_open", "first_known", "first_business_known", "resolved",
    "resolution_known", "from_desk", "waiting", "reopened", "escalated", "returned", "window_closed",
    "first_seconds", "first_business_seconds", "resolution_seconds", "resolution_business_seconds",
    "tool_seconds", "tool_business_seconds", "age_seconds", "age_business_seconds", "waiting_seconds",
    "turns", "contacts", "replies", "stations", "channel_changes", "handling_seconds", "audience",
    "csat", "nps", "ces", "sentiment_first", "sentiment_last",
)  # fmt: skip
_PRESENT: Final = ("repeat_of", "redirected_at", "joined_at", "abandoned_at", "team", "first_team")


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Everything that service figures are computed from.

    Attributes
    ----------
    journeys
        Matters and their waits.
    settings
        What was promised, and the days that count.
    columns
        Columns that some table gave.
    zone
        Zone of local days and hours.
    groups
        Group of each channel; a channel without an entry is its own.
    values
        customer_id, customer_lifetime_value (currency); None where customers were not valued.
    purchases
        customer_id, at (instant) of purchases; None where none were given.
    costs
        channel, day, cost (currency): the costs table spread over its days; None without one.
    hours
        agent, team, hours (paid), all of the observation; None without the table.
    gain
        What an answer adds to the retention of who waits, as a share; None where no effect says so.
    gain_minutes, gain_clock
        Within which a first answer has to come for that, and on which clock; None: any answer.
    care_touches, proactive_touches
        Care touchpoints, and those of them that the company began; None where nobody says.
    """

    journeys: Journeys
    settings: CareSettings
    columns: frozenset[str]
    zone: str = "UTC"
    groups: Mapping[str, str] = field(default_factory=dict)
    values: pl.DataFrame | None = None
    purchases: pl.DataFrame | None = None
    costs: pl.DataFrame | None = None
    hours: pl.DataFrame | None = None
    gain: float | None = None
    gain_minutes: float | None = None
    gain_clock: Clock = "calendar"
    care_touches: int | None = None
    proactive_touches: int | None = None

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The matters, with their local week, month, day and hour, group and customer's value."""
        local = pl.col("waiting_since").dt.convert_time_zone(self.zone)
        rows = self.journeys.journeys.with_columns(
            local.dt.strftime("%G-W%V").alias("week"),
            local.dt.strftime("%Y-%m").alias("month"),
            local.dt.strftime("%Y-%m-%d").alias("day"),
            local.dt.strftime("%a %H").alias("hour"),
            pl.col("channel")
            .replace_strict(dict(self.groups), default=pl.col("channel"))
            .alias("channel_group")
            if self.groups
            else pl.col("channel").alias("channel_group"),
        ).sort("waiting_since", "journey_id")
        if self.values is not None and "customer_id" in rows.columns:
            return rows.join(self.values, on="customer_id", how="left", maintain_order="left")
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias("customer_lifetime_value"))

    @property
    def height(self) -> int:
        """Number of matters."""
        return self.frame.height

    def column(self, name: str) -> pl.Series:
        """A column of the matters."""
        return self.frame[name]

    def rows(self, *names: str) -> pl.DataFrame:
        """Some columns of the matters."""
        return self.frame.select(names)

    @cached_property
    def _coded(self) -> dict[str, Coded]:
        return {}

    def coded(self, name: str) -> Coded:
        """A column of words as its words, sorted, and the place of each matter's among them; -1 for none."""
        if name not in self._coded:
            column = self.column(name)
            words = column.drop_nulls().unique().sort().to_list()
            narrow = pl.Int16() if len(words) < 2**15 else pl.Int32()
            places = column.cast(pl.Enum(words)).to_physical().cast(narrow).fill_null(-1).to_numpy()
            self._coded[name] = words, places
        return self._coded[name]

    def among(self, name: str, words: Collection[str]) -> Flags:
        """Which matters have one of these words in a column."""
        known, places = self.coded(name)
        return np.isin(places, [place for place, word in enumerate(known) if word in words])

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Columns as numbers: flags are 0 and 1, absent values NaN; `customer` numbers the customers."""
        frame = self.frame
        found: dict[str, NDArray[Any]] = {
            name: frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in _NUMBERS
        }
        found |= {f"has_{name}": frame[name].is_not_null().to_numpy() for name in _PRESENT}
        found["value"] = frame["customer_lifetime_value"].fill_null(float("nan")).to_numpy()
        found["customer"] = frame["key"].rank("dense").cast(pl.Int64).to_numpy()
        found["known_customer"] = frame["key"].str.starts_with("customer:").to_numpy()
        moved = (frame["joined_at"] - frame["redirected_at"]).dt.total_seconds() / 60.0
        found["redirection_minutes"] = moved.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        found["misrouted"] = (
            (frame["team"] != frame["first_team"]).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        )
        found["bought"] = self._bought()
        found["row"] = np.arange(frame.height)
        return found

    def _bought(self) -> Float:
        """Whether the customer bought within the sales days; NaN where nobody can know."""
        frame = self.frame
        if self.purchases is None or "customer_id" not in frame.columns:
            return np.full(frame.height, np.nan)
        span = pl.duration(days=self.settings.sales_days)
        at = pl.col("at").cast(frame.schema["waiting_since"])
        bought = self.purchases.select("customer_id", at).drop_nulls().sort("at")
        joined = (
            frame.with_row_index("row")
            .select("row", "customer_id", "waiting_since")
            .sort("waiting_since")
            .join_asof(
                bought,
                left_on="waiting_since",
                right_on="at",
                by="customer_id",
                strategy="forward",
                check_sortedness=False,
            )
            .sort("row")
            .with_columns((pl.col("at") < pl.col("waiting_since") + span).alias("bought"))
        )
        over = pl.col("waiting_since") + span <= pl.lit(self.journeys.end)
        can = pl.col("customer_id").is_not_null() & over
        known = pl.when(can).then(pl.col("bought").fill_null(False).cast(pl.Float64))
        return joined.select(known.fill_null(float("nan")).alias("bought"))["bought"].to_numpy()

    @cached_property
    def spent(self) -> dict[str, tuple[NDArray[np.datetime64], Float]]:
        """Days and costs of each channel whose cost is known."""
        parts = {} if self.costs is None else self.costs.partition_by("channel", as_dict=True)
        return {
            str(name): (part["day"].to_numpy(), part["cost"].to_numpy()) for (name,), part in parts.items()
        }

    @cached_property
    def wait_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Waits after the first: `row` of their matter, lengths in seconds, and whether they ended."""
        places = self.frame.select("journey_id", "needs_reply").with_row_index("row")
        waits = self.journeys.waits.join(places.filter("needs_reply"), on="journey_id")
        return {
            "row": waits["row"].cast(pl.Int64).to_numpy(),
            "seconds": waits["seconds"].cast(pl.Float64).to_numpy(),
            "business_seconds": waits["business_seconds"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
            "ended": waits["ended"].to_numpy(),
        }

    def view(self, rows: Flags | None = None, **cut: str) -> View:
        """Some of the matters; all without `rows`. `cut` names what they are, e.g. channel="twitter"."""
        chosen = np.ones(self.height, dtype=bool) if rows is None else rows
        return View(desk=self, chosen=chosen, cut=cut)


@dataclass(frozen=True, kw_only=True)
class View:
    """Some matters of a desk.

    Attributes
    ----------
    chosen
        Which of the desk's matters, shape (n_matters,).
    cut
        What they have in common, by name; empty for all.
    """

    desk: Desk
    chosen: Flags
    cut: Mapping[str, str]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.desk.arrays[name][self.chosen]

    @property
    def settings(self) -> CareSettings:
        """The settings of the desk."""
        return self.desk.settings

    @cached_property
    def needs(self) -> Flags:
        """Matters that need a reply."""
        return np.asarray(self["needs_reply"] == 1.0)

    @property
    def applicable(self) -> int:
        """How many there are of them."""
        return int(self.needs.sum())

    @cached_property
    def waits(self) -> dict[str, NDArray[Any]]:
        """Waits after the first of these matters."""
        arrays = self.desk.wait_arrays
        mine = self.chosen[arrays["row"]]
        return {name: values[mine] for name, values in arrays.items()}

    @cached_property
    def curves(self) -> dict[tuple[str, Clock], Curve]:
        """Curves of waits that are made already, by what they are of and clock: quantiles share them."""
        return {}

    def first_wait(self, clock: Clock) -> tuple[Float, Flags, Flags]:
        """Seconds to the first human reply, whether it came, and whether both are known; all matters."""
        infix = "_business" if clock == "business" else ""
        seconds = self[f"first{infix}_seconds"]
        known = self.needs & (self[f"first{infix}_known"] == 1.0) & ~np.isnan(seconds)
        return seconds, self["first_open"] == 0.0, known

    def resolution(self, clock: Clock) -> tuple[Float, Flags, Flags]:
        """Seconds to the resolution, whether it came, and whether both are known; all matters.

        Only the desk's own table can say what is resolved.
        """
        infix = "_business" if clock == "business" else ""
        seconds = self[f"resolution{infix}_seconds"]
        resolved = self["resolved"] == 1.0
        usable = ~np.isnan(seconds) if infix else self["resolution_known"] == 1.0
        return seconds, resolved, self.needs & usable & (self["from_desk"] == 1.0)

    def covered(self, promise: Promise) -> View:
        """Those of the matters for which a promise holds."""
        desk, chosen = self.desk, self.chosen
        if promise.channel is not None:
            chosen = chosen & desk.among("channel", [promise.channel])
        if promise.group is not None:
            chosen = chosen & desk.among("channel_group", [promise.group])
        if promise.since is not None:
            since = promise.since.isoformat()
            chosen = chosen & desk.among("day", [day for day in desk.coded("day")[0] if day >= since])
        return View(desk=self.desk, chosen=chosen, cut=self.cut)

    def days(self) -> tuple[dt.date, dt.date]:
        """First and last day that these matters may lie in."""
        days, _ = self.desk.coded("day")
        last = (self.desk.journeys.end - dt.timedelta(seconds=1)).date()
        first = dt.date.fromisoformat(days[0]) if days else last
        if "month" in self.cut:
            start = dt.date.fromisoformat(f"{self.cut['month']}-01")
            after = (start + dt.timedelta(days=31)).replace(day=1)
            return max(first, start), min(last, after - dt.timedelta(days=1))
        if "week" in self.cut:
            year, week = self.cut["week"].split("-W")
            start = dt.date.fromisocalendar(int(year), int(week), 1)
            return max(first, start), min(last, start + dt.timedelta(days=6))
        return first, last
