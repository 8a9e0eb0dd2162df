"""Pages, counts, grids, exports and comparisons over many customers: CPU, and memory of the process's own.

    python -m benchmarks.audiences [--customers N] [--folder DIR]

One process, no network: what a route does behind its address. CPU is the least of several rounds. Memory is
what the process holds for itself (RssAnon); mapped files are shared by all workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.service import many_customers

QUESTIONS = (
    'and(gt(churn_probability,80),or(gt(customer_lifetime_value,200),eq(region,"north")))',
    "and(gt(customer_lifetime_value,900),gt(churn_probability,900))",
    'sample(.1,"spring")',
)
SORTS = ("customer_id", "-customer_lifetime_value", "-T")


def cpu_ms(work: Callable[[], Any], rounds: int = 5) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1e3 * best


def own_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def make_bundle(path: Path, n: int) -> None:
    from experiments.bundle.writing import write_bundle

    customers = many_customers(n, text=False)
    regions = np.random.default_rng(2).choice(["north", "south", "east", "west"], n)
    profiles = customers.select("customer_id").with_columns(region=pl.Series(regions))
    tables = {"customers": customers, "profiles": profiles}
    write_bundle(path, tables=tables, manifest={"run_id": "r", "as_of": "2025-12-31"}, model={})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the bundle here, and take one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audiences-") as name:
        path = (options.folder or Path(name)) / f"bundle-{options.customers}"
        if not path.exists():
            make_bundle(path, options.customers)
        measure(path, Path(name))


def measure(path: Path, scratch: Path) -> None:
    from api.changes import Earlier, changed_scores
    from api.cursors import Listing, page_of
    from api.export import FORMATS, write_export
    from api.filtering import compile_filter
    from api.routes.audiences import grid_of, mask_of
    from api.served import Served
    from experiments.bundle.reading import load_bundle
    from experiments.filters import bind_filter, parse_filter
    from experiments.tombstones import Tombstones

    bundle = load_bundle(path, verify=False)
    served = Served.open(bundle, tombstones=Tombstones(), id_key=None)
    store = served.store
    print(f"{len(store):,} customers; {own_megabytes():.0f} MB of its own when open")
    for text in QUESTIONS:
        bound = bind_filter(parse_filter(text), store.types)
        keeps = compile_filter(store, bound)
        print(f"\n{text}: {np.count_nonzero(mask_of(served, keeps)):,} kept")
        print(f"  count {cpu_ms(lambda keeps=keeps: mask_of(served, keeps)):.1f} ms")
        for sort in SORTS:
            listing = Listing(sort=sort.removeprefix("-"), descending=sort.startswith("-"), bound=bound)
            first = cpu_ms(lambda listing=listing: page_of(store, listing, start=0, limit=100), rounds=1)
            again = cpu_ms(lambda listing=listing: page_of(store, listing, start=0, limit=100))
            print(f"  page of 100 by {sort}: {again:.1f} ms (the first {first:.0f} ms)")
    columns = [store.filterable[name] for name in ("recency", "monetary_value")]
    print(f"\ngrid of 20 by 20: {cpu_ms(lambda: grid_of(served, None, columns, (20, 20)), 3):.0f} ms")
    before = Earlier(bundle=bundle, store=store)
    compared = cpu_ms(lambda: changed_scores(before, served, "customer_lifetime_value", 1.0), 1)
    print(
        f"comparison with another bundle: {compared:.0f} ms, {own_megabytes():.0f} MB of its own afterwards"
    )
    for form in FORMATS:
        out = scratch / f"scores.{form}"
        took = cpu_ms(lambda form=form, out=out: write_export(served, out, form=form), 1)
        print(
            f"export as {form}: {took / 1e3:.1f} s, {out.stat().st_size / 1e6:.0f} MB, "
            f"{own_megabytes():.0f} MB of its own afterwards"
        )
        out.unlink()


if __name__ == "__main__":
    main()
