"""What a run would refuse, found beforehand: names that no table has, designs that lack their rows.

`tributary check` and `tributary run` both ask here, so that what passes the one is not refused by the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from attribution.credits.rows import RESERVED_CHANNELS
from attribution.effects.data.cases import CASE_OUTCOMES
from attribution.effects.data.covariates import DERIVED
from attribution.effects.data.outcomes import OUTCOMES
from attribution.effects.data.series import METRICS
from attribution.effects.data.unit_table import read_table
from attribution.effects.data.units import columns_of_segments, group_outcomes, read_units
from attribution.effects.design import OF_CASES, EffectDesign
from care.assumptions import KNOWN, SHARES
from care.threads import check_sides, is_customer, sides_by_staff, without_internal
from clv.tables import CUSTOMERS_SCHEMA
from experiments.config import RunConfig
from experiments.consents import latest_consents
from experiments.filters import FilterError, bind_filter
from experiments.parts.care import staff_of
from experiments.parts.profiles import profiles_table, unnamed_kinds
from experiments.segments import named_filters
from histories.errors import ConfigError, DataError, SchemaError, TributaryError, nearest
from histories.reading.channel_cautions import PATH_SEPARATOR, seen_channels
from histories.reading.inputs import Inputs
from histories.reading.plausibility import observed_days
from histories.touchpoints import channels_in_use, require_origins

LONGEST_ID: Final = 255
"""Bytes of a customer id that an address of the service can hold."""

_OF_HISTORIES: Final = ("landmark", "matched_before_after", "dose", "time_varying", "tracked")


def check_run(config: RunConfig, inputs: Inputs) -> None:
    """Refuse a configuration whose names the checked tables do not hold.

    Raises
    ------
    ConfigError
        One line for each name, with the nearest that there is.
    DataError
        When all posts are the brand's, or none is.
    """
    _both_sides_write(inputs)
    problems = [
        *_channels(inputs),
        *_long_ids(inputs),
        *_columns(config, inputs),
        *_promises(config, inputs),
        *_shares(inputs),
        *_segments(config, inputs),
        *(problem for effect in config.effects for problem in _effect(effect, config, inputs)),
    ]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _both_sides_write(inputs: Inputs) -> None:
    """Refuse posts of one side only: then the flag that tells the sides apart is turned round."""
    if "posts" in inputs and {"is_brand", "inbound"} & {*inputs.tables["posts"].columns}:
        check_sides(is_customer(inputs["posts"].collect()))


def _sides(config: RunConfig, inputs: Inputs) -> Iterator[str]:
    """Whose posts are whose, where no column says it."""
    if "posts" not in inputs or {"is_brand", "inbound"} & {*inputs.tables["posts"].columns}:
        return
    tables = (inputs[name] for name in ("posts", "cases", "hours") if name in inputs)
    written, _ = without_internal(inputs["posts"].collect())
    posts, told = sides_by_staff(written, staff_of(config, *tables))
    if told is not None:
        yield told
        return
    try:
        is_customer(posts)
    except DataError as error:
        yield f"A run will leave out what posts say. {error}"


def _promises(config: RunConfig, inputs: Inputs) -> Iterator[str]:
    """Promises in channels or groups that nothing has."""
    channels = {*(_values(inputs, "cases", "channel") or ()), *(_values(inputs, "posts", "platform") or ())}
    if not channels:
        return
    groups = {config.channel_groups.get(name, name) for name in channels}
    for promise in config.care.promises:
        for kind, name, known in (("channel", promise.channel, channels), ("group", promise.group, groups)):
            if name is not None and name not in known:
                yield (
                    f'care.promises "{promise.name}": no case or post has the {kind} "{name}"; '
                    f"{nearest(name, sorted(known))}"
                )


def _shares(inputs: Inputs) -> Iterator[str]:
    """Assumed shares that are none, such as 45 for 45 %."""
    if "assumptions" not in inputs:
        return
    ends = [end for end in ("value", "low", "high") if end in inputs.tables["assumptions"].columns]
    rows = inputs["assumptions"].filter(pl.col("name").is_in(SHARES)).select("name", *ends).collect()
    for name, *values in rows.iter_rows():
        wrong = [value for value in values if value is not None and not 0 <= value <= 1]
        if wrong:
            yield f"assumptions: {name} is {wrong[0]:g}; a share from 0 to 1, .45 for 45 %."


def _segments(config: RunConfig, inputs: Inputs) -> Iterator[str]:
    """Segments whose filters name columns that customers will not have, or compare them with another type."""
    if not config.segments:
        return
    columns: dict[str, pl.DataType] = {**CUSTOMERS_SCHEMA}
    if "customers" in inputs:
        columns |= profiles_table(inputs["customers"].collect()).schema
    if "consents" in inputs:
        columns |= latest_consents(inputs["consents"].collect(), config.purposes).schema
    columns.pop("customer_id")
    named = named_filters([dataclasses.asdict(segment) for segment in config.segments])
    for segment in config.segments:
        try:
            bind_filter(named[segment.name], columns, named)
        except FilterError as error:
            yield f'segments "{segment.name}": {error}'


def foreseen(config: RunConfig, inputs: Inputs) -> tuple[str, ...]:
    """What a run will leave out, as far as the tables show it before anything is computed."""
    found = [*_sides(config, inputs), *_holdout(config, inputs), *_audiences(inputs)]
    for name in _values(inputs, "assumptions", "name") or ():
        if name not in KNOWN:
            found.append(f'assumptions: no figure uses "{name}"; {nearest(name, KNOWN)}')
    outcomes = {"retention", "lifetime_value"} & {*config.attribution.outcomes}
    if "touchpoints" in inputs and "incremental" in config.attribution.methods and outcomes:
        try:
            used, directed = channels_in_use(inputs["touchpoints"])
            require_origins(config.channels, used, directed=directed)
        except ConfigError as error:
            found.append(f"A run will leave out incremental credit. {error}")
    for effect in config.effects:
        if effect.table is not None:
            with contextlib.suppress(TributaryError):  # no such table: `check_run` refuses it
                _, unusable = group_outcomes(effect, config.base_dir)
                found += [
                    f"A run will leave out an outcome. {error}"
                    for error in unusable.values()
                    if not isinstance(error, SchemaError)
                ]
    return tuple(found)


def _holdout(config: RunConfig, inputs: Inputs) -> Iterator[str]:
    """A cut of the data where there are none."""
    days = observed_days(inputs)
    end = config.calibration_end
    if "transactions" in inputs and days and end and not days[0] <= end < days[1]:
        yield (
            f"A run will judge no forecast: calibration_end ({end}) lies outside of the data ({days[0]} to "
            f"{days[1]}). Set a day between, or leave it out."
        )


def _audiences(inputs: Inputs) -> Iterator[str]:
    """Columns of customers that no segment, filter or address can name."""
    lost = unnamed_kinds(inputs["customers"].collect()) if "customers" in inputs else []
    if lost:
        named = ", ".join(f'"{name}"' for name in lost[:3]) + (", ..." if len(lost) > 3 else "")
        yield (
            f"customers: {len(lost)} columns cannot be named in filters and segments ({named}): names there "
            'are of Latin letters, digits, _ and blanks. Name them, e.g. columns = { size = "Größe" }.'
        )


def _values(inputs: Inputs, table: str, column: str) -> list[str] | None:
    """Distinct values of a column; None where the table or the column is absent."""
    if table not in inputs or column not in inputs.tables[table].columns:
        return None
    found = inputs[table].select(pl.col(column).cast(pl.String).drop_nulls().unique().sort()).collect()
    return found[column].to_list()


def _columns_of(inputs: Inputs, *tables: str) -> list[str]:
    return [name for table in tables if table in inputs for name in inputs.tables[table].columns]


def _channels(inputs: Inputs) -> Iterator[str]:
    for table in ("touchpoints", "costs"):
        for name in sorted({*(_values(inputs, table, "channel") or ())} & RESERVED_CHANNELS):
            yield (
                f'{table}: a channel is called "{name}", which the tables of credit use themselves. '
                "Rename it in the table."
            )
    if "paths" in inputs:
        steps = inputs["paths"].select(pl.col("path").str.split(PATH_SEPARATOR)).explode("path").unique()
        for name in sorted({*steps.collect()["path"]} & RESERVED_CHANNELS):
            yield (
                f'paths: a channel is called "{name}", which the tables of credit use themselves. Rename it; '
                "paths hold channels alone, without (start), (conversion) and (null)."
            )


def _long_ids(inputs: Inputs) -> Iterator[str]:
    """Ids that nobody could ask the service for."""
    for name in ("transactions", "touchpoints", "customers"):
        if name in inputs and inputs[name].collect_schema()["customer_id"] == pl.String:
            is_long = pl.col("customer_id").str.len_bytes() > LONGEST_ID
            ids = inputs[name].filter(is_long).select(pl.col("customer_id").n_unique()).collect().item()
            if ids:
                yield (
                    f"{ids} customer ids of {name} are longer than {LONGEST_ID} bytes, which the service "
                    "cannot be asked for. Is it the right column? Shorten them where the table is made."
                )


def _columns(config: RunConfig, inputs: Inputs) -> Iterator[str]:
    """Columns and channels that the configuration names, in the tables that should have them."""
    customers, cases = _columns_of(inputs, "customers"), _columns_of(inputs, "cases")
    named = (
        ("attribution.confounders", config.attribution.confounders, [*customers, *cases]),
        ("attribution.segments", config.attribution.segments, customers),
        ("value.covariates", config.value.covariates, customers),
    )
    if "touchpoints" in inputs and "paths" not in inputs:
        channels = seen_channels(inputs) | set(config.channels)
        yield from _absent(
            config.attribution.exclude_channels, channels, 'attribution.exclude_channels: no channel "{}"'
        )
    calendar = _columns_of(inputs, "calendar")
    yield from _absent(
        config.value.dynamic_covariates, calendar, 'value.dynamic_covariates: no column "{}" in calendar'
    )
    for key, names, columns in named:
        where = "customers or cases" if key == "attribution.confounders" else "customers"
        yield from _absent(names, columns, f'{key}: no column "{{}}" in {where}')


def _absent(names: Iterable[str], there: Iterable[str], sentence: str) -> Iterator[str]:
    """A sentence, with the nearest name, for each name that is not there."""
    known = list(there)
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else "there is no such table, or it is empty."
            yield f"{sentence.format(name)}; {hint}"


def _effect(effect: EffectDesign, config: RunConfig, inputs: Inputs) -> Iterator[str]:
    place = f'effect "{effect.name}": '
    if effect.table is not None:
        yield from _own_table(effect, config)
    elif effect.design == "randomised":
        yield from _assignments(effect, inputs, place)
    if effect.design in ("interrupted_series", "synthetic_control"):
        yield from _change_log(effect, inputs, place)
    if effect.design == "interrupted_series" and effect.table is None:
        yield from _absent(effect.outcomes, METRICS, f'{place}no metric "{{}}" over time')
    if effect.design in OF_CASES:
        yield from _answers(effect, config, inputs, place)
    if effect.design in _OF_HISTORIES or (effect.design == "randomised" and effect.table is None):
        yield from _absent(effect.outcomes, OUTCOMES, f'{place}no outcome "{{}}" of customers')
        known = [*_columns_of(inputs, "customers", "cases"), *DERIVED]
        named = (*effect.covariates, *columns_of_segments(effect.segments))
        yield from _absent(named, known, f'{place}no column "{{}}" in customers or cases')
    if effect.clock == "business":
        yield from _open_hours(config, inputs, place)
    if effect.design in _OF_HISTORIES:
        yield from _contacts(effect, config, inputs, place)


def _own_table(effect: EffectDesign, config: RunConfig) -> Iterator[str]:
    read = read_units if effect.design == "randomised" else read_table
    try:
        usable, unusable = group_outcomes(effect, config.base_dir)
        yield from (str(error) for error in unusable.values() if isinstance(error, SchemaError))
        if usable:
            read(dataclasses.replace(effect, outcomes=sum(usable, ())), config.base_dir)
    except TributaryError as error:
        yield str(error)


def _assignments(effect: EffectDesign, inputs: Inputs, place: str) -> Iterator[str]:
    experiments = _values(inputs, "assignments", "experiment")
    if experiments is None:
        yield f"{place}needs inputs.assignments or a table = {{ path = … }}"
        return
    experiment = effect.treatment.experiment or effect.name
    unknown = list(_absent([experiment], experiments, f'{place}no experiment "{{}}"'))
    yield from unknown
    if not unknown:
        rows = inputs["assignments"].filter(pl.col("experiment") == experiment)
        arms = rows.select(pl.col("arm").unique().sort()).collect()["arm"].to_list()
        wanted = [effect.treatment.control, *(effect.treatment.arms or ())]
        named = [arm for arm in wanted if arm is not None]
        yield from _absent(named, arms, f'{place}no customer in arm "{{}}"')


def _answers(effect: EffectDesign, config: RunConfig, inputs: Inputs, place: str) -> Iterator[str]:
    """What a design on cases needs: cases or posts of known customers, hours where it counts by them."""
    if "cases" not in inputs and "posts" not in inputs:
        yield f"{place}needs inputs.cases or inputs.posts, to know who waited how long"
        return
    if "transactions" not in inputs:
        yield f"{place}needs inputs.transactions, to know who was a customer and what became of it"
    if "customer_id" not in _columns_of(inputs, "cases") and not {"posts", "identities"} <= {*inputs.tables}:
        yield f"{place}no case has a customer: give cases a customer_id, or posts an inputs.identities"
    yield from _absent(effect.outcomes, (*OUTCOMES, *CASE_OUTCOMES), f'{place}no outcome "{{}}" of cases')
    if "csat" in effect.outcomes and "csat" not in _columns_of(inputs, "cases"):
        yield f'{place}outcome "csat" needs a column csat in cases'
    known = [*_columns_of(inputs, "customers", "cases", "posts"), *DERIVED]
    named = (*effect.covariates, *columns_of_segments(effect.segments))
    yield from _absent(named, known, f'{place}no column "{{}}" in customers or cases')
    channels = sorted(
        {*(_values(inputs, "cases", "channel") or ()), *(_values(inputs, "posts", "platform") or ())}
    )
    groups = sorted({config.channel_groups.get(name, name) for name in channels})
    wanted = effect.treatment
    for what, value, there in (("group", wanted.group, groups), ("channel", wanted.channel, channels)):
        if value is not None:
            yield from _absent([value], there, f'{place}no case or post has the {what} "{{}}"')


def _open_hours(config: RunConfig, inputs: Inputs, place: str) -> Iterator[str]:
    timed = {"clock", "first_response_minutes"} <= {*_columns_of(inputs, "cases")}
    if config.care.hours is None and not timed:
        yield f'{place}clock = "business" needs [care.hours], when the desk is open; or use "calendar"'


def _change_log(effect: EffectDesign, inputs: Inputs, place: str) -> Iterator[str]:
    names = _values(inputs, "interventions", "name")
    if names is None:
        yield f"{place}needs inputs.interventions, the log of changes"
    elif effect.treatment.intervention is not None:
        yield from _absent([effect.treatment.intervention], names, f'{place}no intervention "{{}}"')


def _contacts(effect: EffectDesign, config: RunConfig, inputs: Inputs, place: str) -> Iterator[str]:
    """Words that select contacts, where the touchpoints have such a column."""
    if "touchpoints" not in inputs:
        if not (effect.design == "landmark" and "cases" in inputs):
            yield f"{place}needs inputs.touchpoints"
        return
    channels = _values(inputs, "touchpoints", "channel") or []
    groups = sorted({config.channel_groups.get(name, name) for name in channels})
    wanted = effect.treatment
    cases = _values(inputs, "cases", "channel") or []
    for what, value, known in (
        ("channel group", wanted.group, [*groups, *(config.channel_groups.get(n, n) for n in cases)]),
        ("channel", wanted.channel, [*channels, *cases]),
        ("campaign", wanted.campaign, _values(inputs, "touchpoints", "campaign") or []),
    ):
        if value is not None:
            yield from _absent([value], known, f'{place}no touchpoint has the {what} "{{}}"')
