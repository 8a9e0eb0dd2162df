"""What exports hold that nobody asked for, and how an export of another form is read or refused."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from histories.errors import ConfigError, DataError, SchemaError
from histories.reading.inputs import Inputs
from histories.reading.plausibility import plausibility_notes
from histories.reading.staging import hide_people

Read = Callable[..., Inputs]
Write = Callable[..., Path]

HEADER = "customer_id,timestamp,amount"
DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=day) for day in range(30)]
GOOD = [f"c{day.day % 5},{day},{10 + day.day}.5" for day in DAYS]
TOTAL = sum(10.5 + day.day for day in DAYS)


def revenue(inputs: Inputs) -> float:
    return float(inputs["transactions"].select(pl.col("amount").sum()).collect().item()) / 10_000


def notes_of(read: Read, **tables: object) -> tuple[str, ...]:
    return plausibility_notes(read(**tables))


def with_column(name: str, words: list[str]) -> list[str]:
    """The header and the good rows with a further column that holds the words in turn."""
    return [f"{HEADER},{name}", *(f"{row},{words[k % len(words)]}" for k, row in enumerate(GOOD))]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (f"Total,,{TOTAL}", "total"),
        (f",,{TOTAL}", "sum of all"),
        (f"Grand total:,2026-01-30,{TOTAL}", "total"),
        (f"All,2026-01-30,{TOTAL}", "sum of all"),
    ],
)
def test_a_last_row_that_adds_up_all_others_is_set_aside(
    read: Read, write_csv: Write, row: str, rule: str
) -> None:
    write_csv("orders.csv", HEADER, *GOOD, row)
    found = read(transactions="orders.csv")
    assert revenue(found) == TOTAL
    assert found.tables["transactions"].set_aside_by_rule == {rule: 1}


def test_subtotals_between_the_rows_are_set_aside(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD[:9], "Subtotal,2026-01-09,1", *GOOD[9:], "Subtotal,2026-01-30,2")
    found = read(transactions="orders.csv")
    assert revenue(found) == TOTAL
    assert found.tables["transactions"].set_aside_by_rule == {"total": 2}


def test_a_last_row_of_means_is_set_aside(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, f"Average,2026-01-30,{TOTAL / len(GOOD)}")
    assert read(transactions="orders.csv").tables["transactions"].set_aside_by_rule == {"total": 1}


def test_ids_wrapped_for_a_spreadsheet_are_the_ids(read: Read, write_csv: Write) -> None:
    write_csv(
        "orders.csv", HEADER, *(f'"=""00{k % 5}""",2026-01-05,5' for k in range(10)), "'001,2026-01-05,5"
    )
    found = read(transactions="orders.csv")
    ids = found["transactions"].select(pl.col("customer_id").unique().sort()).collect()["customer_id"]
    assert ids.to_list() == ["'001", "000", "001", "002", "003", "004"]
    assert any("nobody sees" in note for note in found.notes)


