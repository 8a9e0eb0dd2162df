"""Draw the picture of the README from a demo.

python docs/prepare/demo_picture.py demo docs/demo.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from reports import Figure, draw_svg


def demo_picture(demo: Path) -> Figure:
    """Spend by channel: last touch, incremental credit with its interval, and the simulated truth."""
    truth = pl.DataFrame(json.loads((demo / "company" / "truth.json").read_text(encoding="utf-8"))["credits"])
    true = dict(truth.filter(pl.col("outcome") == "spend").select("channel", "credit").iter_rows())
    credits = pl.read_parquet(demo / "runs" / "champion" / "credits.parquet").filter(
        (pl.col("outcome") == "spend") & (pl.col("level") == "channel") & (pl.col("segment") == "(all)")
    )
    names = {"last": "last touch", "incremental": "incremental, with interval"}
    rows = []
    for channel in sorted(true, key=lambda name: -true[name]):
        own = credits.filter(pl.col("channel") == channel)
        for method, series in names.items():
            row = own.filter(pl.col("method") == method).row(0, named=True)
            low, high = (row["low"], row["high"]) if method == "incremental" else (None, None)
            rows.append(
                {"label": channel, "series": series, "value": row["credit"], "low": low, "high": high}
            )
        rows.append({"label": channel, "series": "truth", "value": true[channel], "low": None, "high": None})
    return Figure(
        form="ranges", title="Spend by channel", rows=tuple(rows), x_title="GBP over 18 months", reference=0.0
    )


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:3])
    out.write_text(draw_svg(demo_picture(folder)) + "\n", encoding="utf-8")
