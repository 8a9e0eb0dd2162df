"""What left its limits in a run, told once: by mail, or as a file in a folder; silence otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from experiments.bundle.leftovers import newest_first
from experiments.bundle.reading import Bundle, load_bundle
from experiments.delivery import Mailbox, hand_over
from histories.durable import appended, locked, make_folder, read_lines, write_whole
from histories.errors import ConfigError, TributaryError, nearest

LOG: Final = "told.log"
"""Beside the runs: who was told of what, one line a digest."""
_DOUBT: Final = {
    "doubtful": "the forecast of purchases is doubtful",
    "refuted": "the forecast of purchases is refuted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing that left its limits: `key` is the same in a later run that sees it again."""

    key: str
    words: str


def newest_bundle(runs: Path, name: str | None = None) -> Bundle:
    """The bundle on the latest data under a folder, of one experiment where it is named.

    Raises
    ------
    ConfigError
        When there is none.
    """
    names = []
    for path in newest_first(runs):
        bundle = load_bundle(path, verify=False)
        names.append(str(bundle.manifest.get("name")))
        if name in (None, names[-1]):
            return load_bundle(path)
    hint = f"; {nearest(name, sorted(set(names)))}" if name is not None and names else ""
    what = "no run" if name is None else f'no run of "{name}"'
    raise ConfigError(f"{runs}: there is {what}{hint}. Run a configuration first, or name --runs.")


def signals_of(bundle: Bundle) -> list[Signal]:
    """Alerts of the desk, promises whose last week is no chance, a forecast that time refuted."""
    return [*_alerts(bundle), *_promises(bundle), *_forecast(bundle)]


def _alerts(bundle: Bundle) -> Iterator[Signal]:
    for row in bundle.table("alerts").iter_rows(named=True):
        words = f"{row['period']}: {row['words']}"
        yield Signal(key=f"{row['kind']} {row['cause']} {row['period']}", words=words)


def _promises(bundle: Bundle) -> Iterator[Signal]:
    """Of each promise the last week that has limits, where it is a signal."""
    care = bundle.table("care")
    rows = care.filter(
        pl.col("kpi").is_in(["promise", "promise_limits"]), pl.col("period").str.contains("-W")
    )
    kept = {
        (row["segment"], row["period"]): row["value"]
        for row in rows.filter(kpi="promise").iter_rows(named=True)
    }
    last = rows.filter(kpi="promise_limits").sort("period").group_by("segment", maintain_order=True).last()
    for row in last.filter(pl.col("reason").is_not_null()).sort("segment").iter_rows(named=True):
        share = kept.get((row["segment"], row["period"]))
        named = row["segment"].removeprefix("promise: ")
        value = "" if share is None else f", kept in {share:.1%} of cases"
        limits = f"{max(row['low'], 0.0):.1%} to {min(row['high'], 1.0):.1%}"
        yield Signal(
            key=f"{row['segment']} {row['period']}",
            words=f'{row["period"]}: promise "{named}"{value}: {row["reason"]} ({limits})',
        )


def _forecast(bundle: Bundle) -> Iterator[Signal]:
    forecast = bundle.manifest.get("forecast") or {}
    if forecast.get("status") in _DOUBT:
        words = f"{_DOUBT[forecast['status']]}: {forecast.get('reason')}"
        yield Signal(key=f"forecast {forecast['status']} {bundle.manifest.get('as_of')}", words=words)


def digest_text(bundle: Bundle, signals: Sequence[Signal]) -> str:
    """The digest as plain text: a head with the run, and one line for each signal."""
    count = "1 thing" if len(signals) == 1 else f"{len(signals)} things"
    head = f"{count} left the limits: {bundle.manifest['name']}, data to {bundle.manifest['as_of']}"
    lines = "\n".join(f"- {signal.words}" for signal in signals)
    return f"{head}\n\n{lines}\n\nRun {bundle.manifest['run_id']}\n"


def tell(bundle: Bundle, target: Mailbox | Path, *, runs: Path, again: bool = False) -> list[Signal]:
    """Tell a target of the signals that it has not heard of yet, unless `again`; return those told.

    A folder gets one text file a digest. Nothing is sent or written when nothing is new.

    Raises
    ------
    TributaryError
        When the mail or the file could not be handed over; nothing is remembered as told then.
    """
    to = _called(target)
    with locked(runs, "digest"):
        heard = set() if again else _heard(runs, bundle, to)
        new = [signal for signal in signals_of(bundle) if signal.key not in heard]
        if not new:
            return []
        entry = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "name": bundle.manifest["name"],
            "run_id": bundle.manifest["run_id"],
            "to": to,
            "keys": [signal.key for signal in new],
        }
        with appended(runs / LOG, orjson.dumps(entry)):
            _deliver(bundle, digest_text(bundle, new), target)
    return new


def _deliver(bundle: Bundle, text: str, target: Mailbox | Path) -> None:
    title, _, _ = text.partition("\n")
    if isinstance(target, Path):
        make_folder(target)
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d-%H%M%S")
        write_whole(target / f"digest-{stamp}-{str(bundle.manifest['run_id'])[:6]}.txt", text.encode())
        return
    message = EmailMessage()
    message["Subject"] = title
    message["From"], message["To"] = target.sender, ", ".join(target.recipients)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=target.sender.partition("@")[2])
    message.set_content(text)
    refused = hand_over(message, target, target.recipients, what="The digest")
    if refused:
        raise TributaryError(
            f"The server refused {len(refused)} of {len(target.recipients)} recipients. Mend the addresses "
            "and watch again: the others will get this digest a second time."
        )


def _called(target: Mailbox | Path) -> str:
    if isinstance(target, Path):
        return str(target.resolve())
    return ",".join(sorted(address.lower() for address in target.recipients))


def _heard(runs: Path, bundle: Bundle, to: str) -> set[str]:
    """Signals of the same experiment that the target was told of."""
    entries = [orjson.loads(line) for line in read_lines(runs / LOG) if line.strip()]
    mine = [e for e in entries if e["to"] == to and e["name"] == bundle.manifest["name"]]
    return {key for entry in mine for key in entry["keys"]}
