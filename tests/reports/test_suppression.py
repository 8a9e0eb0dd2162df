"""Nobody is recognised in a small cell, nor by subtracting the cells shown from their total."""

from hypothesis import given
from hypothesis import strategies as st

from reports.sections.segments import cells_to_suppress

CELLS = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 60), max_size=8)


@given(CELLS, st.integers(2, 50))
def test_no_cell_below_the_limit_is_shown(counts: dict[str, int], smallest: int) -> None:
    hidden = cells_to_suppress(counts, smallest=smallest)
    assert all(counts[name] >= smallest for name in counts.keys() - hidden)


@given(CELLS, st.integers(2, 50))
def test_the_total_minus_the_cells_shown_is_never_a_small_cell(counts: dict[str, int], smallest: int) -> None:
    hidden = cells_to_suppress(counts, smallest=smallest)
    if hidden and hidden != counts.keys():
        assert len(hidden) > 1
        assert sum(counts[name] for name in hidden) >= smallest


@given(CELLS, st.integers(2, 50))
def test_nothing_is_hidden_where_no_cell_is_small(counts: dict[str, int], smallest: int) -> None:
    if all(count >= smallest for count in counts.values()):
        assert not cells_to_suppress(counts, smallest=smallest)
