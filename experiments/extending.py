"""Configuration files that extend one another: what is common stands once.

`extends = "base.toml"` (or a list) at the top of a file takes the others' keys first and then its own:
sections are joined key by key, lists and values are replaced. Paths stay relative to the file that names
them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histories.errors import ConfigError


def read_tree(path: Path, *, _chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a TOML file and of all that it extends.

    Raises
    ------
    ConfigError
        When a file is missing, is no TOML, or extends itself.
    """
    tree = _parse(path)
    here = path.resolve()
    if here in _chain:
        loop = " extends ".join(each.name for each in (*_chain, here))
        raise ConfigError(f"{path}: {loop}: a file cannot extend itself. Take one `extends` out.")
    named = tree.pop("extends", ())
    parents = [named] if isinstance(named, str) else named
    if not isinstance(parents, list | tuple) or not all(isinstance(parent, str) for parent in parents):
        raise ConfigError(f"{path}: extends is {named!r}; allowed: a file, or a list of files.")
    merged: dict[str, Any] = {}
    for parent in parents:
        found = read_tree(path.parent / parent, _chain=(*_chain, here))
        _relocate(found, start=(here.parent / parent).parent.resolve(), home=here.parent)
        merged = _joined(merged, found)
    return _joined(merged, tree)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file. Name a configuration file (TOML).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text. Name a configuration file (TOML).") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}. Mend the line and run again.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: sections lie too deep in each other. Mend it and run again.") from error


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section; the second's values count.

    >>> _joined({"value": {"seed": 1, "draws": 2}, "n": [1]}, {"value": {"seed": 3}, "n": [4]})
    {'value': {'seed': 3, 'draws': 2}, 'n': [4]}
    """
    joined = dict(first)
    for key, value in second.items():
        before = joined.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        joined[key] = _joined(before, value) if both else value  # type: ignore[arg-type]
    return joined


def _relocate(tree: dict[str, Any], *, start: Path, home: Path) -> None:
    """Make the paths of a file in folder `start` relative to folder `home`."""
    if start == home:
        return
    inputs = tree.get("inputs")
    if isinstance(inputs, dict):
        for name, source in inputs.items():
            if isinstance(source, str):
                inputs[name] = _moved(source, start, home)
            for one in source if isinstance(source, list) else [source]:
                _move_key(one, "path", start, home)
    effects = tree.get("effects")
    for effect in effects if isinstance(effects, list) else ():
        if isinstance(effect, dict):
            _move_key(effect.get("table"), "path", start, home)
    _move_key(tree.get("report"), "previous", start, home)


def _move_key(section: Any, key: str, start: Path, home: Path) -> None:
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = _moved(section[key], start, home)


def _moved(place: str, start: Path, home: Path) -> str:
    """A relative path of one folder as seen from another; addresses and absolute paths stay."""
    if ":" in place.split("/", maxsplit=1)[0] or Path(place).is_absolute():
        return place
    return os.path.relpath(start / place, home)
