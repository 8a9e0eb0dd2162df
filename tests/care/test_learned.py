"""Labels of needs_reply teach a model, which judges the other posts only where it beats the rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from care.judging import judge_posts
from care.learned import NeedsReplyModel, fit_model
from care.settings import CareSettings, NeedsReply
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import find_cases
from experiments.parts.histories import build_histories

# A language that the rules do not know: they say yes to everything.
ASKED = [
    "waar blijft mijn pakket",
    "mijn pakket is stuk",
    "wanneer komt de monteur",
    "ik wil mijn geld terug",
]
CHAT = ["fijne dag allemaal", "wat een mooie winkel", "ik ben er morgen bij", "geweldig gedaan jongens"]


def _posts(n: int = 400, *, labels: int = 300, seed: int = 1, english: bool = False) -> pl.DataFrame:
    """Posts of customers, of which the first `labels` have a label; some labels are wrong."""
    draw = np.random.default_rng(seed)
    asks = draw.random(n) < 0.5
    wrong = draw.random(n) < 0.05
    asked = ["Where is my parcel?", "Please help"] if english else ASKED
    chat = ["Thanks, love it", "Great shop"] if english else CHAT
    texts = [
        f"{draw.choice(asked if ask else chat)} {draw.choice(['hoi', 'nou', 'ja'])} klant{place} nr{place}"
        for place, ask in enumerate(asks)
    ]
    return pl.DataFrame(
        {
            "key": [f"u{place % 150}" for place in range(n)],
            "text": texts,
            "needs_reply": [
                bool(a ^ w) if place < labels else None
                for place, (a, w) in enumerate(zip(asks, wrong, strict=True))
            ],
            "sentiment": pl.Series([None] * n, dtype=pl.Float64),
            "is_customer": [True] * n,
            "truth": asks,
        }
    )


def test_a_model_that_beats_the_rules_judges_the_posts_without_a_label() -> None:
    posts = _posts()
    judged = judge_posts(posts, CareSettings())
    later = judged.posts.slice(300)
    assert (later["needs_reply"] == posts["truth"].slice(300)).mean() > 0.95
    assert judged.posts["needs_reply"].head(300).equals(posts["needs_reply"].head(300))
    held = judged.model["held_out"]
    assert held["model"] > held["rules"]
    assert held["p_value"] < 0.05
    assert judged.note is not None
    assert "300 posts of customers say whether they need a reply" in judged.note
    assert "so it judges the other 100" in judged.note


def test_where_the_rules_are_as_good_they_stay() -> None:
    posts = _posts(english=True)
    judged = judge_posts(posts, CareSettings())
    assert judged.posts.equals(posts)
    assert judged.model == {}
    assert judged.note is not None
    assert "not better by more than chance" in judged.note


def test_labels_that_mean_nothing_teach_nothing() -> None:
    draw = np.random.default_rng(3)
    posts = _posts().with_columns(
        pl.Series("needs_reply", [bool(x) for x in draw.random(300) < 0.5] + [None] * 100)
    )
    assert judge_posts(posts, CareSettings()).model == {}


@pytest.mark.parametrize("settings", [CareSettings(needs_reply=NeedsReply(learn=False)), CareSettings()])
def test_nothing_is_learned_where_it_is_switched_off_or_labels_are_few(settings: CareSettings) -> None:
    posts = _posts() if not settings.needs_reply.learn else _posts(labels=150)
    judged = judge_posts(posts, settings)
    assert (judged.note, judged.model) == (None, {})
    assert judged.posts.equals(posts)


def test_posts_without_a_text_and_of_the_brand_are_not_judged() -> None:
    posts = _posts().with_columns(
        pl.when(pl.int_range(pl.len()) == 399).then(None).otherwise("text").alias("text"),
        (pl.int_range(pl.len()) != 398).alias("is_customer"),
    )
    judged = judge_posts(posts, CareSettings())
    assert judged.posts["needs_reply"][397] is not None
    assert judged.posts["needs_reply"].tail(2).to_list() == [None, None]


def test_the_model_is_plain_parameters_and_says_the_same_again() -> None:
    posts = _posts()
    labels = posts["truth"].to_numpy()
    customers = posts["key"].rank("dense").cast(pl.Int64).to_numpy()
    model = fit_model(posts["text"].to_list(), labels, customers)
    assert model is not None
    again = NeedsReplyModel.from_dict(json.loads(json.dumps(model.to_dict())))
    texts = ["waar blijft mijn pakket", "fijne dag", "", "zzz"]
    assert np.array_equal(model.probabilities(texts), again.probabilities(texts))
    assert model.probabilities(texts)[0] > 0.9 > 0.1 > model.probabilities(texts)[1]


def test_no_name_and_no_number_of_a_customer_goes_into_the_model() -> None:
    posts = _posts()
    model = fit_model(
        [
            f"{text} jansen{'a' * (place % 3)}" if place < 4 else text
            for place, text in enumerate(posts["text"])
        ],
        posts["truth"].to_numpy(),
        posts["key"].rank("dense").cast(pl.Int64).to_numpy(),
    )
    assert model is not None
    assert not [
        word for word in model.words if "jansen" in word or "klant" in word or any(c.isdigit() for c in word)
    ]


def test_a_run_keeps_the_model_and_counts_noise_by_it(tmp_path: Path) -> None:
    posts = _posts()
    rows = posts.with_row_index("n").select(
        pl.format("p{}", "n").alias("post_id"),
        pl.lit("forum").alias("platform"),
        pl.col("key").alias("author"),
        (pl.datetime(2026, 3, 1) + pl.duration(hours=pl.col("n"))).alias("timestamp"),
        "text",
        "needs_reply",
        pl.lit(False).alias("is_brand"),
    )
    reply = rows.head(1).with_columns(
        pl.lit("r").alias("post_id"), pl.lit("acme").alias("author"), pl.lit(True).alias("is_brand")
    )
    pl.concat([rows, reply]).write_csv(tmp_path / "posts.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "c.toml").write_text('observation_end = 2026-03-31\n[inputs]\nposts = "posts.csv"\n')
    config = load_config(tmp_path / "c.toml")
    cases = find_cases(config, build_histories(config, read_inputs(config)))
    assert cases is not None
    assert set(cases.model) == {"words", "idf", "weights", "intercept", "held_out"}
    needs = cases.cases.sort("opened_at")["needs_reply"].to_list()
    assert np.mean(np.array(needs[300:]) == posts["truth"].to_numpy()[300:]) > 0.95