def test_lock_files_of_a_spreadsheet_are_no_data(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("~$orders.csv", "\x01\x02")
    found = read(transactions=".")
    assert revenue(found) == TOTAL
    assert not any("~$" in note for note in found.notes)


def test_a_last_row_that_is_no_sum_stays(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, f"c9,2026-01-30,{TOTAL + 1}")
    assert revenue(read(transactions="orders.csv")) == 2 * TOTAL + 1


def test_orders_that_came_to_nothing_are_said_and_left_out_where_asked(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Status", ["Paid", "Failed"]))
    counted = read(transactions="orders.csv")
    assert revenue(counted) == TOTAL
    note = next(note for note in counted.notes if "Status" in note)
    assert "says of 15 rows that nothing was bought" in note
    assert 'inputs.transactions.where = { "Status" = ["Paid"] }' in note

    chosen = read(transactions={"path": "orders.csv", "where": {"Status": "Paid"}})
    assert revenue(chosen) == sum(10.5 + day.day for day in DAYS[::2])
    assert chosen.tables["transactions"].set_aside_by_rule == {"where Status": 15}
    assert not any("nothing was bought" in note for note in chosen.notes)


def test_every_word_that_counts_stands_in_the_choice_that_is_told(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Status", ["Paid", "Failed", "Sent", "Packed", "Billed", "Due"]))
    note = next(note for note in read(transactions="orders.csv").notes if "Status" in note)
    assert all(f'"{word}"' in note for word in ("Paid", "Sent", "Packed", "Billed", "Due"))


def test_cases_that_their_desk_took_out_are_said(read: Read, write_csv: Write) -> None:
    status = ["Closed", "Deleted", "Open"]
    rows = [f"{k},2026-01-0{1 + k % 9},mail,{status[k % 3]}" for k in range(9)]
    write_csv("cases.csv", "case_id,opened_at,channel,Status", *rows)
    notes = read(cases="cases.csv").notes
    assert any(
        'column "Status" says of 3 rows that they are no cases of their own (Deleted 3)' in note
        and 'inputs.cases.where = { "Status" = ["Closed", "Open"] }' in note
        for note in notes
    )
    chosen = read(cases={"path": "cases.csv", "where": {"Status": ["Closed", "Open"]}})
    assert chosen.tables["cases"].rows_valid == 6
    assert not any("no cases of their own" in note for note in chosen.notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Delivered", "Bounced", "Delivered"], ["says of 3 rows that nobody was reached (Bounced 3)"]),
        (["Sent", "Opened Email", "Clicked Email"], ["steps of a message (click, open, sent)"]),
        (["Sent"], []),
        (["Resent", "Reopened"], []),
    ],
)
def test_messages_that_reached_nobody_and_steps_of_messages_are_said(
    read: Read, write_csv: Write, words: list[str], said: list[str]
) -> None:
    rows = [f"{k},2026-01-0{1 + k},mail,{words[k % len(words)]}" for k in range(9)]
    write_csv("touches.csv", "customer_id,timestamp,channel,Event Type", *rows)
    notes = [note for note in read(touchpoints="touches.csv").notes if "Event Type" in note]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


@pytest.mark.parametrize(
    ("name", "values", "unit", "minutes"),
    [
        ("First response time (in hrs)", ["1.5", "2"], "hours", 90.0),
        ("First response time (s)", ["90", "120"], "seconds", 1.5),
        ("firstReplyMs", ["60000", "1"], "milliseconds", 1.0),
    ],
)
def test_lengths_that_count_another_unit_are_refused_until_it_is_said(
    read: Read, write_csv: Write, name: str, values: list[str], unit: str, minutes: float
) -> None:
    rows = [f"{k},2026-01-05 10:00,mail,{value}" for k, value in enumerate(values)]
    write_csv("cases.csv", f"case_id,opened_at,channel,{name}", *rows)
    source = {
        "path": "cases.csv",
        "columns": {"first_response_minutes": name},
        "constants": {"clock": "calendar"},
    }
    with pytest.raises(
        ConfigError, match=f"seems to count {unit}, and first_response_minutes counts minutes"
    ):
        read(cases=source)
    found = read(cases=source | {"units": {"first_response_minutes": unit}})["cases"].collect()
    assert found["first_response_minutes"][0] == minutes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("First response time (in hrs)", "1:30:00"),
        ("First reply time in minutes within business hours", "90"),
        ("Reply Time (Business Hours)", "90"),
        ("Customer's wait", "90"),
        ("first_response_minutes", "90"),
    ],
)
def test_lengths_that_say_no_other_unit_are_read_as_ours(
    read: Read, write_csv: Write, name: str, value: str
) -> None:
    write_csv("cases.csv", f"case_id,opened_at,channel,{name}", f"1,2026-01-05 10:00,mail,{value}")
    columns, constants = {"first_response_minutes": name}, {"clock": "calendar"}
    found = read(cases={"path": "cases.csv", "columns": columns, "constants": constants})["cases"].collect()
    assert found["first_response_minutes"].to_list() == [90.0]


def test_of_a_pipeline_only_what_was_won_was_bought(read: Read, write_csv: Write) -> None:
    write_csv("deals.csv", *with_column("Stage", ["Closed Won", "Prospecting", "Closed Lost"]))
    note = next(note for note in read(transactions="deals.csv").notes if "Stage" in note)
    assert "says of 20 rows" in note
    assert '{ "Stage" = ["Closed Won"] }' in note


