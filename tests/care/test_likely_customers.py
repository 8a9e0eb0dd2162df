"""Customers by likeness count in figures, and no list or look-up names them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import care_part
from experiments.parts.histories import build_histories
from histories.identity import identities_table

POSTS = """\
post_id,platform,author,timestamp,in_reply_to,text,is_brand
a,forum,sure,2026-03-01T10:00:00Z,,Where is it?,false
b,forum,likely,2026-03-01T11:00:00Z,,Where is mine?,false
c,forum,acme,2026-03-01T12:00:00Z,a,On its way,true
"""
IDENTITIES = "platform,handle,customer_id,probability\nforum,sure,1,1\nforum,likely,2,.97\n"


def test_a_customer_by_likeness_is_matched_and_not_named(tmp_path: Path) -> None:
    for name, text in (("posts", POSTS), ("identities", IDENTITIES)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    path = tmp_path / "care.toml"
    path.write_text(
        'observation_end = 2026-03-31\n[inputs]\nposts = "posts.csv"\nidentities = "identities.csv"\n'
    )
    config = load_config(path)
    histories = build_histories(config, read_inputs(config))
    part = care_part(config, histories)
    named = dict(part.cases.collect().select("case_id", "customer_id").iter_rows())
    assert named == {"post:a": 1, "post:b": None}
    whole = part.tables["care"].filter(
        (pl.col("kpi") == "match_rate")
        & pl.all_horizontal(pl.col("channel", "team", "segment", "period") == "(all)")
    )
    assert whole["value"].to_list() == [1.0]
    rows = histories.table("identities")
    assert rows is not None
    table = identities_table(rows, b"0123456789abcdef", config.observation_end)
    assert table["customer_id"].to_list() == [1]
