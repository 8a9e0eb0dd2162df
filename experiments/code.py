"""Which code is at work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from histories.house import version

__all__ = ["code_version"]


def code_version() -> str:
    """The package's version, with the commit where the code lies in a checkout."""
    installed = version()
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return installed
    return f"{installed}+{commit}"
