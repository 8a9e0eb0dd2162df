"""One TOML file becomes one frozen value; every key has a default or is refused by name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import polars as pl
import pydantic
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from attribution.credits.rows import RESERVED_CHANNELS
from attribution.effects.design import EffectDesign
from attribution.settings import AttributionSettings
from care.settings import CareSettings
from clv.settings import ValueSettings
from experiments.extending import read_tree
from experiments.segments import Segment, unique_names
from histories.errors import ConfigError, nearest
from histories.reading.schemas import TABLES
from histories.reading.sources import Channel, IdentityLinks, Limits, TableSource, without_password
from reports.settings import ReportSettings

if TYPE_CHECKING:
    Table = str
else:
    Table = Literal[tuple(TABLES)]


NOT_IN_NAMES = re.compile(r"""[/:'"\\\x00-\x1f\x7f]""")
"""Letters that a name may not hold: it becomes a folder, a registered model and part of a query."""

FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2100, 12, 31)


def _usable_name(name: str) -> str:
    if not name.strip() or len(name) > 100 or NOT_IN_NAMES.search(name):
        raise ValueError("allowed: 1 to 100 letters on one line, without / : \\ and quotes")
    return name


def _possible_day(day: dt.date) -> dt.date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"allowed: {FIRST_DAY} to {LAST_DAY}")
    return day


Name = Annotated[str, AfterValidator(_usable_name)]
Day = Annotated[dt.date, AfterValidator(_possible_day)]


def _sources(value: Any) -> Any:
    """A bare path stands for a source with nothing else to say, and one source for a list of one."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    if not listed:
        raise ValueError("an empty list. Name at least one source, or leave the table out")
    return tuple({"path": source} if isinstance(source, str) else source for source in listed)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RunConfig:
    """Everything a run depends on besides the rows themselves.

    Relative paths start at `base_dir`, the folder of the configuration file.

    Attributes
    ----------
    name
        What the run is called: its experiment, its registered model, its bundles.
    observation_end
        Last day that counts; by default that of the last transaction.
    calibration_end
        Last day seen by the validation fit; what follows judges it. By default the last third is held out.
    time_unit
        Unit of recency, T and the parameters of the purchase models.
    purchase_unit
        Purchases of one customer within it are one purchase.
    timezone
        Zone of local times, e.g. "Europe/London".
    currency
        Three-letter code of every amount.
    brand
        The one brand (client) whose cases, posts, costs and customers are read; by default all.
    seed
        Of everything random.
    inputs
        Where each input table is: a path, or keys as below.
    channels
        What is known of each channel.
    identity, value, attribution, effects, care, report, segments, limits
        The sections below.
    """

    name: Name = "tributary"
    observation_end: Day | None = None
    calibration_end: Day | None = None
    time_unit: Literal["day", "week"] = "week"
    purchase_unit: Literal["day", "week"] = "day"
    timezone: str = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    brand: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    inputs: dict[Table, Annotated[tuple[TableSource, ...], BeforeValidator(_sources)]] = Field(
        default_factory=dict
    )
    channels: dict[str, Channel] = Field(default_factory=dict)
    value: ValueSettings = Field(default_factory=ValueSettings)
    attribution: AttributionSettings = Field(default_factory=AttributionSettings)
    effects: tuple[EffectDesign, ...] = ()
    care: CareSettings = Field(default_factory=CareSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    segments: Annotated[tuple[Segment, ...], AfterValidator(unique_names)] = ()
    identity: IdentityLinks = Field(default_factory=IdentityLinks)
    limits: Limits = Field(default_factory=Limits)
    base_dir: Annotated[Path, Field(exclude=True)] = Path()

    @pydantic.field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
            pl.select(pl.lit(dt.datetime(2024, 1, 1)).dt.replace_time_zone(value))
        except (KeyError, ValueError, OSError, pl.exceptions.PolarsError) as error:
            raise ValueError("not a time zone name such as Europe/London") from error
        return value

    @pydantic.model_validator(mode="after")
    def _cuts_are_ordered(self) -> RunConfig:
        if self.calibration_end and self.observation_end and self.calibration_end >= self.observation_end:
            cut, end = self.calibration_end, self.observation_end
            raise ValueError(f"calibration_end ({cut}) must lie before observation_end ({end})")
        return self

    @pydantic.model_validator(mode="after")
    def _effects_are_told_apart(self) -> RunConfig:
        names = [effect.name for effect in self.effects]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f'two [[effects]] are called "{repeated[0]}"; give each a name of its own')
        for asked in self.care.agenda:
            for name in asked.effects:
                if name not in names:
                    hint = nearest(name, names) if names else "there is no [[effects]]."
                    raise ValueError(f'care.agenda "{asked.question}": no effect "{name}"; {hint}')
        wanted = self.report.headline_effect
        if wanted is not None and wanted not in names:
            hint = nearest(wanted, names) if names else "there is no [[effects]]."
            raise ValueError(f'report.headline_effect: no effect "{wanted}"; {hint}')
        return self

    @pydantic.model_validator(mode="after")
    def _purposes_have_consents(self) -> RunConfig:
        for segment in self.segments:
            if segment.purpose is not None and "consents" not in self.inputs:
                raise ValueError(
                    f'segments "{segment.name}": purpose = "{segment.purpose}" needs [inputs.consents] with '
                    "customer_id, purpose, given, timestamp; nobody is known to consent without it"
                )
        return self

    @property
    def purposes(self) -> tuple[str, ...]:
        """What segments are meant for."""
        return tuple(segment.purpose for segment in self.segments if segment.purpose is not None)

    @pydantic.model_validator(mode="after")
    def _names_of_rows_are_reserved(self) -> RunConfig:
        named = {*self.channels, *self.channel_groups.values()} & RESERVED_CHANNELS
        if named:
            raise ValueError(
                f'channels: "{min(named)}" is a name that the tables of credit use themselves; use another'
            )
        return self

    @property
    def channel_groups(self) -> dict[str, str]:
        """Group of each channel that was given one; the others are their own."""
        return {name: channel.group for name, channel in self.channels.items() if channel.group}

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values, without the machine's paths above `base_dir`."""
        return dict(_ADAPTER.dump_python(self, mode="json"))


