"""The command line: one command a line here, each a short function in `tributary.commands`.

Exit status: 0 done; 2 wrong use or configuration; 3 data refused; 4 no model could be fitted. A run whose
customers cannot be valued makes the rest and ends with 0, unless it was to be served.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from histories.errors import TributaryError
from histories.house import refuse_foreign_packages, refuse_unreadable_names, version

COMMANDS: Final = {
    "demo": ("demo", "Simulate a company with a known truth, run everything, say how far off it is."),
    "simulate": ("simulation", "Simulate a company: its tables, its truth, a configuration ready to run."),
    "check": ("runs", "Check a configuration and its tables only: what was read, what looks wrong."),
    "run": ("runs", "The whole story: tables, histories, values, credits, effects, report, bundle."),
    "care": ("care", "Say what happened to every message, and whether the promises were kept."),
    "returns": ("returns", "Say what care returned: margin, costs avoided and made, net, chance."),
    "forecasts": ("forecasts", "Say what was promised, and what came of it where it has fallen due."),
    "runs": ("runs", "List the runs, newest first; the one being served is marked."),
    "sweep": ("runs", "Run a configuration with other values of some keys, as nested runs."),
    "compare": ("runs", "Show what differs between runs: data, configuration, figures, scores."),
    "score": ("runs", "Score new data with a fitted model, and say whether to fit again."),
    "update": ("update", "Take today's rows into a bundle with its fitted models: nothing is fitted."),
    "promote": ("runs", "Serve a run from now on."),
    "rollback": ("runs", "Serve again what was served before."),
    "report": ("runs", "Draw the report of a bundle again."),
    "watch": ("watch", "Tell what left its limits in a run, by mail or in a folder; nothing otherwise."),
    "export": ("export", "Write the customers of a bundle to one file."),
    "audience": ("audience", "Hashed addresses for an advertising platform, a control group held out."),
    "serve": ("serving", "Serve scores over HTTP."),
    "key": ("serving", "Make, replace, end and list API keys."),
    "hook": ("hooks", "Tell other systems of new scores, by webhooks."),
    "forget": ("serving", "Erase a customer from every bundle."),
    "power": ("planning", "Sample size for an effect, detectable effect for a sample, or power."),
    "whatif": ("whatif", "Say what answering more customers in time would bring, take and risk."),
    "lottery": ("lottery", "Plan an experiment that answers some cases first by lot; list its arms."),
    "link": ("link", "Link profiles of platforms to customers by what both tell of themselves."),
    "staffing": ("staffing", "Say how many agents keep what is promised: calls, or work that can wait."),
}
"""Where each command is, and its first line of help: `--help` imports none of them."""


class LazyGroup(click.Group):
    """Commands are imported when they are called, so that `--help` and small commands start at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a user's first day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tributary.commands.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version(), message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """What every customer conversation contributes to retention and spend."""
    ctx.obj = {"debug": debug}
    if debug:
        logging.basicConfig()
        logging.getLogger("experiments").setLevel(logging.DEBUG)


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; a refusal is one message on standard error and an exit status, never a traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        refuse_foreign_packages()
        refuse_unreadable_names([*given, os.environ.get("PWD", "")])
        status = cli.main(given, prog_name="tributary", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except TributaryError as error:
        _refuse(error, str(error), error.exit_status, debug="--debug" in given)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # one of Polars
            raise
        from histories.durable import unwritable

        if (refused := unwritable(error)) is not None:
            _refuse(error, str(refused), refused.exit_status, debug="--debug" in given)
        text = f"unexpected {type(error).__name__}. Run again with --debug before the command and report it."
        _refuse(error, text, 1, debug="--debug" in given)


def _refuse(error: BaseException, text: str, status: int, *, debug: bool) -> None:
    if debug:
        raise error
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(text, err=True)
    sys.exit(status)
