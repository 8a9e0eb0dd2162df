"""Everything that has a floor, beside its peer, in one table: docs/benchmarks.md.

    python -m benchmarks.run_all [--quick] [--only NAME ...] [--peer-python PATH] [--pymc-python PATH]
    python -m benchmarks.run_all --table

Runs the scripts beside this one, one after the other, and keeps what each measured in
`benchmarks/results/floors.json`, with versions, day and load; the table is drawn from there, so that lines
may be measured one at a time. `--peer-python` is an interpreter with duckdb and ChannelAttribution (the extra
`bench`), `--pymc-python` one with PyMC-Marketing; what needs one that is not given is left out and says so.
`--quick` takes small sizes: ratios are shown, and no floor is held against them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
KEPT: Final = ROOT / "benchmarks" / "results" / "floors.json"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
OURS: Final = ("polars", "numpy", "scipy", "numba", "fastapi", "pyarrow")
PEERS: Final = ("lifetimes", "mlflow", "duckdb", "ChannelAttribution", "pymc-marketing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    floor
        What is asked for, in words.
    ours, theirs
        With their unit; `theirs` is empty where there is no peer.
    ratio
        How many times better ours is; None where there is nothing to compare with.
    short
        By how much the floor is missed, as a factor; 1 or less where it is met; None where it was not held
        against the floor.
    """

    work: str
    floor: str
    ours: str
    peer: str = ""
    theirs: str = ""
    ratio: float | None = None
    short: float | None = None