_ADAPTER: TypeAdapter[RunConfig] = TypeAdapter(RunConfig)


def load_config(path: Path, *, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration file.

    Parameters
    ----------
    path
        A TOML file; with `extends` it begins from others (see `experiments.extending`).
    overrides
        Texts such as `value.horizon_months=24`; the right side is read as TOML, or as text when it is not.

    Raises
    ------
    ConfigError
        When the file is missing, is no TOML, names an unknown key or holds a value that is not allowed.
    """
    tree = read_tree(path)
    for text in overrides:
        _override(tree, text)
    tree.setdefault("name", NOT_IN_NAMES.sub("-", path.stem)[:100])
    return parse_config(tree, base_dir=path.resolve().parent, place=str(path))


def parse_config(
    tree: Mapping[str, Any], *, base_dir: Path = Path(), place: str = "configuration"
) -> RunConfig:
    """Check a tree of plain values (as TOML gives it) and freeze it.

    Raises
    ------
    ConfigError
        One line for each key that is unknown (with the nearest right one) or holds a value not allowed.
    """
    if "base_dir" in tree:
        raise ConfigError(f'{place}: unknown key "base_dir"; paths are relative to the configuration file.')
    try:
        return _ADAPTER.validate_python({**tree, "base_dir": base_dir})
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{place}: {line}" for line in dict.fromkeys(lines))) from None


def _override(tree: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f'--set "{text}" is not of the form key=value. Write for example --set value.horizon_months=24.'
        )
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = raw.strip()
    *parents, last = key.strip().split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f'--set "{text}": "{parent}" holds a value, not a section.')
    node[last] = value


def _explain(problem: Any) -> str:
    """One sentence for one pydantic error: the key, what was found, what is allowed."""
    location: tuple[str | int, ...] = problem["loc"]
    is_input = location[:1] == ("inputs",)
    named = [part for part in location if not (is_input and part == 0)]  # one source is a list of one
    key = ".".join(str(part) for part in named if not str(part).startswith(("function-", "[key]")))
    if problem["type"] == "unexpected_keyword_argument":
        if len(location) > 1 and location[-1] in _allowed_keys(()):
            own = location[-1]
            return (
                f'unknown key "{key}"; "{own}" is a key of the whole file: write it above the first [section]'
            )
        lost = str(location[-1])
        homes = [name for name in _allowed_keys(()) if lost in _allowed_keys((name,))]
        if len(location) == 1 and homes:
            return f'unknown key "{key}"; it is a key of {" and of ".join(f"[{home}]" for home in homes)}'
        return f'unknown key "{key}"; {nearest(lost, _allowed_keys(location[:-1]))}'
    if problem["type"] == "missing":
        return f'"{key}" is required.'
    if problem["type"] == "literal_error" and is_input and location[-1] == "[key]":
        return f'unknown table "{key}"; {nearest(str(location[1]), TABLES)}'
    if problem["type"] == "literal_error":
        expected = problem["ctx"]["expected"]
        return f'"{key}" is {_shown(problem["input"])}; allowed: {expected}.'
    message: str = problem["msg"].removeprefix("Value error, ").rstrip(".")
    message = message.replace("a valid tuple", "a list") + ("" if message.endswith("?") else ".")
    if not key:
        return message
    if isinstance(problem["input"], dict):
        return f"[{key}] {message}"
    return f'"{key}" is {_shown(problem["input"])}; {message[:1].lower()}{message[1:]}'


def _shown(value: Any) -> str:
    """A value as it may be printed: without passwords, on one line, not too long."""
    if isinstance(value, dt.date):
        return value.isoformat()
    text = without_password(value if isinstance(value, str) else repr(value))
    if isinstance(value, str):
        text = f'"{text}"' if text.isprintable() else repr(text)
    return text if len(text) <= 60 else text[:57] + "..."


def _allowed_keys(location: Sequence[str | int]) -> list[str]:
    """The keys that the section at `location` may hold."""
    section: Any = RunConfig
    for part in location:
        if not str(part).startswith("function-"):
            section = _inside(section, part)
    fields = dataclasses.fields(section) if dataclasses.is_dataclass(section) else ()
    return [field.name for field in fields if field.name != "base_dir"]


def _inside(section: Any, part: str | int) -> Any:
    """The type behind one step into a section: a field, a table's entry or a list's item."""
    if dataclasses.is_dataclass(section):
        kind = typing.get_type_hints(section).get(str(part))
    else:
        kind = typing.get_args(section)[-1 if typing.get_origin(section) is dict else 0]
    optional = [arg for arg in typing.get_args(kind) if dataclasses.is_dataclass(arg)]
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    return optional[0] if is_union and optional else kind
