"""What to know of a desk's rows: replies that lead nowhere, times that disagree, shifts that overlap."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from histories.identity import NOBODY
from histories.reading.links import REPEATED
from histories.reading.rules import Rule
from histories.reading.scan import FILE_STEP, ROW
from histories.reading.staging import RULE, Staged
from histories.replies import cut_cycles, parents_of

CUT_SHARE = 0.2
"""Share of replies whose post is not in the file, above which the export was cut."""
FEWEST_SCORES = 30
"""So many answers that stop at the middle of a scale were given on a shorter one."""
SCALES = {"csat": (3, "1-5", 5), "nps": (5, "0-10", 10)}
"""Scores with the value that none exceeds where the scale was a shorter one, the scale, and its end."""

_IS_VALID = pl.col(RULE).is_null()


def post_notes(posts: Staged) -> tuple[str, ...]:
    """Replies to posts that are not there, to themselves, in circles, early; authors who are nobody."""
    nobody = tuple(_nobody_notes(posts))
    if "in_reply_to" not in posts.columns:
        return nobody
    needed = (ROW, "post_id", "timestamp", "in_reply_to")
    rows = posts.frame.filter(_IS_VALID).select(needed).collect().sort("timestamp", "post_id")
    return (*nobody, *_link_notes(posts, rows))


def _nobody_notes(posts: Staged) -> Iterator[str]:
    author = pl.col("author").cast(pl.String).str.to_lowercase().str.strip_chars()
    rows = posts.frame.filter(_IS_VALID & author.is_in(NOBODY)).select(ROW).collect()[ROW].sort()
    if rows.len():
        yield (
            f"{posts.place}: {rows.len()} posts have an author who may be anybody "
            f'({posts.shown_rows(rows)}; "{NOBODY[0]}" and the like). In each thread they '
            "count as one unknown customer, in another thread as another."
        )


def _link_notes(posts: Staged, rows: pl.DataFrame) -> Iterator[str]:
    parents, place = parents_of(rows), posts.place
    at = pl.Series(parents.at)
    if parents.prefixed:
        value = rows["in_reply_to"].drop_nulls()[0]
        yield (
            f'{place}: replies name the kind of post before its id (first: "{value}"), and the ids do not. '
            "They are read without it."
        )
    lost = rows.filter(pl.Series(parents.lost))[ROW].sort()
    if lost.len():
        replies = rows.height - rows["in_reply_to"].null_count()
        cut = " The export was cut: ask for whole threads." if lost.len() > CUT_SHARE * replies else ""
        value = posts.first_value("in_reply_to", lost[0])
        yield (
            f"{place}: {lost.len()} of {replies} replies answer a post that is not in the file "
            f'({posts.shown_rows(lost)}; first: "{value}"). Each starts a conversation of its own.{cut}'
        )
    own = rows.filter(pl.Series(parents.own))[ROW].sort()
    if own.len():
        yield (
            f"{place}: {own.len()} of {rows.height} posts answer themselves ({posts.shown_rows(own)}). They "
            "are taken as answering none."
        )
    early = rows.filter((at >= 0) & (rows["timestamp"] < rows["timestamp"].gather(at.clip(0))))[ROW].sort()
    if early.len():
        value = posts.first_value("timestamp", early[0])
        yield (
            f"{place}: {early.len()} of {rows.height} posts are dated before the post they answer "
            f'({posts.shown_rows(early)}; first: "{value}"). They are kept: the case counts as answered, at '
            "a time that is not known. Are the times of both sides in one zone?"
        )
    open_links = parents.at.copy()
    cut_cycles(open_links)
    circles = rows.filter(pl.Series((parents.at >= 0) & (open_links < 0)))[ROW].sort()
    if circles.len():
        yield (
            f"{place}: {circles.len()} circles of replies ({posts.shown_rows(circles)}). Each is cut at its "
            "earliest post."
        )


def case_notes(cases: Staged) -> tuple[str, ...]:
    """Times that disagree, replies at an unknown time, agents of two teams, scores of a shorter scale."""
    return (
        *_disagreeing(cases),
        *_resolved_early(cases),
        *_untimed(cases),
        *_two_teams(cases),
        *_short_scales(cases),
    )


def _disagreeing(cases: Staged) -> Iterator[str]:
    """Cases of several files whose files tell different times of the same thing."""
    rule = REPEATED.format("case_id")
    schema = cases.frame.collect_schema()
    times = [name for name in ("opened_at", "first_response_at", "resolved_at") if name in schema]
    if all(rule != known.name for known in cases.rules) or len({*_files(cases)}) < 2:
        return
    differ = [pl.col(name).drop_nulls().n_unique() > 1 for name in times]
    named = [pl.when(found).then(pl.lit(name)) for found, name in zip(differ, times, strict=True)]
    found = (
        cases.frame.filter(_IS_VALID | (pl.col(RULE) == rule))
        .group_by("case_id")
        .agg(
            (pl.col(ROW) // FILE_STEP).n_unique().alias("files"),
            pl.col(ROW).filter(_IS_VALID).first(),
            pl.concat_str(named, separator=" and ", ignore_nulls=True).alias("which"),
        )
        .filter(pl.col("files") > 1, pl.col("which") != "")
        .collect()
        .sort(ROW)
    )
    if found.height:
        first = str(found["which"][0])
        value = cases.first_value(first.partition(" and ")[0], int(found[ROW][0]))
        told = "" if value is None else f'; first: {first}, kept: "{value}"'
        yield (
            f"{cases.place}: {found.height} cases have different times in two files "
            f"({cases.shown_rows(found[ROW])}{told}). The row of the latest file is kept: let the newest "
            "export come last."
        )


def _files(cases: Staged) -> list[str]:
    return [name for part in cases.parts for name in part.scanned.file_names]


def _resolved_early(cases: Staged) -> Iterator[str]:
    schema = cases.frame.collect_schema()
    if not {"first_response_at", "resolved_at"} <= {*schema}:
        return
    rows = _rows(cases, pl.col("resolved_at") < pl.col("first_response_at"))
    if rows.len():
        value = cases.first_value("resolved_at", rows[0])
        told = "" if value is None else f'; first: "{value}"'
        yield (
            f"{cases.place}: {rows.len()} cases were resolved before their first reply "
            f"({cases.shown_rows(rows)}{told}). They are kept without a time of resolution. Does a column "
            "hold another time: the last reply, the closing of the survey?"
        )


def _untimed(cases: Staged) -> Iterator[str]:
    """Cases that somebody answered, nobody knows when, in a table that otherwise tells."""
    columns = cases.columns
    times = [name for name in ("first_response_at", "first_response_minutes") if name in columns]
    if not times:
        return
    answered = [
        pl.col(name).is_not_null() for name in ("resolved_at", "resolution_minutes") if name in columns
    ]
    answered += [pl.col("answered").fill_null(False)] if "answered" in columns else []
    if not answered:
        return
    timed = pl.any_horizontal(pl.col(name).is_not_null() for name in times)
    denied = ~pl.col("answered").fill_null(True) if "answered" in columns else pl.lit(False)
    rows = _rows(cases, pl.any_horizontal(answered) & ~timed & ~denied)
    if rows.len():
        yield (
            f"{cases.place}: {rows.len()} cases were answered or resolved without a time of the first reply "
            f"({cases.shown_rows(rows)}). They count as answered, and are left out of response times unless "
            "posts tell them. What was closed without an answer needs a column answered that says false."
        )


def _two_teams(cases: Staged) -> Iterator[str]:
    if not {"agent", "team"} <= cases.columns:
        return
    days = (
        cases.frame.filter(_IS_VALID, pl.col("agent").is_not_null(), pl.col("team").is_not_null())
        .group_by("agent", pl.col("opened_at").dt.date().alias("day"))
        .agg(pl.col("team").n_unique().alias("teams"), pl.col(ROW).min())
        .filter(pl.col("teams") > 1)
        .collect()
        .sort(ROW)
    )
    if days.height:
        yield (
            f"{cases.place}: {days['agent'].n_unique()} agents stand in two teams on one day ({days.height} "
            f"days; {cases.shown_rows(days[ROW])}). Each case counts for the team that it names."
        )


def _short_scales(cases: Staged) -> Iterator[str]:
    for name, (most, scale, end) in SCALES.items():
        if name not in cases.columns:
            continue
        scores = cases.frame.filter(_IS_VALID).select(
            pl.col(name).count().alias("n"), pl.col(name).max().alias("highest")
        )
        n, highest = scores.collect().row(0)
        if n >= FEWEST_SCORES and highest <= most:
            yield (
                f"{cases.place}: no {name} of {n} is above {highest:g}; {name} is read as {scale}. Is the "
                f"scale a shorter one? Map its values: values = {{ {name} = {{ {highest:g} = {end} }} }}."
            )


def _rows(staged: Staged, wanted: pl.Expr) -> pl.Series:
    return staged.frame.filter(_IS_VALID, wanted.fill_null(False)).select(ROW).collect()[ROW].sort()


def set_aside_overlapping_shifts(hours: Staged) -> Staged:
    """Keep one shift of an agent at a time: of those that overlap, the one that began first.

    Unpaid times, such as breaks, overlap nothing; teams without names of agents may work side by side.
    """
    if "agent" not in hours.columns:
        return hours
    paid = pl.col("paid").fill_null(True) if "paid" in hours.columns else pl.lit(True)
    wanted = hours.frame.filter(_IS_VALID, pl.col("agent").is_not_null(), paid)
    team = pl.col("team") if "team" in hours.columns else pl.lit(None, dtype=pl.String)
    shifts = wanted.select(ROW, "agent", "start", "end", team.alias("team")).collect()
    shifts = shifts.sort("agent", "start", "end", ROW).with_columns(
        pl.col("end").cum_max().shift(1).over("agent").alias("busy"),
        pl.col("team").shift(1).over("agent").alias("before"),
    )
    overlapping = shifts.filter((pl.col("start") < pl.col("busy")).fill_null(False))
    elsewhere = overlapping.filter((pl.col("team") != pl.col("before")).fill_null(False)).height
    told = f", {elsewhere} of them in another team," if elsewhere else ""
    return hours.with_rule(
        Rule(
            name="overlapping shift",
            broken=pl.col(ROW).is_in(overlapping[ROW].implode()),
            says=f"begin{told} before the agent's earlier shift has ended",
            expected="Allowed: one shift of an agent at a time; name unpaid times in paid.",
            shows="start",
            sets_aside=True,
        )
    )