Read = Callable[[str, Path], list[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A script, how it is called, and what of its answer is a line.

    Attributes
    ----------
    full, quick
        Arguments; {out}, {peer} and {pymc} are filled in.
    """

    module: str
    full: str
    quick: str
    read: Read


def table(text: str) -> Iterator[dict[str, str]]:
    r"""Rows of the first Markdown table in a text, by heading.

    >>> list(table("| work | ours |\\n| --- | --- |\\n| fit | 2.0 |\\n"))
    [{'work': 'fit', 'ours': '2.0'}]
    """
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line
    ]
    for row in rows[2:]:
        yield dict(zip(rows[0], row, strict=False))


def at_least(ratio: float, floor: float) -> float:
    """How short of a floor a ratio falls.

    >>> at_least(10.0, 15.0), at_least(30.0, 15.0)
    (1.5, 0.5)
    """
    return floor / ratio


CLV_FLOORS: Final = {
    ("purchase summary", "lifetimes"): 5.0,
    ("purchase summary", "DuckDB"): 1.0,
    ("BG/NBD fit", "lifetimes"): 15.0,
    ("Pareto/NBD fit", "lifetimes"): 40.0,
    ("gamma-gamma fit", "lifetimes"): 15.0,
    ("12-month value", "lifetimes"): 10.0,
    ("posterior of BG/NBD on CDNOW", "PyMC-Marketing NUTS"): 200.0,
}


def read_clv(printed: str, out: Path) -> list[Line]:
    """Lines of `benchmarks.clv`."""
    lines = []
    for row in json.loads(out.read_text()):
        work, peer = row["work"], row["peer"]
        floor = CLV_FLOORS[work.partition(",")[0], peer]
        ratio = row["theirs"] / row["ours"]
        lines.append(
            Line(
                work=work,
                floor=f"{floor:g} x {peer}",
                ours=f"{row['ours']:.2f} s",
                peer=peer,
                theirs=f"{row['theirs']:.2f} s",
                ratio=ratio,
                short=at_least(ratio, floor),
            )
        )
    return lines


def read_attribution(printed: str, out: Path) -> list[Line]:
    """Order 1 of `benchmarks.attribution`."""
    paths = printed.partition(" text paths")[0].rsplit("\n", 1)[-1]
    return [
        Line(
            work=f"Markov order 1, {paths} paths x 12 channels, from text",
            floor="5 x ChannelAttribution",
            ours=f"{row['ours']} s",
            peer="ChannelAttribution",
            theirs=f"{row['ChannelAttribution']} s",
            ratio=float(row["ratio"]),
            short=at_least(float(row["ratio"]), 5.0),
        )
        for row in table(printed)
    ]


def read_incremental(printed: str, out: Path) -> list[Line]:
    """The largest company of `benchmarks.incremental`."""
    row = json.loads(out.read_text())[-1]
    return [
        Line(
            work=f"incremental credit, {row['customers']:,} customers x {row['periods']} periods x "
            f"{row['channels']} channels",
            floor="12 minutes, 4 GB",
            ours=f"{row['seconds'] / 60:.1f} min, {row['gigabytes']:.1f} GB",
            short=max(row["seconds"] / 720.0, row["gigabytes"] / 4.0),
        )
    ]


def read_service(printed: str, out: Path) -> list[Line]:
    """Single and many scores of `benchmarks.service`."""
    cpu = {name: row["cpu_us"] / 1e3 for name, row in json.loads(out.read_text()).items()}
    one, empty = cpu["one score"], cpu["empty FastAPI route, same middleware"]
    mlflow = cpu.get("one prediction, mlflow models serve")
    lines = [
        Line(
            work="one score over HTTP",
            floor="CPU within 1.2 x of an empty route",
            ours=f"{one:.3f} ms",
            peer="empty FastAPI route, same middleware",
            theirs=f"{empty:.3f} ms",
            ratio=empty / one,
            short=one / empty / 1.2,
        )
    ]
    if mlflow is not None:
        lines.append(
            Line(
                work="one score over HTTP",
                floor="15 x mlflow models serve",
                ours=f"{one:.3f} ms",
                peer="mlflow models serve",
                theirs=f"{mlflow:.3f} ms",
                ratio=mlflow / one,
                short=at_least(mlflow / one, 15.0),
            )
        )
    for form, most in (("Arrow", 8.0), ("JSON", 12.0)):
        found = cpu[f"10,000 scores, {form}"]
        lines.append(
            Line(
                work=f"10,000 scores in one request, {form}",
                floor=f"{most:g} ms CPU",
                ours=f"{found:.1f} ms",
                short=found / most,
            )
        )
    return lines


def read_journeys(printed: str, out: Path) -> list[Line]:
    """Time and memory of `benchmarks.journeys`."""
    found = json.loads(out.read_text())
    over = found["duckdb_over_ours"]
    what = f"summaries and journeys of {found['transactions']:,} + {found['touches']:,} rows"
    return [
        Line(
            work=f"{what}, {unit}",
            floor=f"{floor:g} x DuckDB's SQL",
            ours=f"{found['ours'][name]:.1f} {short}",
            peer="DuckDB",
            theirs=f"{found['duckdb'][name]:.1f} {short}",
            ratio=over[name],
            short=at_least(over[name], floor),
        )
        for name, unit, short, floor in (
            ("wall_seconds", "time", "s", 1.0),
            ("peak_gigabytes", "memory", "GB", 5.0),
        )
    ]


def read_scale(printed: str, out: Path) -> list[Line]:
    """The whole run of `benchmarks.scale`, incremental credit off."""
    run = json.loads(out.read_text())[-1]
    customers = int(run["folder"].rpartition("-")[2])
    gigabytes = max(step["peak_mb"] for step in run["steps"]) / 1024
    return [
        Line(
            work=f"whole run, {customers:,} customers, {customers * 80:,} rows, --memory {run['memory']}",
            floor="5 minutes, 4 GB",
            ours=f"{run['wall'] / 60:.1f} min, {gigabytes:.1f} GB",
            short=max(run["wall"] / 300.0, gigabytes / 4.0),
        )
    ]


WORKS: Final[dict[str, Work]] = {
    "value": Work(
        module="clv", full="--out {out}", quick="--scale 0.05 --repeat 1 --out {out}", read=read_clv
    ),
    "posterior": Work(
        module="clv",
        full="--only posterior --pymc-python {pymc} --out {out}",
        quick="--only posterior --pymc-python {pymc} --out {out}",
        read=read_clv,
    ),
    "paths": Work(
        module="attribution",
        full="--rows markov_1 --peer-python {peer}",
        quick="--rows markov_1 --paths 50000 --pairs 1 --peer-python {peer}",
        read=read_attribution,
    ),
    "incremental": Work(
        module="incremental",
        full="--customers 1000000 --out {out}",
        quick="--customers 3000 --out {out}",
        read=read_incremental,
    ),
    "service": Work(
        module="service",
        full="--mlflow --out {out}",
        quick="--customers 20000 --requests 300 --rounds 1 --out {out}",
        read=read_service,
    ),
    "journeys": Work(
        module="journeys",
        full="--customers 1000000 --peer-python {peer} --out {out}",
        quick="--customers 5000 --pairs 1 --peer-python {peer} --out {out}",
        read=read_journeys,
    ),
    "run": Work(
        module="scale",
        full="--plain 1000000 --memory 4GB --out {out}",
        quick="--plain 5000 --memory 1GB --out {out}",
        read=read_scale,
    ),
}


PACKAGES: Final = {"peer": "duckdb and ChannelAttribution", "pymc": "PyMC-Marketing"}


def measure(work: Work, *, quick: bool, pythons: dict[str, str | None]) -> list[Line]:
    """Run one script.

    Raises
    ------
    RuntimeError
        When it needs an interpreter that was not given, or fails.
    """
    arguments = work.quick if quick else work.full
    for name, python in pythons.items():
        if f"{{{name}}}" in arguments and python is None:
            raise RuntimeError(f"needs --{name}-python, an interpreter with {PACKAGES[name]}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        filled = arguments.format(out=out, **pythons).split()
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{work.module}", *filled],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise RuntimeError(last[:200])
        return work.read(done.stdout, out)


def versions(pythons: dict[str, str | None]) -> dict[str, str]:
    """Versions of what was measured, in this interpreter and in those of the peers."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )
    found = {name: importlib.metadata.version(name) for name in OURS}
    for python in (sys.executable, *filter(None, pythons.values())):
        asked = subprocess.run([python, "-c", code, *PEERS], capture_output=True, text=True, check=True)
        found |= {name: version for name, version in json.loads(asked.stdout).items() if version}
    return found


def machine() -> str:
    """Processor, cores, memory, system and Python, without the machine's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    processor = found[1] if found else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def page(kept: dict[str, Any]) -> str:
    """The table of everything that was kept, as Markdown."""
    rows, left = [], []
    for name in WORKS:
        entry = kept.get(name)
        if entry is None or "reason" in entry:
            left.append(f"`{name}`: {'not measured yet' if entry is None else entry['reason']}")
            continue
        for line in (Line(**found) for found in entry["lines"]):
            ratio = "" if line.ratio is None else f"{line.ratio:.1f}"
            rows.append(
                f"| {line.work} | {line.floor} | {line.ours} | {line.theirs} | {ratio} | "
                f"{_verdict(line, quick=entry['quick'])} | {entry['day']}, {entry['load']:.0f} |"
            )
    about = [entry for entry in kept.values() if "machine" in entry]
    told = sorted({entry["machine"] for entry in about})
    known: dict[str, str] = {}
    for entry in about:
        known |= entry["versions"]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "What is asked of this package's speed and size, beside the peer, same data and same process "
            "rules; `python -m benchmarks.run_all` measures and writes this page. *Floor*: the least asked "
            "for. *Ratio*: how many times better ours is. *Load*: programs that wanted to compute when the "
            "line was done; above the number of cores, wall times (minutes) are too long, and ratios of "
            "processor time hold.",
            "",
            "| work | floor | ours | peer | ratio | floor met | day, load |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            *(f"Not here: {text}." for text in left),
            *([""] if left else []),
            f"Machine: {'; '.join(told)}.",
            "",
            "Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(known.items())) + ".",
            "",
        ]
    )


def _verdict(line: Line, *, quick: bool) -> str:
    if quick or line.short is None:
        return "small size, not held against it"
    return "yes" if line.short <= 1.0 else f"missed: {line.short:.2f} times the floor"


def _keep(kept: dict[str, Any]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--peer-python")
    parser.add_argument("--pymc-python")
    parser.add_argument("--table", action="store_true", help="write the page from what is kept")
    args = parser.parse_args()
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    pythons = {"peer": args.peer_python, "pymc": args.pymc_python}
    for name in () if args.table else args.only:
        print(f"{name} …", flush=True)
        try:
            lines = measure(WORKS[name], quick=args.quick, pythons=pythons)
        except RuntimeError as error:
            print(f"  left out: {error}", flush=True)
            kept.setdefault(name, {"reason": str(error)})
            _keep(kept)
            continue
        kept[name] = {
            "lines": [asdict(line) for line in lines],
            "quick": args.quick,
            "day": dt.date.today().isoformat(),
            "load": os.getloadavg()[0],
            "machine": machine(),
            "versions": versions(pythons),
        }
        _keep(kept)
    written = page(kept)
    PAGE.write_text(written, encoding="utf-8")
    print(written)


if __name__ == "__main__":
    main()
