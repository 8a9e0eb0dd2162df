"""What is served: a link that is swapped in one step, and a log of who did it."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.champion import champion, champion_log, champion_signature, promote_bundle, rollback_bundle
from histories.errors import BundleError
from tests.sample_bundle import write_sample


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_sample(tmp_path / name, n=3)
    return tmp_path


def test_promotions_are_a_stack_that_rollbacks_go_down(runs: Path) -> None:
    assert champion(runs) is None
    for name in ("a", "b", "c"):
        promote_bundle(runs, runs / name, "ann")
    served = []
    for _ in range(2):
        rollback_bundle(runs, "ben")
        served.append(champion(runs))
    assert served == [(runs / "b").resolve(), (runs / "a").resolve()]
    with pytest.raises(BundleError, match="no earlier bundle"):
        rollback_bundle(runs, "ben")
    promote_bundle(runs, runs / "c", "ann")
    rollback_bundle(runs, "ben")
    assert champion(runs) == (runs / "a").resolve()
    assert [(entry["who"], entry["action"], entry["bundle"]) for entry in champion_log(runs)][:4] == [
        ("ann", "promote", "a"),
        ("ann", "promote", "b"),
        ("ann", "promote", "c"),
        ("ben", "rollback", "b"),
    ]


def test_the_folder_of_runs_can_be_moved(runs: Path, tmp_path: Path) -> None:
    promote_bundle(runs, runs / "a", "ann")
    assert not (runs / "champion").readlink().is_absolute()


def test_a_damaged_bundle_is_not_promoted(runs: Path) -> None:
    promote_bundle(runs, runs / "a", "ann")
    (runs / "b" / "model.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        promote_bundle(runs, runs / "b", "ann")
    assert champion(runs) == (runs / "a").resolve()
    assert len(champion_log(runs)) == 1


def test_the_signature_tells_one_bundle_from_another_under_the_same_name(runs: Path) -> None:
    promote_bundle(runs, runs / "a", "ann")
    before = champion_signature(runs / "champion")
    (runs / "a").rename(runs / "old")
    assert champion_signature(runs / "champion") is None
    write_sample(runs / "a", n=4)
    assert champion_signature(runs / "champion") not in (None, before)


def test_nothing_can_be_rolled_back_where_nothing_was_promoted(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no earlier bundle"):
        rollback_bundle(tmp_path, "ann")
    with pytest.raises(BundleError, match="no such folder"):
        rollback_bundle(tmp_path / "nowhere", "ann")
