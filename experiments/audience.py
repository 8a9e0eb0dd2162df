"""Customers for an advertising platform: by rule and consent, hashed, with a control group held out.

Who is meant is decided on a bundle; how to reach them stands in the input table `identities`, which no bundle
holds. E-mail addresses and phone numbers leave as SHA-256 of their normal form, under the headings that the
platform reads. A share of the customers, the same whoever asks, is held out, and the table of assignments
that is written beside the list is what a later run needs to say what the campaign brought (`[inputs]
assignments`, `design = "randomised"`). It has the ids of the input tables, also where the bundle holds
pseudonyms: a later run makes those of it again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from experiments.assigned import randomised_entry
from experiments.bundle.reading import Bundle
from experiments.filters import Combination, Filter, bind_filter, parse_filter
from experiments.inputs import ID_KEY
from experiments.sampling import sample_ids
from experiments.segments import consents_to, kept, named_filters
from experiments.tombstones import load_tombstones, without_erased
from histories.errors import ConfigError, DataError, nearest
from histories.identity import normal_handle, normal_platform, pseudonyms, valid_on

TREATED, CONTROL = "audience", "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """How a platform reads a list of customers.

    Attributes
    ----------
    email, phone
        Headings; None where it takes no such address.
    plus
        Whether a number keeps its + before it is hashed.
    """

    email: str
    phone: str | None
    plus: bool = True


PLATFORMS: Final[Mapping[str, Platform]] = {
    "google": Platform(email="Email", phone="Phone"),
    "meta": Platform(email="email", phone="phone", plus=False),
    "microsoft": Platform(email="Email", phone=None),
    "linkedin": Platform(email="email", phone=None),
    "tiktok": Platform(email="email_sha256", phone="phone_sha256"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is to be reached, and who is held out.

    Attributes
    ----------
    addresses
        One row per address, under the platform's headings; no customer id.
    assignments
        experiment, customer_id, arm and assigned_at of everybody the rule keeps who consents and can be
        reached.
    counts
        Customers: `kept` by the rule, `without_consent`, `unreachable`, `held_out`, `listed`.
    """

    addresses: pl.DataFrame
    assignments: pl.DataFrame
    counts: Mapping[str, int]


def build_audience(
    bundle: Bundle,
    identities: pl.LazyFrame,
    *,
    rule: str,
    purpose: str,
    platform: str,
    name: str,
    control: float,
    now: dt.datetime,
    id_key: str | None = None,
) -> Audience:
    """Choose, hold out and hash.

    Parameters
    ----------
    bundle
        The scores, and who consents.
    identities
        platform, handle and customer_id, as they are; the valid rows of the input table.
    rule
        A filter, such as ``segment("win back")``.
    purpose
        What the customers must have consented to.
    platform
        One of `PLATFORMS`.
    name
        Of the campaign: the experiment's, and that of the control group.
    control
        Share held out, from 0 up to but not including 1.
    now
        When they were assigned.
    id_key
        Key of the bundle's pseudonyms, where it holds some.

    Raises
    ------
    ConfigError
        When the platform, the rule or the share is none, nobody was asked for consent, or the bundle was made
        with another key.
    DataError
        When nobody can be reached.
    """
    if platform not in PLATFORMS:
        raise ConfigError(f'--platform: "{platform}" is none; {nearest(platform, PLATFORMS)}')
    if not 0.0 <= control < 1.0:
        raise ConfigError(f"--control is {control:g}; a share from 0 up to 1, such as 0.1")
    if bool(bundle.manifest.get("pseudonyms")) != (id_key is not None):
        holds = "pseudonyms" if bundle.manifest.get("pseudonyms") else "ids as they are"
        raise ConfigError(f"{bundle.path.name} holds {holds}: set, or unset, {ID_KEY} as it was for the run.")
    meant, consenting = _meant(bundle, rule, purpose)
    identities = identities.filter(valid_on(identities.collect_schema().names(), now.date()))
    own = _own_ids(identities, consenting["customer_id"].dtype, id_key)
    found = _addresses(identities, PLATFORMS[platform]).join(own, on="own_id")
    reached = found.join(consenting, on="customer_id", how="semi").drop("own_id")
    within = own.join(consenting, on="customer_id", how="semi").join(reached, on="customer_id", how="semi")
    within = within.unique("customer_id").sort("customer_id")
    if within.is_empty():
        raise DataError(
            f"none of {consenting.height} customers has an address that {platform} takes. The table "
            'identities names them: platform "email" or "phone", the address as handle.'
        )
    out = pl.Series("held", sample_ids(within["customer_id"], name) < control)
    assignments = within.select(
        pl.lit(name).alias("experiment"),
        "customer_id",
        "own_id",
        pl.when(out).then(pl.lit(CONTROL)).otherwise(pl.lit(TREATED)).alias("arm"),
        pl.lit(now.astimezone(dt.UTC).isoformat(timespec="seconds")).alias("assigned_at"),
    )
    listed = assignments.filter(pl.col("arm") == TREATED)
    addresses = reached.join(listed, on="customer_id", how="semi").drop("customer_id").unique()
    return Audience(
        addresses=addresses.sort(addresses.columns, nulls_last=True),
        assignments=assignments.drop("customer_id").rename({"own_id": "customer_id"}),
        counts={
            "kept": meant,
            "without_consent": meant - consenting.height,
            "unreachable": consenting.height - within.height,
            "held_out": within.height - listed.height,
            "listed": listed.height,
        },
    )


