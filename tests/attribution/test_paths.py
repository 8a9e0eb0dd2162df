"""Counted paths: reading text and lists, merging, dropping touches."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.credits.rows import RESERVED_CHANNELS
from attribution.paths.encoded import (
    EncodedPaths,
    encode_paths,
    exclude_channels,
    path_table,
    unique_channels,
)
from attribution.paths.rules import path_weights
from histories.errors import DataError, SchemaError

names = st.text(
    st.characters(exclude_characters=">", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1
).filter(lambda name: name not in RESERVED_CHANNELS)
journeys = st.lists(st.lists(names, max_size=6), min_size=1, max_size=30)


def as_lists(paths: EncodedPaths) -> list[list[str]]:
    return [
        [paths.channels[code] for code in paths.codes[start:end]]
        for start, end in zip(paths.offsets, paths.offsets[1:], strict=False)
    ]


def counted(paths: list[object], **columns: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"path": paths, **({"conversions": [1] * len(paths)} | columns)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("a > b>a", ["a", "b", "a"]),
        ("  paid search  >  e mail ", ["paid search", "e mail"]),
        ("", []),
        ("   ", []),
        ("Größe > 日本語", ["Größe", "日本語"]),
    ],
)
def test_text_is_split_at_the_sign_and_trimmed(text: str, expected: list[str]) -> None:
    assert as_lists(encode_paths(counted([text]))) == [expected]


@settings(max_examples=40, deadline=None)
@given(paths=journeys, spaces=st.integers(0, 2))
def test_text_and_lists_give_the_same_codes(paths: list[list[str]], spaces: int) -> None:
    from_lists = encode_paths(counted(paths).cast({"path": pl.List(pl.String)}))
    from_text = encode_paths(counted([(" " * spaces + ">" + " " * spaces).join(path) for path in paths]))
    assert from_text.channels == from_lists.channels == tuple(sorted({c for path in paths for c in path}))
    assert as_lists(from_text) == as_lists(from_lists) == paths


def test_more_channels_than_the_first_table_holds_are_all_told_apart() -> None:
    paths = [[f"c{i}", f"c{i + 1}"] for i in range(9_000)]
    encoded = encode_paths(counted([" > ".join(path) for path in paths]))
    assert len(encoded.channels) == 9_001
    assert as_lists(encoded) == paths


@pytest.mark.parametrize("text", ["a > > b", "> a", "a >", ">"])
def test_an_empty_channel_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="a channel has no name"):
        encode_paths(counted([text]))


@pytest.mark.parametrize("name", ["(total)", "(baseline)", "(start)", "(null)"])
def test_a_channel_with_a_name_of_the_tables_of_credit_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="a name that the tables of credit use themselves"):
        encode_paths(counted([f"a > {name}"]))


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (pl.DataFrame({"path": ["a"]}), SchemaError, 'needs a column "conversions"'),
        (pl.DataFrame({"path": [1], "conversions": [1]}), SchemaError, 'needs a column "path"'),
        (counted(["a", None]), DataError, "1 of 2 rows have no path"),
        (
            pl.DataFrame({"path": ["a", "b"], "conversions": [2**62, 2**62]}),
            DataError,
            '"conversions" adds up to 9.2e.18; allowed: below 9e.15',
        ),
        (counted(["a", "b"], conversions=[1, -1]), DataError, '"conversions" is negative .* 1 of 2'),
        (counted(["a"], value=[float("nan")]), DataError, '"value" is negative or not finite in 1 of 1'),
        (counted([["a", None]]), DataError, "1 touches have no channel"),
    ],
)
def test_a_table_that_is_not_of_counted_paths_is_refused(
    frame: pl.DataFrame, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        encode_paths(frame)


def test_only_the_first_touch_of_each_channel_is_kept_when_asked() -> None:
    paths = encode_paths(counted(["b > a > b > a > c", "", "a > a"]))
    assert as_lists(unique_channels(paths)) == [["b", "a", "c"], [], ["a"]]


def test_excluded_channels_leave_their_paths() -> None:
    paths = exclude_channels(encode_paths(counted(["b > a > b", "b", "c > b"])), ["b"])
    assert paths.channels == ("a", "c")
    assert as_lists(paths) == [["a"], [], ["c"]]


def test_membership_counts_the_touches_of_each_channel() -> None:
    paths = encode_paths(counted(["b > a > b", "", "c"]))
    assert paths.membership().toarray().tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert as_lists(paths)[0] == ["b", "a", "b"]


def test_the_path_table_adds_equal_paths_and_starts_with_the_most_walked() -> None:
    paths = encode_paths(counted(["a>b", "c", "a > b"], nulls=[0, 5, 1], value=[2.0, 0.0, 3.0]))
    table = path_table(paths, outcome="spend", segment="(all)")
    assert table.select("path", "length", "conversions", "value", "nulls").rows() == [
        ("c", 1, 1, 0.0, 5),
        ("a > b", 2, 2, 5.0, 1),
    ]
    assert np.issubdtype(paths.codes.dtype, np.int32)


def test_paths_in_one_word_are_the_paths_in_lists() -> None:
    lists = [["b", "a > c", "b"], [], ["c"]]
    words = pl.DataFrame({"text": ["\x1f".join(path) for path in lists], "conversions": [1, 2, 3]})
    assert as_lists(encode_paths(words)) == lists


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_paths_taken_in_parts_are_the_whole(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "b > a > b", "", "c", "a > c > c > b > a", "", "b"]
    paths = encode_paths(counted(texts, nulls=[0, 1, 2, 3, 4, 5, 6]))
    whole = {rule: path_weights(paths, rule).toarray() for rule in ("last", "linear", "position")}
    member, lists = paths.membership().toarray(), as_lists(paths)
    monkeypatch.setattr("attribution.paths.encoded._TOUCHES_AT_ONCE", at_once)
    parts = list(paths.parts())
    assert [path for part in parts for path in as_lists(part)] == lists
    assert max(len(part.codes) for part in parts) < at_once + 5
    assert np.concatenate([part.nulls for part in parts]).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert np.array_equal(paths.membership().toarray(), member)
    for rule, weights in whole.items():
        assert np.array_equal(path_weights(paths, rule).toarray(), weights)
