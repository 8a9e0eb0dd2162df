"""Which process does a work, and whether it still does: a killed one says nothing itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Machine, number and begin of this process; the begin tells it from a later one with its number.

    >>> has_ended(this_process())
    False
    """
    return f"{socket.gethostname()} {os.getpid()} {_begin(os.getpid())}"


def has_ended(process: str) -> bool:
    """Whether a process of this machine, named by `this_process`, is known to have ended."""
    machine, _, rest = process.rpartition(" ")[0].rpartition(" ")
    begin = process.rpartition(" ")[2]
    if machine != socket.gethostname() or not rest.isdigit():
        return False
    return not is_running(int(rest)) or begin != _begin(int(rest))


def is_running(process: int) -> bool:
    """Whether a process has this number; where that cannot be asked, as on Windows, yes."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _begin(process: int) -> str:
    """When a process began, in ticks since the machine did; empty where the system does not say."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except (OSError, IndexError, UnicodeDecodeError):
        return "0"
