"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class Place(click.Path):
    """Where a command is to write: a place that takes nothing is refused before anything is computed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, after something could be made beside it."""
        from histories.durable import refuse_unwritable

        path = Path(str(super().convert(value, param, ctx)))
        if not self.dir_okay and not os.path.isdir(path.parent):  # noqa: PTH112 - does not raise
            self.fail(f'the folder "{path.parent}" does not exist.', param, ctx)
        refuse_unwritable(path)
        return path


NEW_FOLDER = Place(file_okay=False)
NEW_FILE = Place(dir_okay=False)


_runs = partial(
    click.option, "--runs", default=Path("runs"), show_default=True, help="Folder with the bundles."
)
runs_option = _runs(type=FOLDER)
existing_runs_option = _runs(type=click.Path(path_type=Path, file_okay=False, exists=True))
mlruns_option = click.option(
    "--mlruns",
    type=FOLDER,
    default=Path("mlruns"),
    show_default=True,
    help="Where MLflow keeps the runs: a folder, or http://… of a server.",
)
config_argument = click.argument("config", type=FILE)
bundle_argument = click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the configuration."
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="Where histories are computed.",
)
memory_option = click.option(
    "--memory",
    metavar="SIZE",
    help='What the run may take, such as "2GB"; parts wait on disk. [default: whatever it needs]',
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
