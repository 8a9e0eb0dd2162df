"""Who may be whom: profiles of platforms and known customers, by what both tell of themselves.

The model is that of Fellegi & Sunter (1969) as splink fits it, without labels: how often each column agrees
among pairs of one person and among pairs of two. A profile is linked where one customer is the same with at
least the probability asked for, and every other customer with less than its complement.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import polars as pl

from histories.errors import ConfigError, DataError, nearest

MIN_PROBABILITY: Final = 0.95
METHOD: Final = "splink"
"""What `method` says of such links in the table of identities."""
_KEYS: Final = ("customer_id", "platform", "handle")
_SIMILAR: Final = (0.92, 0.8)  # Jaro-Winkler; splink's own thresholds for names
_MANY: Final = 0.05  # share of distinct values from which spelling is compared, and not equality
_PAIRS: Final = 2e6
_RECALL: Final = 0.7  # of the pairs that agree on two columns, among all pairs of one person; a start only


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Links of profiles to customers, and what became of the others.

    Attributes
    ----------
    links
        platform, handle, customer_id, method, probability: rows of the table of identities.
    profiles
        How many there were.
    ambiguous
        Of them, those whom two customers may be.
    columns
        By which they were compared.
    """

    links: pl.DataFrame
    profiles: int
    ambiguous: int
    columns: tuple[str, ...]


def link_profiles(
    people: pl.DataFrame, profiles: pl.DataFrame, *, min_probability: float = MIN_PROBABILITY
) -> Linked:
    """Links of profiles to the customers whom they are, as far as the columns of both tell.

    Parameters
    ----------
    people
        customer_id, and what is known of each: name, city, birth year, …
    profiles
        platform, handle, and columns of the same names, two or more.
    min_probability
        From which a link is made.

    Raises
    ------
    ConfigError
        When columns are missing, or splink is not installed.
    DataError
        When nothing can be learned: too few pairs agree on anything.
    """
    columns = _compared(people, profiles)
    pairs = _scored(_ready(people, columns, "customer_id"), _ready(profiles, columns, "platform", "handle"))
    ranked = pairs.sort("probability", "customer", descending=[True, False]).group_by(
        "profile", maintain_order=True
    )
    best = ranked.agg(
        pl.col("customer").first(),
        pl.col("probability").first(),
        pl.col("probability").get(1, null_on_oob=True).fill_null(0.0).alias("second"),
    )
    likely = best.filter(pl.col("probability") >= min_probability)
    alone = likely.filter(pl.col("second") < max(1.0 - min_probability, 1e-9)).sort("profile")
    chosen = profiles[alone["profile"].to_list()].select("platform", "handle")
    ids = people[alone["customer"].to_list()]["customer_id"]
    links = chosen.with_columns(
        ids.alias("customer_id"),
        pl.lit(METHOD).alias("method"),
        alone["probability"].round(4).alias("probability"),
    )
    return Linked(
        links=links,
        profiles=profiles.height,
        ambiguous=likely.height - alone.height,
        columns=columns,
    )


def _compared(people: pl.DataFrame, profiles: pl.DataFrame) -> tuple[str, ...]:
    """Columns that both have, those with the most values first."""
    for what, frame, needed in (("people", people, _KEYS[:1]), ("profiles", profiles, _KEYS[1:])):
        for name in needed:
            if name not in frame.columns:
                raise ConfigError(f'{what}: there is no column "{name}"; {nearest(name, frame.columns)}')
    shared = [name for name in people.columns if name in profiles.columns and name not in _KEYS]
    if len(shared) < 2:
        raise ConfigError(
            f"people and profiles have {len(shared)} columns in common ({', '.join(shared) or 'none'}); "
            "two or more are needed, such as name, city, birth_year."
        )
    return tuple(sorted(shared, key=lambda name: -people[name].n_unique()))


def _ready(frame: pl.DataFrame, columns: Sequence[str], *keys: str) -> pl.DataFrame:
    """Texts in lower case, blank ones missing; `unique_id` is the place of the row."""
    if frame.select(pl.any_horizontal(pl.col(keys).is_null().any())).item():
        raise DataError(f"{', '.join(keys)}: a value is missing; every row needs one.")
    words = [pl.col(name).cast(pl.String).str.to_lowercase().str.strip_chars() for name in columns]
    return frame.select(
        pl.int_range(pl.len()).alias("unique_id"),
        *(pl.when(word != "").then(word).alias(name) for word, name in zip(words, columns, strict=True)),
    )


def _scored(people: pl.DataFrame, profiles: pl.DataFrame) -> pl.DataFrame:
    """Customer and profile (places of their rows) and probability of every pair that agrees on something."""
    splink, library = _splink()
    columns = people.columns[1:]
    spelled = [name for name in columns if people[name].n_unique() > _MANY * people.height]
    by = {
        name: library.JaroWinklerAtThresholds(name, list(_SIMILAR))
        if name in spelled
        else library.ExactMatch(name)
        for name in columns
    }
    rules = [splink.block_on(name) for name in spelled]
    for first, second in combinations(columns, 2):
        start = f"substr({first}, 1, 3)" if first in spelled else first
        rules.append(splink.block_on(start, second))
    settings = splink.SettingsCreator(
        link_type="link_only",
        comparisons=[one.configure(term_frequency_adjustments=True) for one in by.values()],
        blocking_rules_to_generate_predictions=rules,
        retain_matching_columns=False,
    )
    api = splink.DuckDBAPI()
    tables = [api.register(frame.to_arrow()) for frame in (people, profiles)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("splink").setLevel(logging.ERROR)
        try:
            linker = splink.Linker(tables, settings, log_level=None)
            learn = linker.training
            learn.estimate_probability_two_random_records_match(
                [splink.block_on(*columns[:2])], recall=_RECALL
            )
            learn.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=1)
            for rule in (splink.block_on(columns[0]), splink.block_on(*columns[1:3])):
                learn.estimate_parameters_using_expectation_maximisation(rule)
            found = linker.inference.predict(threshold_match_probability=0.01).as_pyarrow_table()
        except Exception as error:  # splink raises its database's errors, and its own
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"people and profiles: too little agrees to learn from ({first}). Give more rows, or columns "
                "that both write alike."
            ) from error
    return _sides(pl.DataFrame(found), tables[0].physical_name)


def _sides(pairs: pl.DataFrame, people: str) -> pl.DataFrame:
    """The pairs with customers on one side, whichever splink has put them on."""
    is_left = pl.col("source_dataset_l") == people
    if pairs.height and not pairs.select((is_left | (pl.col("source_dataset_r") == people)).all()).item():
        raise DataError("people and profiles: splink's pairs do not name their tables.")
    left, right = pl.col("unique_id_l"), pl.col("unique_id_r")
    return pairs.select(
        pl.when(is_left).then(left).otherwise(right).cast(pl.Int64).alias("customer"),
        pl.when(is_left).then(right).otherwise(left).cast(pl.Int64).alias("profile"),
        pl.col("match_probability").alias("probability"),
    )


def _splink() -> tuple[Any, Any]:
    try:
        import splink
        import splink.comparison_library as library
    except ImportError as error:
        raise ConfigError(
            "Linking by what people tell of themselves needs splink. Install the extra: pip install "
            "'tributary[identity]'."
        ) from error
    return splink, library
