"""A foreign package of one of our names is named at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from histories.errors import ConfigError
from histories.house import PACKAGES, refuse_foreign_packages, refuse_unreadable_names


def test_our_own_packages_pass() -> None:
    refuse_foreign_packages()


def test_a_foreign_package_of_one_of_our_names_is_named(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "__init__.py").write_text("")
    shadowed = f"sys.path.insert(0, {str(tmp_path)!r})"
    script = f"import sys; import tributary.cli; {shadowed}; tributary.cli.main(['runs'])"

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 2
    assert f'The package "api" is loaded from {tmp_path}/api, not from' in done.stderr
    assert "Traceback" not in done.stderr


def test_every_package_of_the_wheel_is_guarded() -> None:
    import tomllib

    declared = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    assert set(PACKAGES) == set(declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_names_beyond_ascii_need_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "0")
    refuse_unreadable_names(["münch/acme.toml"], "utf-8")
    refuse_unreadable_names(["acme.toml"], "iso8859-1")
    with pytest.raises(ConfigError, match=r"files as ascii here \(PYTHONUTF8=0.*Set PYTHONUTF8=1"):
        refuse_unreadable_names(["run", "m\udcc3\udcbcnch/acme.toml"], "ascii")
