"""The scoring service over a bundle: a name is imported when it is first asked for.

So who makes a key or reads a filter does not load the whole service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.app import create_app
    from api.settings import Settings

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name == "Settings":
        from api.settings import Settings

        return Settings
    if name == "create_app":
        from api.app import create_app

        return create_app
    raise AttributeError(f"api has no {name!r}.")