def test_orders_that_only_tried_the_till_are_said(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Test", ["false", "false", "true"]))
    note = next(note for note in read(transactions="orders.csv").notes if "Test" in note)
    assert "says of 10 rows" in note
    assert '{ "Test" = ["false"] }' in note


def test_a_column_of_refunds_is_said_and_taken_off_where_the_file_is_read_twice(
    read: Read, write_csv: Write
) -> None:
    lines = [f"c{k},2026-01-0{k},{10 * k},o{k},{back}" for k, back in enumerate(["5.50", "0", "", "40"], 1)]
    write_csv("orders.csv", f"{HEADER},order_id,Refunded Amount", *lines, "c1,2026-01-01,,o1,")
    once = read(transactions="orders.csv")
    assert revenue(once) == 100
    assert any('"Refunded Amount" holds 45.50 in 2 rows' in note for note in once.notes)

    refunds = {"path": "orders.csv", "columns": {"amount": "Refunded Amount"}, "negate": ["amount"]}
    twice = read(transactions=[{"path": "orders.csv"}, refunds])
    assert revenue(twice) == 100 - 45.5
    assert not any("Refunded Amount" in note for note in twice.notes)
    assert not twice.tables["transactions"].rejected_by_rule


def test_an_empty_field_can_be_chosen_too(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Cancelled at", ["", "2026-02-01"]))
    found = read(transactions={"path": "orders.csv", "where": {"Cancelled at": [""]}})
    assert revenue(found) == sum(10.5 + day.day for day in DAYS[::2])


@pytest.mark.parametrize(
    ("column", "words", "said"),
    [
        (
            "Type",
            ["Sale", "Refund", "Sale"],
            'set inputs.transactions.where = { "Type" = ["Sale"] }; to take off',
        ),
        (
            "Vorgangsart",
            ["Verkauf", "Gutschrift", "Verkauf"],
            "10 rows that they are no sale (Gutschrift 10)",
        ),
        ("Event Type", ["charge", "payout", "charge"], "10 rows that they are no sale (payout 10)"),
        ("Soll/Haben-Kennzeichen", ["S", "S", "H"], 'says "S" of 20 rows and "H" of 10'),
        ("Debit/Credit", ["D", "C", "D"], 'says "D" of 20 rows and "C" of 10'),
        ("refunds", ["[]", "[{}]", "[]"], '"refunds" holds lists in 10 rows'),
        ("Card type", ["debit", "credit", "debit"], None),
        ("Type", ["online", "shop", "phone"], None),
        ("refunds", ["[]", "", "[]"], None),
    ],
)
def test_rows_that_give_back_without_a_sign_or_are_no_sale_are_said(
    read: Read, write_csv: Write, column: str, words: list[str], said: str | None
) -> None:
    write_csv("orders.csv", *with_column(column, words))
    notes = [note for note in read(transactions="orders.csv").notes if column in note]
    assert [said in note for note in notes] == ([True] if said else [])


def test_refunds_without_a_sign_are_taken_off_where_the_file_is_read_twice(
    read: Read, write_csv: Write
) -> None:
    write_csv("orders.csv", *with_column("Type", ["Sale", "Sale", "Refund"]))
    sales = {"path": "orders.csv", "where": {"Type": "Sale"}}
    refunds = {"path": "orders.csv", "where": {"Type": "Refund"}, "negate": ["amount"]}
    found = read(transactions=[sales, refunds])
    assert revenue(found) == TOTAL - 2 * sum(10.5 + day.day for day in DAYS[2::3])
    assert not any("Type" in note and "no sale" in note for note in found.notes)


LINES = [
    (f"c{order % 7}", f"2026-01-{1 + order % 28:02}", 10 + order, f"o{order}")
    for order in range(30)
    for _ in range(1 + order % 3)
]


def test_the_total_of_an_order_on_each_line_is_said_and_counted_once(read: Read, write_csv: Write) -> None:
    rows = [",".join(map(str, line)) for line in LINES]
    write_csv("orders.csv", f"{HEADER},order_id", *rows, "c1,2026-01-09,-5,o1")
    said = [note for note in read(transactions="orders.csv").notes if "counts once for each line" in note]
    assert ["20 of 20 orders" in note for note in said] == [True]
    found = read(transactions={"path": "orders.csv", "amounts": "order"})
    assert revenue(found) == sum(10 + order for order in range(30)) - 5
    assert found.tables["transactions"].set_aside_by_rule == {"further line of an order with its amount": 30}
    with pytest.raises(ConfigError, match="needs order_id"):
        read(
            transactions={
                "path": "orders.csv",
                "amounts": "order",
                "where": {"order_id": "o1"},
                "columns": {"product": "order_id"},
            }
        )


def test_lines_of_orders_with_amounts_of_their_own_are_no_matter(read: Read, write_csv: Write) -> None:
    rows = [f"{who},{day},{amount + place},{order}" for place, (who, day, amount, order) in enumerate(LINES)]
    write_csv("orders.csv", f"{HEADER},order_id", *rows)
    assert not any("for each line" in note for note in read(transactions="orders.csv").notes)


@pytest.mark.parametrize(
    ("price", "quantity", "counts", "said"),
    [
        ("UnitPrice", "Quantity", ["2", "1"], True),
        ("Lineitem price", "Lineitem quantity", ["2", "1"], True),
        ("Einzelpreis", "Menge", ["3"], True),
        ("Price", "Qty", ["1", "1.0"], False),
        ("Total", "Quantity", ["2"], False),
    ],
)
def test_a_price_whose_quantity_nothing_reads_is_asked_about(
    read: Read, write_csv: Write, price: str, quantity: str, counts: list[str], said: bool
) -> None:
    header, *rows = with_column(quantity, counts)
    write_csv("orders.csv", header.replace("amount", price), *rows)
    found = read(transactions={"path": "orders.csv", "columns": {"amount": price}})
    assert any("is the price of one" in note for note in found.notes) == said


@pytest.mark.parametrize(
    ("name", "unit", "one"),
    [
        *[(name, "cents", 100) for name in ("amount_cents", "Price (pence)", "totalCents", "amountMinor")],
        *[
            ("cost_micros", "micros", 1e6),
            ("Umsatz TEUR", "thousands", 1e-3),
            ("Revenue ('000)", "thousands", 1e-3),
        ],
    ],
)
def test_amounts_that_count_another_unit_are_refused_until_it_is_said(
    read: Read, write_csv: Write, name: str, unit: str, one: float
) -> None:
    counted = [f"c{day.day % 5},{day},{(10.5 + day.day) * one:f}" for day in DAYS]
    write_csv("orders.csv", HEADER.replace("amount", name), *counted)
    source = {"path": "orders.csv", "columns": {"amount": name}}
    with pytest.raises(ConfigError, match=rf"units = \{{ amount = \"{unit}\" \}}"):
        read(transactions=source)
    assert revenue(read(transactions=source | {"units": {"amount": unit}})) == TOTAL
    whole = read(transactions=source | {"units": {"amount": "whole"}})
    assert revenue(whole) == pytest.approx(TOTAL * one, rel=0.01)
    with pytest.raises(ConfigError, match='amount = "hours"; allowed: whole, cents'):
        read(transactions=source | {"units": {"amount": "hours"}})


@pytest.mark.parametrize("name", ["accents", "percents", "Price", "recent total"])
def test_other_names_count_the_currency(read: Read, write_csv: Write, name: str) -> None:
    write_csv("orders.csv", HEADER.replace("amount", name), *GOOD)
    assert revenue(read(transactions={"path": "orders.csv", "columns": {"amount": name}})) == TOTAL


@pytest.mark.parametrize(
    ("amounts", "currency", "asked"),
    [
        ([1999, 4995, 2450], None, True),
        ([1999, 4995, 2450], "EUR", True),
        ([1999, 4995, 2450], "JPY", False),
        ([19, 49, 24], None, False),
        ([1200, 500, 80_000], None, False),
        ([1999, 4995, 24.5], None, False),
    ],
)
def test_whole_amounts_that_are_hardly_ever_round_are_asked_about(
    read: Read, write_csv: Write, amounts: list[float], currency: str | None, asked: bool
) -> None:
    rows = [f"c{k % 9},2026-01-{1 + k % 28:02},{amounts[k % 3]}" for k in range(120)]
    write_csv("orders.csv", HEADER, *rows)
    notes = read(transactions="orders.csv", currency=currency).notes
    assert any("If they count cents" in note for note in notes) == asked
    said = {"path": "orders.csv", "units": {"amount": "cents" if asked else "whole"}}
    assert not any("count cents" in note for note in read(transactions=said, currency=currency).notes)


def test_a_report_that_names_each_customer_once_is_asked_about(read: Read, write_csv: Write) -> None:
    rows = [f"{'' if k % 3 else f'c{k}'},2026-01-{1 + k % 28:02},{5 + k}.5" for k in range(45)]
    write_csv("orders.csv", HEADER, *rows)
    note = next(note for note in read(transactions="orders.csv").notes if "fill the column down" in note)
    assert "15 customers have one row each, and 30 rows name none" in note
    write_csv("orders.csv", HEADER, *rows, "c0,2026-02-01,7")
    assert not any("fill the column down" in note for note in read(transactions="orders.csv").notes)


def test_refunds_with_their_sign_are_no_matter(read: Read, write_csv: Write) -> None:
    signed = [row.replace(",1", ",-1") if k % 9 == 1 else row for k, row in enumerate(GOOD)]
    kinds = ["Refund" if ",-1" in row else "Sale" for row in signed]
    write_csv(
        "orders.csv", f"{HEADER},Type", *(f"{row},{kind}" for row, kind in zip(signed, kinds, strict=True))
    )
    assert not any("Type" in note for note in read(transactions="orders.csv").notes)


def test_orders_of_a_customer_who_is_nobody_are_those_of_guests(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, "Guest,2026-01-05,7", "walk-in customer,2026-01-06,8")
    found = read(transactions="orders.csv")
    assert revenue(found) == TOTAL
    assert found.tables["transactions"].set_aside_by_rule == {"guest": 2}


def test_a_number_with_the_orders_of_many_is_asked_about(read: Read, write_csv: Write) -> None:
    few = [f"{k},2026-01-{1 + k % 28:02},9" for k in range(40)]
    write_csv("orders.csv", HEADER, *few)
    assert not any("guests are booked" in note for note in read(transactions="orders.csv").notes)
    write_csv("orders.csv", HEADER, *few, *(f"0,2026-01-{day:02},9" for day in range(1, 25)))
    note = next(note for note in read(transactions="orders.csv").notes if "guests are booked" in note)
    assert 'the customer_id "0" has 25 rows' in note
    told = {"path": "orders.csv", "values": {"customer_id": {"0": ""}}}
    assert read(transactions=told).tables["transactions"].set_aside_by_rule == {"guest": 25}


@pytest.mark.parametrize("name", ["refund_id", "Refunded quantity", "refunded_at", "refunded"])
def test_what_tells_of_refunds_and_holds_no_amounts_is_no_matter(
    read: Read, write_csv: Write, name: str
) -> None:
    write_csv("orders.csv", *with_column(name, ["0", "1"] if name == "refunded" else ["7", "9"]))
    assert not any(name in note for note in read(transactions="orders.csv").notes)


@pytest.mark.parametrize("positive", [0, 3])
def test_a_ledgers_sign_is_refused_and_turned_where_asked(
    read: Read, write_csv: Write, positive: int
) -> None:
    turned = [row.replace(",1", ",-1") if k >= positive else row for k, row in enumerate(GOOD[:9])]
    write_csv("ledger.csv", HEADER, *turned)
    with pytest.raises(DataError, match=r'set inputs.transactions.negate = \["amount"\]'):
        read(transactions="ledger.csv")
    found = read(transactions={"path": "ledger.csv", "negate": ["amount"]})
    said = [float(row.split(",")[2]) for row in turned]
    assert revenue(found) == -sum(said) > 0


def test_amounts_that_whole_numbers_cannot_add_up_are_refused(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *(f"c{k},2026-01-01,{8 * 10**11}" for k in range(1_200)))
    with pytest.raises(DataError, match=r"column amount adds up to 9.6e\+14; allowed: 9e\+14"):
        read(transactions="orders.csv")
    write_csv("orders.csv", HEADER, *(f"c{k},2026-01-01,{8 * 10**11}" for k in range(1_100)))
    assert revenue(read(transactions="orders.csv")) == 8.8e14


def test_an_export_that_was_appended_to_itself_is_asked_about(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD, *GOOD)
    assert any(
        "30 of 60: is the export in it twice?" in note for note in read(transactions="orders.csv").notes
    )
    write_csv("orders.csv", HEADER, *GOOD, *GOOD[:9])
    assert not any("twice" in note for note in read(transactions="orders.csv").notes)


def test_a_column_that_where_names_must_be_there(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Status", ["Paid"]))
    with pytest.raises(SchemaError, match=r'no column "Staus".*where names; did you mean "Status"'):
        read(transactions={"path": "orders.csv", "where": {"Staus": ["Paid"]}})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (with_column("Order Currency", ["EUR", "usd", "eur"]), "2 currencies: EUR (20 rows), USD (10 rows)"),
        ([HEADER, *(row.replace("-01,", "-01,€").replace("-02,", "-02,$") for row in GOOD)], "EUR (1 rows)"),
        (
            [HEADER, *(f"{row} {code}" for row, code in zip(GOOD, ["EUR", "CHF"] * 15, strict=True))],
            "CHF (15 rows)",
        ),
    ],
)
def test_currencies_that_nobody_named_are_not_added(
    read: Read, write_csv: Write, lines: list[str], said: str
) -> None:
    write_csv("orders.csv", *lines)
    with pytest.raises(DataError) as refused:
        read(transactions="orders.csv")
    assert said in str(refused.value)
    assert re.search(r'constants = \{ currency = "(EUR|CHF|\$)" \}', str(refused.value))
    said_so = read(transactions={"path": "orders.csv", "constants": {"currency": "EUR"}})
    assert revenue(said_so) == TOTAL


def test_one_currency_that_nobody_named_is_no_matter(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Order Currency", ["EUR", "eur", ""]))
    assert revenue(read(transactions="orders.csv")) == TOTAL
    write_csv(
        "orders.csv",
        HEADER,
        *(row.replace("-01,", "-01,€") + " EUR" * (k == 9) for k, row in enumerate(GOOD)),
    )
    assert revenue(read(transactions="orders.csv", currency="EUR")) == TOTAL
    with pytest.raises(DataError, match='"amount" amounts are in "EUR", but the currency is "USD"'):
        read(transactions="orders.csv", currency="USD")


@pytest.mark.parametrize(
    ("mark", "right", "wrong"),
    [
        ("$", "CAD", "EUR"),
        ("£", "GBP", "USD"),
        ("kr.", "DKK", "EUR"),
        ("US$", "USD", "CAD"),
        ("Fr.", "CHF", "EUR"),
    ],
)
def test_the_sign_of_another_currency_is_refused(
    read: Read, write_csv: Write, mark: str, right: str, wrong: str
) -> None:
    write_csv("orders.csv", HEADER, *(f"{row} {mark}" for row in GOOD))
    assert revenue(read(transactions="orders.csv", currency=right)) == TOTAL
    with pytest.raises(DataError, match=re.escape(f'are in "{mark}", but the currency is "{wrong}"')):
        read(transactions="orders.csv", currency=wrong)
    said_so = {"path": "orders.csv", "constants": {"currency": wrong}}
    assert revenue(read(transactions=said_so, currency=wrong)) == TOTAL


def test_another_currency_in_a_column_that_nobody_named_is_refused(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("Order Currency", ["usd"]))
    assert revenue(read(transactions="orders.csv", currency="USD")) == TOTAL
    with pytest.raises(DataError, match='"Order Currency" amounts are in "USD", but the currency is "EUR"'):
        read(transactions="orders.csv", currency="EUR")


def test_codes_of_currencies_are_the_same_in_small_letters(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("currency", ["eur", "EUR"]))
    assert read(transactions="orders.csv", currency="EUR").currency == "EUR"


def test_many_rows_of_the_first_day_of_1970_are_set_aside(read: Read, write_csv: Write) -> None:
    lost = [f"c{k},1970-01-01,5" for k in range(20)]
    write_csv("orders.csv", HEADER, *GOOD, *lost)
    found = read(transactions="orders.csv", timezone="Europe/Berlin")
    assert revenue(found) == TOTAL
    assert found.tables["transactions"].set_aside_by_rule == {"date out of all proportion": 20}


@pytest.mark.parametrize("end", [dt.date(2026, 12, 31), dt.date.max])
def test_times_that_count_another_unit_than_the_others_are_no_far_dates(
    read: Read, write_csv: Write, end: dt.date
) -> None:
    start = 1_767_607_200
    seconds = [f"c{k},{start + 86_400 * k},5" for k in range(40)]
    others = [f"c41,{start * 10**3 + 7},5", f"c42,{start * 10**6},5", "c43,1,5"]
    source = {"path": "orders.csv", "timestamp_format": "epoch_s"}
    write_csv("orders.csv", HEADER, *seconds, *others)
    says = re.escape(
        'count milliseconds since 1970, not seconds as timestamp_format = "epoch_s" says (row 41; first: '
        '"1767607200007"). Write all times of the table in one unit.'
    )
    with pytest.raises(DataError, match=says):
        read(transactions=source, observation_end=end)
    found = read(transactions=source, observation_end=end, max_rejected_share=0.1).tables["transactions"]
    assert found.rejected_by_rule == {"time in milliseconds": 1, "unreadable timestamp": 1}
    assert found.set_aside_by_rule == {"date out of all proportion": 1}


@pytest.mark.parametrize(("after", "told"), [(30, True), (3, False)])
def test_refunds_that_are_still_to_come_are_said(
    read: Read, write_csv: Write, after: int, told: bool
) -> None:
    start = dt.date(2026, 1, 1)
    rows = [f"c{k % 50},{start + dt.timedelta(days=k // 4)},10,{k}" for k in range(1200)]
    back = [(start + dt.timedelta(days=k // 4 + after), k) for k in range(0, 1200, 4)]
    taken = [f"c{k % 50},{day},-10,{k}" for day, k in back if day < start + dt.timedelta(days=300)]
    write_csv("orders.csv", f"{HEADER},order_id", *rows, *taken)
    said = [note for note in read(transactions="orders.csv").notes if "still to be taken back" in note]
    assert bool(said) is told
    if told:
        assert "up to 30 days after their orders. Of what was sold in the last 30 days some 25% is" in said[0]


def test_days_that_could_all_be_months_are_said(read: Read, write_csv: Write) -> None:
    days = [dt.date(2026, month, day) for month in range(1, 13) for day in range(1, 13)]
    write_csv("orders.csv", HEADER, *(f"c{k % 7},{day},5" for k, day in enumerate(days)))
    assert any("none is after the 12th" in note for note in read(transactions="orders.csv").notes)
    write_csv("orders.csv", HEADER, *(f"c{k % 7},{day},5" for k, day in enumerate(days)), "c1,2026-02-13,5")
    assert not any("after the 12th" in note for note in read(transactions="orders.csv").notes)


def test_ids_that_look_the_same_are_kept_apart_and_counted(read: Read, write_csv: Write) -> None:
    alike = ["Renée", unicodedata.normalize("NFD", "Renée"), "Ren\u200bée", "renée"]
    write_csv("orders.csv", HEADER, *GOOD, *(f"{name},2026-01-05,5" for name in alike))
    found = read(transactions="orders.csv")
    assert found["transactions"].select(pl.col("customer_id").n_unique()).collect().item() == 9
    assert any("letter case alone: 1." in note for note in found.notes)
    assert any("nobody sees" in note and "alone: 2." in note for note in found.notes)


def test_channels_that_differ_by_case_are_said(read: Read, write_csv: Write) -> None:
    touches = ["c1,2026-01-01,Chat", "c1,2026-01-02,chat", "c2,2026-01-03,mail"]
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("touches.csv", "customer_id,timestamp,channel", *touches)
    notes = notes_of(read, transactions="orders.csv", touchpoints="touches.csv")
    assert any("letter case alone: Chat, chat" in note for note in notes)


@pytest.mark.parametrize(("channels", "refused"), [(150, True), (30, False)])
def test_a_channel_for_each_touch_is_refused_without_showing_any(
    read: Read, write_csv: Write, channels: int, refused: bool
) -> None:
    touches = [f"c{k % 5},2026-01-{1 + k % 28:02},ann{k % channels}@example.com" for k in range(300)]
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("touches.csv", "customer_id,timestamp,channel", *touches)
    if not refused:
        assert read(transactions="orders.csv", touchpoints="touches.csv")
        return
    with pytest.raises(DataError, match=r"150 channels in 300 touches") as error:
        read(transactions="orders.csv", touchpoints="touches.csv")
    assert "@" not in str(error.value)


def test_touches_of_other_years_than_the_purchases_are_said(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    for year, outside in ((2022, True), (2026, False)):
        write_csv(
            "touches.csv", "customer_id,timestamp,channel", f"c1,{year}-01-03,mail", f"c2,{year}-01-04,mail"
        )
        notes = notes_of(read, transactions="orders.csv", touchpoints="touches.csv")
        assert any("Do both tables tell the same years" in note for note in notes) is outside


def test_purchases_after_leaving_are_said(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("people.csv", "customer_id,ended_at", "c0,2026-01-02", "c1,2026-06-01", "c2,", "c3,", "c4,")
    notes = notes_of(read, transactions="orders.csv", customers="people.csv")
    assert any("customers who bought after their ended_at: 1 of 2." in note for note in notes)


@pytest.mark.parametrize(("path", "mark"), [("a → b", "→"), ("a | b", "|"), ("a > b", None)])
def test_another_mark_between_channels_is_said(
    read: Read, write_csv: Write, path: str, mark: str | None
) -> None:
    write_csv("paths.csv", "path,conversions", f"{path},3", "b,2")
    notes = notes_of(read, paths="paths.csv")
    assert [f'path_separator = "{mark}"' in note for note in notes] == ([] if mark is None else [True])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"records": "orders"}, "orders.csv is no JSON"),
        ({"where": {"customer_id": []}}, "name the words that a row may have"),
        ({"where": {"customer_id": {"a": 1}}}, "name the words that a row may have"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    read: Read, write_csv: Write, option: dict[str, object], said: str
) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    with pytest.raises((ConfigError, ValidationError), match=said):
        read(transactions={"path": "orders.csv", **option})


def test_a_header_further_down_is_found(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", "Orders of January,,", ",,", HEADER, *GOOD)
    with pytest.raises(SchemaError, match=r"2 lines below it.*skip_rows = 2"):
        read(transactions="orders.csv")
    assert revenue(read(transactions={"path": "orders.csv", "skip_rows": 2})) == TOTAL


def test_a_first_row_without_a_header_is_not_shown(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *(row.replace("c", "ann@example.com") for row in GOOD))
    with pytest.raises(SchemaError, match="looks like a row and no header") as refused:
        read(transactions="orders.csv")
    assert "ann" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann.smith@mail.com", "xxx.xxxxx@xxxx.xxx"),
        ("Ann Smith", "Xxx Xxxxx"),
        ("31/02/2026", "31/02/2026"),
        ("31 February 2026 at 10:00 pm", "31 February 2026 at 10:00 pm"),
        ("offered", "offered"),
        ("+44 7911 123456", "+xx xxxx xxxxxx"),
        ("+12.50", "+12.50"),
        ("y" * 99, "y" * 60 + "..."),
        ("12,5 EUR", "12,5 EUR"),
    ],
)
def test_messages_hide_people(value: str, shown: str) -> None:
    assert hide_people(value) == shown


def test_a_value_of_a_wrong_column_is_hidden(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", "customer_id,timestamp,amount,who", *(f"{row},ann@example.com" for row in GOOD))
    with pytest.raises(SchemaError) as refused:
        read(transactions={"path": "orders.csv", "columns": {"amount": "who"}})
    assert "ann" not in str(refused.value)
    assert "@" in str(refused.value)


def test_a_gzip_that_was_cut_is_refused(read: Read, tmp_path: Path) -> None:
    packed = gzip.compress("\n".join([HEADER, *GOOD]).encode())
    (tmp_path / "orders.csv.gz").write_bytes(packed[:-30])
    with pytest.raises(DataError, match=r"orders\.csv\.gz cannot be read .* complete"):
        read(transactions="orders.csv.gz")


ORDERS = [
    {"customer": {"id": f"c{day.day % 5}"}, "at": str(day), "total": f"{10 + day.day}.5", "lines": [{"n": 1}]}
    for day in DAYS
]
COLUMNS = {"customer_id": "customer.id", "timestamp": "at", "amount": "total"}


@pytest.mark.parametrize("indent", [None, 2])
def test_rows_inside_an_object_are_read_where_their_list_is_named(
    read: Read, tmp_path: Path, indent: int | None
) -> None:
    (tmp_path / "orders.json").write_text(json.dumps({"data": {"orders": ORDERS}, "more": 0}, indent=indent))
    source = {"path": "orders.json", "columns": COLUMNS}
    with pytest.raises(SchemaError, match=r'rows stand in the list "data\.orders"'):
        read(transactions=source)
    assert revenue(read(transactions=source | {"records": "data.orders"})) == TOTAL
    with pytest.raises(DataError, match='no list "orders" in object 1'):
        read(transactions=source | {"records": "orders"})


def test_pages_of_rows_are_read_one_after_the_other(read: Read, tmp_path: Path) -> None:
    pages = [json.dumps({"orders": ORDERS[:10]}), json.dumps({"orders": ORDERS[10:]})]
    (tmp_path / "orders.jsonl").write_text("\n".join(pages))
    source = {"path": "orders.jsonl", "columns": COLUMNS, "records": "orders"}
    assert revenue(read(transactions=source)) == TOTAL


def test_objects_nested_without_end_are_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)
    with pytest.raises(DataError, match="nested too deeply"):
        read(transactions="orders.json")


def test_structures_in_parquet_have_dotted_names(read: Read, tmp_path: Path) -> None:
    pl.DataFrame(ORDERS).write_parquet(tmp_path / "orders.parquet")
    assert revenue(read(transactions={"path": "orders.parquet", "columns": COLUMNS})) == TOTAL


@pytest.mark.parametrize(
    ("table", "lines", "said"),
    [
        ("costs", ["mail,2026-01-01,2026-01-31,$5", "ads,2026-01-01,2026-01-31,€5"], "constants"),
        ("touchpoints", ["c1,2026-01-01,mail,$5", "c2,2026-01-02,mail,€5"], "choose rows"),
    ],
)
def test_no_table_adds_two_currencies(
    read: Read, write_csv: Write, table: str, lines: list[str], said: str
) -> None:
    headers = {
        "costs": "channel,period_start,period_end,amount",
        "touchpoints": "customer_id,timestamp,channel,cost",
    }
    write_csv("orders.csv", HEADER, *GOOD)
    write_csv("more.csv", headers[table], *lines)
    with pytest.raises(DataError, match="2 currencies") as refused:
        read(transactions="orders.csv", **{table: "more.csv"})
    assert f"inputs.{table}.where" in str(refused.value)
    assert said in str(refused.value)
    write_csv("more.csv", headers[table], *(line.replace("€", "$") for line in lines))
    assert read(transactions="orders.csv", **{table: "more.csv"})


@pytest.mark.parametrize(
    ("margins", "said"),
    [
        (["0.45"], "every margin lies between 0 and 1"),
        (["99"], "margins above the amount of their row: 30 of 30"),
        (["5", "6"], None),
        (["5", "0.45"], None),
    ],
)
def test_margins_that_cannot_be_amounts_are_said(
    read: Read, write_csv: Write, margins: list[str], said: str | None
) -> None:
    write_csv("orders.csv", *with_column("margin", margins))
    notes = [note for note in notes_of(read, transactions="orders.csv") if "margin" in note]
    assert [said in note for note in notes] == ([] if said is None else [True])


def test_a_percentage_is_no_margin(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", *with_column("margin", ["45%"]))
    with pytest.raises(SchemaError, match="an amount in the currency as margin, and no share"):
        read(transactions="orders.csv")


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
@pytest.mark.parametrize(
    "name", ["number in household", "found in shop", "source row", "broken rule", "rule"]
)
def test_a_further_column_of_customers_may_have_any_name(
    read: Read, write_csv: Write, tmp_path: Path, name: str, form: str
) -> None:
    write_csv("orders.csv", HEADER, *GOOD)
    people = pl.DataFrame({"customer_id": ["c0", "c1", "c1"], name: ["2", "3", "4"]})
    {"csv": people.write_csv, "parquet": people.write_parquet, "json": people.write_json}[form](
        tmp_path / f"people.{form}"
    )
    found = read(transactions="orders.csv", customers=f"people.{form}", max_rejected_share=1.0)
    kept = found["customers"].collect()
    assert kept[name].cast(pl.Float64).to_list() == [2.0, 3.0]
    rejected = found.rejected["customers"]
    assert rejected["source_row"].to_list() == [3]
    assert rejected[f"{name} (found)" if name == "rule" else name].to_list() == ["4"]


def test_a_message_lists_no_name_without_end(read: Read, write_csv: Write) -> None:
    write_csv("orders.csv", f"customer_id,day,{'x' * 5000}", "1,2026-01-05,5")
    with pytest.raises(SchemaError, match=r"Found: customer_id, day, x{60}\.") as refused:
        read(transactions="orders.csv")
    assert len(str(refused.value)) < 400
