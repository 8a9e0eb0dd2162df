"""Yesterday's bundle and today's rows become today's bundle; the models of the run stay, nothing is fitted.

- Of the new day: `customers`, `purchases`, `touchpoints`, `orders`, `profiles`, `identities`.
- Of the run: the models, credits, effects, service figures, returns and the report.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from clv.revaluing import updated_totals
from experiments.brands import for_brand_of
from experiments.bundle.reading import Bundle, load_bundle
from experiments.bundle.writing import bundle_folder, refuse_place, write_bundle
from experiments.config import RunConfig
from experiments.engine import Progress, workplace
from experiments.inputs import ID_KEY, key_of_handles, read_inputs
from experiments.metrics import run_metrics
from experiments.parts.histories import Histories, build_histories
from experiments.renewing import Renewed, as_of_day, renew, with_ids
from experiments.segments import count_segments
from experiments.tombstones import load_tombstones
from experiments.tracking import flatten, open_run
from histories.errors import BundleError, ConfigError
from histories.house import version
from histories.identity import IDENTITY_KEY, key_check

READ: Final = ("transactions", "touchpoints", "customers", "cases", "identities", "consents")
"""Tables that an update reads; whatever else the configuration names stays as the run found it."""
_LARGE: Final = ("purchases", "touchpoints", "customer_credits", "cases")
_COMPUTED: Final = frozenset({"format", "tables", "erasure", "checksums", "drift"})
_SECTIONS: Final = ("value", "attribution", "care", "identity")
_FREE: Final = frozenset({"observation_end", "calibration_end", "inputs", "limits", "report"})
"""Keys of a configuration in which an update may differ from the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """Where the new bundle is, and what moved; see `Renewed`.

    Attributes
    ----------
    since, as_of
        Last day of the bundle before, and of the new one.
    """

    run_id: str
    name: str
    bundle: Path
    since: dt.date
    as_of: dt.date
    customers: int
    new: int
    changed: int
    late: int
    gone: int
    refit: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def update_bundle(
    path: Path,
    config: RunConfig,
    *,
    runs: Path,
    mlruns: Path,
    out: Path | None = None,
    only_changed: bool = False,
    step: Callable[[str], None] = lambda text: None,
    memory: str | None = None,
    engine: str = "local",
    delivered: Mapping[str, Any] | None = None,
) -> Updated:
    """Write a bundle of today from that of a run, or of the last update, and today's tables.

    Parameters
    ----------
    path
        The bundle; it stays as it is.
    config
        The run's configuration: the same tables, grown. For a bundle of one brand that of all brands will do.
    only_changed
        The tables name only customers whose rows changed, each with all his rows; everybody else is carried
        over.
    runs, mlruns, out, step, memory, engine, delivered
        As for `experiments.run.run_experiment`.

    Raises
    ------
    ConfigError
        When the configuration is another than the bundle's.
    BundleError
        When the bundle is damaged, or its customers are not valued by a purchase model.
    DataError
        When the tables are refused, end before the bundle, or lack its customers.
    StorageError
        When the disk does not take the bundle; the old one stays.
    """
    progress = Progress(step)
    refuse_place(out, runs)
    bundle = load_bundle(path)
    config = for_brand_of(config, bundle.manifest["configuration"])
    check_same(bundle, config)
    tags = {"tributary.version": version(), "tributary.updates": str(bundle.manifest["run_id"])}
    with (
        workplace(engine, memory=memory, runs=runs, told=progress.told) as place,
        open_run(config.name, mlruns=mlruns, tags=tags, label=f"update of {bundle.path.name}") as record,
    ):
        progress("Checking the tables")
        needed = READ if config.brand is None else (*READ, "posts")  # which tell whose customers wrote
        read = {name: sources for name, sources in config.inputs.items() if name in needed}
        inputs = read_inputs(replace(config, inputs=read), work_dir=place.folder)
        if only_changed and config.observation_end is None:
            inputs = replace(inputs, observation_end=max(inputs.observation_end, as_of_day(bundle)))
        place.begin(config, inputs)
        progress("Building histories")
        histories = build_histories(config, inputs, engine=place.engine)
        progress("Valuing customers")
        folder = out or bundle_folder(runs, config.name, record.run_id)
        erased = load_tombstones(folder.parent)
        renewed = renew(bundle, config, histories, erased=erased, only_changed=only_changed)
        progress("Writing the bundle")
        totals = {"totals": updated_totals(bundle.model, renewed.tables["customers"])}
        manifest = _manifest(bundle, config, histories, renewed, record.run_id)
        manifest["delivered"] = delivered
        ids = renewed.tables["customers"].schema["customer_id"]
        kept = [name for name in bundle.manifest["tables"] if name not in (*renewed.tables, *renewed.large)]
        small = {name: with_ids(bundle.table(name), ids) for name in kept if name not in _LARGE}
        large = {name: with_ids(bundle.scan(name), ids) for name in kept if name in _LARGE}
        written = write_bundle(
            folder,
            tables={**small, **renewed.tables},
            large={**large, **renewed.large},
            manifest=manifest,
            model={**bundle.model, **totals},
            files=bundle.files(),
            rejected=bundle.rejected() | {name: table.rejected for name, table in inputs.tables.items()},
            pictures=bundle.pictures(),
        )
        progress("Keeping the update")
        counts = {name: getattr(renewed, name) for name in ("new", "changed", "late", "gone")}
        found = {"customers": renewed.tables["customers"].height, **counts}
        with record.keeping(written):
            record.log_parameters(flatten(config.to_dict()) | {"chosen_model": bundle.model["chosen"]})
            record.log_metrics(
                run_metrics(renewed.tables, totals)
                | {f"update.{name}": float(n) for name, n in counts.items()}
            )
            record.log_bundle(written)
    return Updated(
        run_id=record.run_id,
        name=config.name,
        bundle=written,
        since=as_of_day(bundle),
        as_of=inputs.observation_end,
        refit=renewed.refit,
        notes=(*renewed.notes, *place.engine.notes),
        **found,
    )


