"""What is installed from the wheel runs: nothing is left behind in the checkout."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import polars

ROOT = Path(__file__).parents[1]
RUN = """
from importlib.metadata import distribution
import tributary as tb
company = tb.simulate(200, 6, seed=1)
print(tb.value(company["transactions"], settings={"models": ["bg_nbd"]}).frame.height > 100, tb.__file__)
scripts = distribution("tributary-clv").entry_points.select(group="console_scripts")
scripts["tributary"].load()()
"""


def test_the_wheel_runs_a_small_company_in_an_environment_of_its_own(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    home = tmp_path / "empty"
    venv.create(home, with_pip=False)
    packages = next((home / "lib").glob("python3*")) / "site-packages"
    # Third-party packages only: a path file is not followed further, so the checkout stays out of sight.
    (packages / "others.pth").write_text(f"{Path(polars.__file__).parents[1]}\n", encoding="utf-8")
    shutil.unpack_archive(wheel, packages, "zip")

    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}  # nothing is compiled for so few customers
    plain.pop("PYTHONPATH", None)  # another checkout would run in its place
    done = subprocess.run(
        [str(home / "bin" / "python"), "-c", RUN, "--help"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=plain,
    )
    assert done.returncode == 0, done.stderr
    first, _, told = done.stdout.partition("\n")
    alive, place = first.split()
    assert alive == "True"
    assert Path(place).is_relative_to(packages)
    assert told.startswith("Usage: ")