def _meant(bundle: Bundle, rule: str, purpose: str) -> tuple[int, pl.DataFrame]:
    """How many customers a rule keeps, and those of them who consent and were not erased."""
    frame = bundle.table("customers")
    profiles = bundle.table("profiles")
    if not profiles.is_empty():
        frame = frame.join(profiles, on="customer_id", how="left", maintain_order="left")
    tombstones = load_tombstones(bundle.path.resolve().parent)
    frame = without_erased(tombstones, frame.lazy()).collect()
    columns = {column: dtype for column, dtype in frame.schema.items() if column != "customer_id"}
    segments: Mapping[str, Filter] = named_filters(
        (bundle.manifest.get("configuration") or {}).get("segments") or ()
    )
    asked = bind_filter(parse_filter(rule), columns, segments)
    agreed = Combination(operator="and", parts=(asked, consents_to(purpose, columns)))
    return kept(frame, asked).height, kept(frame, agreed)


def effect_entry(*, path: str, name: str, control: float) -> str:
    """What a configuration needs to say what the campaign brought."""
    shares = {TREATED: 1 - control, CONTROL: control}
    return randomised_entry(path, name, outcomes=["spend"], days=60, shares=shares)


def _own_ids(identities: pl.LazyFrame, dtype: pl.DataType, id_key: str | None) -> pl.DataFrame:
    """own_id, as in the input tables, and customer_id, as in the bundle."""
    ids = identities.select(own_id="customer_id").drop_nulls().unique().collect()
    if id_key is not None:
        return ids.with_columns(pseudonyms("own_id", id_key.encode()).alias("customer_id"))
    return ids.with_columns(pl.col("own_id").cast(dtype, strict=False).alias("customer_id"))


def _addresses(identities: pl.LazyFrame, platform: Platform) -> pl.DataFrame:
    """own_id and hashed addresses under the platform's headings; those of one customer alone."""
    told = identities.select("platform", "handle", own_id="customer_id").collect()
    rows = told.select("own_id", platform=normal_platform(), handle=normal_handle(pl.col("handle")))
    rows = rows.unique().filter(pl.col("own_id").n_unique().over("platform", "handle") == 1)
    mails = rows.filter(pl.col("platform") == "email").select(
        "own_id", pl.col("handle").alias(platform.email)
    )
    if platform.phone is None:
        return mails
    # the international form alone is a number elsewhere
    numbers = rows.filter((pl.col("platform") == "phone") & pl.col("handle").str.starts_with("+"))
    written = numbers["handle"] if platform.plus else numbers["handle"].str.strip_prefix("+")
    hashed = pl.Series(
        platform.phone, [hashlib.sha256(number.encode()).hexdigest() for number in written], dtype=pl.String
    )
    return pl.concat([mails, numbers.select("own_id", hashed)], how="diagonal")
