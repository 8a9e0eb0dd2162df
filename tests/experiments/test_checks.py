"""What `check` refuses before a run would, and what it warns of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from experiments.checks import check_run, foreseen
from experiments.config import parse_config
from experiments.inputs import read_inputs
from experiments.run import _marked
from histories.errors import ConfigError, DataError
from tests.experiments.small import TREE, merged, small_company

LETTER = {"name": "welcome", "design": "randomised", "outcomes": ["spend"], "treatment": {"control": "none"}}


def checked(
    folder: Path, tables: Mapping[str, str], tree: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """The notes of a check."""
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    inputs = {"inputs": {name: f"{name}.csv" for name in tables}}
    config = parse_config(merged(merged(TREE, tree or {}), inputs), base_dir=folder)
    found = read_inputs(config)
    check_run(config, found)
    return found.notes


REFUSED = [
    (
        {"effects": [{**LETTER, "treatment": {"control": "non"}}]},
        'no customer in arm "non"; did you mean "none"?',
    ),
    ({"effects": [{**LETTER, "name": "welcom"}]}, 'no experiment "welcom"; did you mean "welcome"?'),
    ({"effects": [{**LETTER, "outcomes": ["spendings"]}]}, 'no outcome "spendings" of customers'),
    ({"effects": [{**LETTER, "covariates": ["regoin"]}]}, 'no column "regoin" in customers or cases'),
    ({"attribution": {"confounders": ["csta"]}}, 'attribution.confounders: no column "csta"'),
    ({"attribution": {"segments": ["regoin"]}}, 'did you mean "region"?'),
    ({"value": {"covariates": ["regoin"]}}, "value.covariates"),
    (
        {"effects": [{"name": "s", "design": "interrupted_series", "outcomes": ["profit"]}]},
        'no metric "profit" over time',
    ),
]


@pytest.mark.parametrize(("tree", "message"), REFUSED)
def test_a_name_that_no_table_has_is_refused_with_the_nearest(
    tmp_path: Path, tree: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        checked(tmp_path, small_company(), tree)
    assert message in str(refusal.value)


def test_a_channel_called_like_a_row_of_the_credits_table_is_refused(tmp_path: Path) -> None:
    tables = {"touchpoints": "customer_id,timestamp,channel\n1,2025-03-01,(baseline)\n"}
    with pytest.raises(ConfigError, match=r'a channel is called "\(baseline\)"'):
        checked(tmp_path, tables)


def test_ids_longer_than_the_service_can_be_asked_for_are_refused(tmp_path: Path) -> None:
    tables = {"transactions": f"customer_id,timestamp,amount\n{'é' * 128},2025-03-01,1\nb,2025-03-02,1\n"}
    with pytest.raises(ConfigError, match="1 customer ids of transactions are longer than 255 bytes"):
        checked(tmp_path, tables)


IMPOSSIBLE = [
    ({"observation_end": "9999-12-31"}, "allowed: 1900-01-01 to 2100-12-31"),
    ({"name": ""}, "1 to 100 letters"),
    ({"name": "x" * 10_000}, "1 to 100 letters"),
    ({"currency": ""}, "currency"),
    ({"timezone": "localtime"}, "not a time zone name"),
    ({"limits": {"memory": "0GB"}}, "above 0"),
    ({"attribution": {"methods": []}}, "name at least one"),
    ({"attribution": {"outcomes": []}}, "name at least one"),
    ({"report": {"headline_effect": "welcom"}, "effects": [LETTER]}, 'did you mean "welcome"?'),
    ({"effects": [LETTER, LETTER]}, 'two [[effects]] are called "welcome"'),
    ({"channels": {"(total)": {"group": "x"}}}, '"(total)" is a name that the tables of credit use'),
]


@pytest.mark.parametrize(("tree", "message"), IMPOSSIBLE)
def test_what_no_run_can_use_is_refused_when_it_is_read(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_config(tree)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "path",
    [
        "postgresql://h/x?user=u&password=geheim",
        "postgresql://u:ge@heim@h/x",
        "postgresql://u:gehe/im@h/x",
        "https://h/x?X-Amz-Signature=geheim#token=geheim",
        "host=h user=u password=geheim",
    ],
)
def test_a_password_in_any_part_of_an_address_is_masked(path: str) -> None:
    written = str(parse_config({"inputs": {"transactions": path}}).to_dict())
    for part in ("geheim", "heim", "im@"):
        assert part not in written


def note(notes: tuple[str, ...], words: str) -> str:
    """The one note that holds the words."""
    found = [text for text in notes if words in text]
    assert len(found) == 1, notes
    return found[0]


ORDERS = "customer_id,timestamp,amount\n1,2025-02-01,10\n1,2025-12-01,20\n2,2025-03-05,5\n"
TOUCHES = "customer_id,timestamp,channel\n1,2025-02-02,chat\n2,2025-03-01,forum\n"
COSTS = "channel,period_start,period_end,amount,item\n"


def test_a_path_with_a_name_of_the_tables_of_credit_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,conversions\n(start) > a,1\nb,2\n")
    config = parse_config({"inputs": {"paths": "p.csv"}}, base_dir=tmp_path)
    with pytest.raises(ConfigError, match=r'paths: a channel is called "\(start\)"'):
        check_run(config, read_inputs(config))


def test_columns_that_no_filter_can_name_are_told_and_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "people.csv").write_text("customer_id,Größe,region\n1,S,N\n2,S,N\n3,L,N\n")
    tables: dict[str, Any] = {"transactions": "orders.csv", "customers": {"path": "people.csv"}}
    config = parse_config({"inputs": tables}, base_dir=tmp_path)
    assert '1 columns cannot be named in filters and segments ("Größe")' in note(
        foreseen(config, read_inputs(config)), "customers:"
    )
    tables["customers"]["columns"] = {"size": "Größe"}
    config = parse_config({"inputs": tables}, base_dir=tmp_path)
    assert foreseen(config, read_inputs(config)) == ()


def test_assumptions_that_nothing_uses_or_that_are_no_shares_are_told(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    header = "name,value,low,high,source,owner,set_on,expires\n"
    tables = {"inputs": {"transactions": "orders.csv", "assumptions": "a.csv"}}
    config = parse_config(tables, base_dir=tmp_path)
    (tmp_path / "a.csv").write_text(f"{header}gros_margin,.4,,,x,y,2025-01-01,2027-01-01\n")
    found = foreseen(config, read_inputs(config))
    assert 'no figure uses "gros_margin"; did you mean "gross_margin"?' in note(found, "assumptions")
    (tmp_path / "a.csv").write_text(f"{header}gross_margin,.4,.3,45,x,y,2025-01-01,2027-01-01\n")
    with pytest.raises(ConfigError, match="gross_margin is 45; a share from 0 to 1"):
        check_run(config, read_inputs(config))


def test_a_cut_outside_of_the_data_is_foreseen(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    for day, said in (("2030-01-01", True), ("2025-02-01", False), ("2025-12-01", True)):
        config = parse_config(
            {"calibration_end": day, "inputs": {"transactions": "orders.csv"}}, base_dir=tmp_path
        )
        assert any(day in note for note in foreseen(config, read_inputs(config))) is said


def test_costs_that_look_wrong_are_told_with_their_count(tmp_path: Path) -> None:
    rows = (
        "chat,2025-03-01,2025-03-31,10,\n"
        "chat,2025-03-15,2025-04-30,10,licence\n"
        "forum,2025-05-01,2025-05-31,-7.50,\n"
        "forum,2027-01-01,2027-12-31,900,\n"
        "fax,2025-06-01,2025-06-30,1,\n"
    )
    notes = checked(tmp_path, {"transactions": ORDERS, "touchpoints": TOUCHES, "costs": COSTS + rows})
    assert "1 rows, -7.50 in total" in note(notes, "negative costs")
    assert "(2025-02-01 to 2025-12-31): 1 of 5" in note(notes, "beyond the observation")
    assert '1 ("fax")' in note(notes, "that no contact has")


@pytest.mark.parametrize(
    ("first", "second", "overlaps"),
    [
        ("chat,2025-03-01,2025-03-31,10,", "chat,2025-03-01,2025-03-31,10,", True),
        ("chat,2025-03-01,2025-03-31,10,", "chat,2025-03-31,2025-04-30,99,", True),
        ("chat,2025-01-01,2025-12-31,10,", "chat,2025-03-01,2025-03-31,10,", True),
        ("chat,2025-03-01,2025-03-31,10,", "chat,2025-01-01,2025-12-31,10,", True),
        ("chat,2025-03-01,2025-03-31,10,", "chat,2025-04-01,2025-04-30,10,", False),
        ("chat,2025-03-01,2025-03-31,10,people", "chat,2025-03-01,2025-03-31,10,licence", False),
        ("chat,2025-03-01,2025-03-31,10,", "forum,2025-03-01,2025-03-31,10,", False),
    ],
)
def test_costs_that_overlap_an_earlier_row_of_the_same_thing_are_rejected(
    tmp_path: Path, first: str, second: str, *, overlaps: bool
) -> None:
    tables = {"transactions": ORDERS, "touchpoints": TOUCHES, "costs": f"{COSTS}{first}\n{second}\n"}
    notes = checked(tmp_path, tables, {"limits": {"max_rejected_share": 0.5}})
    found = [text for text in notes if "overlap an earlier row of the same channel and item (row 2)" in text]
    assert bool(found) == overlaps


def test_costs_in_another_currency_are_refused(tmp_path: Path) -> None:
    rows = "channel,period_start,period_end,amount,currency\nchat,2025-03-01,2025-03-31,10,USD\n"
    with pytest.raises(DataError, match='costs is in "USD", but the transactions or the configuration say'):
        checked(tmp_path, {"transactions": ORDERS, "costs": rows}, {"currency": "EUR"})


def test_referrals_that_cannot_be_are_told_apart(tmp_path: Path) -> None:
    customers = (
        "customer_id,acquired_at,referred_by\n1,2025-01-01,1\n2,2025-02-01,9\n3,2025-03-01,4\n"
        "4,2025-04-01,5\n5,2025-05-01,4\n"
    )
    notes = checked(tmp_path, {"transactions": ORDERS, "customers": customers})
    assert note(notes, "referred themselves").startswith(
        "customers.csv: customers who referred themselves: 1."
    )
    assert "nobody who is known: 1." in note(notes, "nobody who is known")
    assert "came later: 2." in note(notes, "someone who came later")  # 3 by 4, and 4 by 5
    assert "in a circle: 2." in note(notes, "in a circle")


def test_changes_outside_of_the_data_or_on_one_day_are_told(tmp_path: Path) -> None:
    log = "name,date\nfirst,2025-03-01\nsecond,2025-03-01\nnever,2031-01-01\n"
    notes = checked(tmp_path, {"transactions": ORDERS, "interventions": log})
    assert '1 ("never")' in note(notes, "changes outside of the data")
    assert '2 ("first", "second")' in note(notes, "on the day of another one")


def test_margins_known_in_part_are_counted(tmp_path: Path) -> None:
    orders = "customer_id,timestamp,amount,margin\n1,2025-02-01,10,4\n2,2025-03-01,10,\n"
    notes = checked(tmp_path, {"transactions": orders})
    assert "without a margin: 1 of 2" in note(notes, "without a margin")


@pytest.mark.parametrize(
    ("table", "rows", "says"),
    [
        (
            "assumptions",
            "name,value,low,high,source,owner,set_on,expires\na,5,6,9,s,o,2025-01-01,2026-01-01\n"
            "b,5,1,4,s,o,2025-01-01,2026-01-01\nb,5,1,9,s,o,2025-01-01,2026-01-01\n"
            "b,5,1,9,s,o,2025-01-01,2026-01-01\n",
            ("have a value below low", "have a value above high", "repeat the name"),
        ),
        (
            "objectives",
            "objective,kpi,baseline,target,weight,set_on,due\nservice,csat,0,1,1,2025-05-01,2025-04-01\n"
            "service,nps,0,1,1,2025-05-01,2025-06-01\n",
            ("have due before set_on",),
        ),
    ],
)
def test_assumptions_and_objectives_that_cannot_be_are_rejected(
    tmp_path: Path, table: str, rows: str, says: tuple[str, ...]
) -> None:
    tables = {"transactions": ORDERS, table: rows}
    notes = checked(tmp_path, tables, {"limits": {"max_rejected_share": 0.9}})
    for words in says:
        assert note(notes, words)


def test_costs_that_are_right_are_passed_over_in_silence(tmp_path: Path) -> None:
    rows = "chat,2025-03-01,2025-03-31,10,\nchat,2025-04-01,2025-04-30,10,\nforum,2025-03-01,2025-03-31,10,\n"
    notes = checked(tmp_path, {"transactions": ORDERS, "touchpoints": TOUCHES, "costs": COSTS + rows})
    assert not [text for text in notes if "costs" in text]


def test_customers_that_contradict_their_purchases_are_told(tmp_path: Path) -> None:
    people = "customer_id,acquired_at,referred_by\n1,2025-02-01,1\n2,2025-03-06,1\n"
    notes = checked(tmp_path, {"transactions": ORDERS, "customers": people})
    assert note(notes, "referred themselves").endswith("themselves: 1. Leave referred_by empty there.")
    assert "1 of 2" in note(notes, "bought before their acquired_at")


def test_a_channel_that_reads_like_a_path_is_told(tmp_path: Path) -> None:
    touches = TOUCHES + "2,2025-03-02,a > b\n"
    notes = checked(tmp_path, {"transactions": ORDERS, "touchpoints": touches})
    assert '1 ("a > b")' in note(notes, "separates the channels of a path")


def test_an_end_long_after_the_last_event_is_told(tmp_path: Path) -> None:
    notes = checked(tmp_path, {"transactions": ORDERS}, {"observation_end": "2026-12-31"})
    assert "395 days after the last event (2025-12-01)" in note(notes, "observation_end is")


def test_whole_days_of_one_file_in_another_are_told_once(tmp_path: Path) -> None:
    header, days = (
        "customer_id,timestamp,amount\n",
        [f"{c},2025-03-0{d},{c}\n" for d in (1, 2, 3) for c in (1, 2)],
    )
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text(header + "".join(days[:4]))
    (tmp_path / "orders" / "b.csv").write_text(header + "".join(days[2:]))
    notes = read_inputs(parse_config({"inputs": {"transactions": "orders"}}, base_dir=tmp_path)).notes
    told = note(notes, "rows of whole days that stand in two files: 2 (2025-03-02 to 2025-03-02")
    assert "a.csv, b.csv" in told
    assert not [text for text in notes if "equal to an earlier one" in text]


def test_a_day_shared_in_part_is_no_overlap(tmp_path: Path) -> None:
    header = "customer_id,timestamp,amount\n"
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text(header + "1,2025-03-01,5\n2,2025-03-01,6\n")
    (tmp_path / "orders" / "b.csv").write_text(header + "1,2025-03-01,5\n3,2025-03-01,6\n")
    notes = read_inputs(parse_config({"inputs": {"transactions": "orders"}}, base_dir=tmp_path)).notes
    assert not [text for text in notes if "two files" in text]


def test_assumptions_that_have_expired_are_told_and_marked(tmp_path: Path) -> None:
    rows = (
        "name,value,source,owner,set_on,expires\n"
        "rate,1,us,me,2024-01-01,2025-06-30\nshare,2,us,me,2024-01-01,2026-06-30\n"
    )
    notes = checked(tmp_path, {"transactions": ORDERS, "assumptions": rows})
    assert '1 of 2 ("rate")' in note(notes, "had expired by 2025-12-31")
    config = parse_config({**TREE, "inputs": {"assumptions": "assumptions.csv"}}, base_dir=tmp_path)
    marked = _marked(read_inputs(config)["assumptions"], date(2025, 12, 31))
    assert [(row["name"], row["expired"]) for row in marked] == [("rate", True), ("share", False)]


def test_a_segment_of_a_column_that_customers_do_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,timestamp,amount\n1,2026-01-01,5\n2,2026-01-02,6\n")
    people = "customer_id,region,email\n" + "".join(
        f"{n},{'ns'[n % 2]},{n}@x.example\n" for n in range(1, 31)
    )
    (tmp_path / "people.csv").write_text(people)

    def check(text: str) -> None:
        config = parse_config(
            {
                "name": "x",
                "inputs": {"transactions": "orders.csv", "customers": "people.csv"},
                "segments": [{"name": "mine", "filter": text}],
            },
            base_dir=tmp_path,
        )
        check_run(config, read_inputs(config))

    check('and(eq(region,"n"),gt(customer_lifetime_value,1))')
    for text, word in (
        ('eq(regoin,"n")', 'did you mean "region"'),
        ('eq(email,"1@x.example")', "no such column"),  # names somebody, and is not in the bundle
        ("eq(region,1)", "a text in double quotes"),
        ('segment("others")', "no such segment"),
    ):
        with pytest.raises(ConfigError, match=r'segments "mine": ') as refused:
            check(text)
        assert word in str(refused.value)
