"""Pseudonyms are stable, keyed and the same for a number and its text."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest

from histories import ConfigError, pseudonym
from histories.identity import check_key, customers_of_handles, pseudonyms

KEY = b"0123456789abcdef"


def test_a_pseudonym_is_hmac_sha_256() -> None:
    assert pseudonym("ann", KEY) == hmac.new(KEY, b"ann", hashlib.sha256).hexdigest()[:32]


def test_a_number_and_its_decimal_have_one_pseudonym_and_keys_differ() -> None:
    assert pseudonym(17, KEY) == pseudonym("17", KEY)
    assert pseudonym(17, KEY) != pseudonym(17, KEY[::-1])


def test_a_column_of_ids_is_replaced_and_null_stays_null() -> None:
    frame = pl.DataFrame({"customer_id": [3, None, 3, 4]}).lazy().with_columns(pseudonyms("customer_id", KEY))
    three, four = pseudonym(3, KEY), pseudonym(4, KEY)
    assert frame.collect()["customer_id"].to_list() == [three, None, three, four]


def test_a_short_key_is_refused_without_showing_it() -> None:
    check_key(None)
    check_key(KEY)
    with pytest.raises(ConfigError, match="TRIBUTARY_ID_KEY has 7 bytes; allowed: 16 or more") as error:
        check_key(b"hunter2")
    assert "hunter2" not in str(error.value)


def test_a_known_customer_is_not_replaced_by_the_handle() -> None:
    touches = pl.LazyFrame({"platform": ["x", "x"], "handle": ["ann", "ann"], "customer_id": [7, None]})
    identities = pl.LazyFrame({"platform": ["x"], "handle": ["ann"], "customer_id": [1]})
    assert customers_of_handles(touches, identities).collect()["customer_id"].sort().to_list() == [1, 7]