def check_same(bundle: Bundle, config: RunConfig) -> None:
    """Refuse to update a bundle whose figures follow from another configuration.

    Raises
    ------
    ConfigError
        With the first key that differs.
    BundleError
        When the bundle holds no customers valued by a purchase model.
    """
    name, card = bundle.path.name, bundle.model
    if not card.get("purchase_model"):
        raise BundleError(f"{name}: the run fitted no purchase model, so it cannot be updated. Run again.")
    if card.get("contract"):
        raise BundleError(
            f"{name}: values follow from contracts, whose leaving must be fitted anew. Run again."
        )
    if bool(bundle.manifest["pseudonyms"]) != (ID_KEY in os.environ):
        state = "pseudonyms" if bundle.manifest["pseudonyms"] else "ids as they are"
        raise ConfigError(f"{name} holds {state}: set, or unset, {ID_KEY} as it was for the run.")
    if bundle.manifest.get("identities_check") != key_check(key_of_handles(config)):
        raise ConfigError(
            f"{name} holds handles under another key, or none: {IDENTITY_KEY} or identity.key_file must "
            "say for an update what it said for the run."
        )
    before, now = bundle.manifest["configuration"], config.to_dict()
    for key, old, new in _differing(before, now):
        raise ConfigError(
            f"{name} was made with {key} = {old!r}, and the configuration says {new!r}. An update keeps the "
            "run's configuration: take it back, or `tributary run` with the new one."
        )
    for table in READ:
        if (table in before["inputs"]) != (table in now["inputs"]):
            given, other = ("with", "does not") if table in before["inputs"] else ("without", "does")
            raise ConfigError(
                f"{name} was made {given} [inputs.{table}], and the configuration {other} name it. An update "
                "reads the tables of the run, grown."
            )
    old, new = (tree["inputs"]["transactions"][0].get("zero_orders") for tree in (before, now))
    if old != new:
        raise ConfigError(f"{name} was made with zero_orders = {old!r}, and the configuration says {new!r}.")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys with both values; a key that one version of the code does not know is no difference."""
    pairs = []
    for key in [key for key in before if key in now and key not in _FREE]:
        if key in _SECTIONS:
            old, new = before[key], now[key]
            pairs += [(f"{key}.{k}", old[k], new[k]) for k in old if k in new and k != "key_file"]
        else:
            pairs.append((key, before[key], now[key]))
    return [pair for pair in pairs if pair[1] != pair[2]]


def _manifest(
    bundle: Bundle, config: RunConfig, histories: Histories, renewed: Renewed, run_id: str
) -> dict[str, Any]:
    """The bundle's manifest with what is of today, and a note of what is not."""
    before, inputs = bundle.manifest, histories.inputs
    run = before.get("updated") or {"run_as_of": before["as_of"], "of": before["model_version"]}
    note = (
        f"An update: customers, purchases and touchpoints are of {inputs.observation_end}; models, credit, "
        f"effects, service figures and the report are those of the run of {run['run_as_of']}."
    )
    customers, profiles = (renewed.tables.get(name) for name in ("customers", "profiles"))
    notes = [text for text in before.get("notes") or () if text != run.get("note")]
    today = config.to_dict()
    return {key: value for key, value in before.items() if key not in _COMPUTED} | {
        "run_id": run_id,
        "model_version": f"{config.name}-{run_id[:12]}",
        "as_of": inputs.observation_end.isoformat(),
        "updated": {"run_as_of": run["run_as_of"], "of": run["of"], "note": note},
        "configuration": {
            **before["configuration"],
            "inputs": today["inputs"],
            "observation_end": today["observation_end"],
        },
        "inputs": {
            **(before.get("inputs") or {}),
            **{
                name: table.counts() | {"warnings": list(table.notes)}
                for name, table in inputs.tables.items()
            },
        },
        "segments": count_segments(config.segments, customers, profiles)
        if config.segments and customers is not None
        else before.get("segments", []),
        "notes": [note, *notes],
    }
