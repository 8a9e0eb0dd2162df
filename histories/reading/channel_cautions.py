"""What looks wrong with channels: names that separate, that are alike, or that one side alone knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from histories.errors import nearest
from histories.reading.inputs import Inputs

PATH_SEPARATOR = " > "
MAX_NAMED = 3


def channel_notes(inputs: Inputs) -> Iterator[str]:
    """Sentences on the names of channels; each has its count and next step."""
    yield from _joined_notes(inputs)
    yield from _alike_channel_notes(inputs)
    yield from _unseen_channel_notes(inputs)
    yield from _care_channel_notes(inputs)


def seen_channels(inputs: Inputs) -> set[str]:
    """Channels that touchpoints, cases or posts have."""
    return {
        name
        for table, column in (("touchpoints", "channel"), ("cases", "channel"), ("posts", "platform"))
        for name in channels_of(inputs, table, column)
    }


def place_of(inputs: Inputs, name: str) -> str:
    """The file of a table, or its name where there are several."""
    files = inputs.tables[name].files
    return files[0].name if len(files) == 1 else name


def channels_of(inputs: Inputs, name: str, column: str = "channel") -> set[str]:
    """The channels that a table has; none where there is no such table."""
    if name not in inputs:
        return set()
    if (name, column) not in inputs.answers:
        inputs.answers[name, column] = set(inputs[name].select(pl.col(column).unique()).collect()[column])
    return set(inputs.answers[name, column])


def some(names: Collection[str]) -> str:
    """The first names in quotes."""
    shown = ", ".join(f'"{name}"' for name in sorted(names)[:MAX_NAMED])
    return f"{shown}{', ...' if len(names) > MAX_NAMED else ''}"


def _joined_notes(inputs: Inputs) -> Iterator[str]:
    joined = {name for name in channels_of(inputs, "touchpoints") if PATH_SEPARATOR in name}
    if joined:
        place = place_of(inputs, "touchpoints")
        yield (
            f'{place}: channels whose name holds "{PATH_SEPARATOR}", which separates '
            f"the channels of a path: {len(joined)} ({some(joined)}). Rename them, or paths cannot be read."
        )


def _alike_channel_notes(inputs: Inputs) -> Iterator[str]:
    """Channels that differ by letter case alone, each credited by itself."""
    alike: dict[str, set[str]] = {}
    for name in seen_channels(inputs):
        alike.setdefault(name.casefold(), set()).add(name)
    several = sorted(", ".join(sorted(names)) for names in alike.values() if len(names) > 1)
    if several:
        yield (
            f"channels: names that differ by letter case alone: {'; '.join(several[:MAX_NAMED])}. Each "
            "counts by itself: have them written in one way where they are the same."
        )


def _unseen_channel_notes(inputs: Inputs) -> Iterator[str]:
    """Channels that the configuration names and nothing has: most are misspelled."""
    seen = seen_channels(inputs)
    unseen = set(inputs.channels) - seen - channels_of(inputs, "costs")
    if seen and unseen and "paths" not in inputs:
        hint = nearest(min(unseen), seen - set(inputs.channels) or seen)
        yield (
            f"channels: {len(unseen)} of {len(inputs.channels)} that [channels] names are in no table "
            f"({some(unseen)}), so what it says of them counts for nothing; {hint}"
        )


def _care_channel_notes(inputs: Inputs) -> Iterator[str]:
    """Channels of cases and posts that the configuration does not know, where it knows others."""
    for name, column in (("cases", "channel"), ("posts", "platform")):
        unknown = (channels_of(inputs, name, column) - _platforms_of_cases(inputs, name)) - set(
            inputs.channels
        )
        if unknown and inputs.channels:
            yield (
                f"{place_of(inputs, name)}: channels of {name} that [channels] does not name: {len(unknown)} "
                f"({some(unknown)}). Each is its own group; {nearest(min(unknown), inputs.channels)}"
            )


def _platforms_of_cases(inputs: Inputs, name: str) -> set[str]:
    """Of posts: platforms whose every post belongs to a case of the desk, which has a channel of its own."""
    if name != "posts" or not {"posts", "cases"} <= {*inputs.tables}:
        return set()
    if "case_id" not in inputs.tables["posts"].columns:
        return set()
    posts = inputs["posts"].select("platform", "case_id").collect()
    alone = posts.join(inputs["cases"].select("case_id").collect(), on="case_id", how="anti")
    return {*posts["platform"].drop_nulls().unique().to_list()} - {*alone["platform"].to_list()}
