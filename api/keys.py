"""API keys: made once, kept as hashes, rotated and revoked while the service runs.

A key reads `trib_<id>_<secret>`. The file holds the id, the scopes and the SHA-256 of the whole key. A slow
password hash would add nothing: the secret is 256 random bits, not a word that could be guessed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
import orjson
from msgspec import Meta

from histories.durable import locked, storage_error, write_whole
from histories.errors import ConfigError, nearest

Scope = Literal["read", "batch", "write", "erase", "admin"]
SCOPES: Final[tuple[str, ...]] = get_args(Scope)

_Instant = Annotated[dt.datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key as the file knows it.

    Attributes
    ----------
    key_id
        The public part, by which a key is rotated or revoked.
    name
        Who uses it; appears in the audit trail and in the log of promotions.
    sha256
        Hash of the whole key, in hexadecimal.
    scopes
        What it may do, from `SCOPES`.
    rate_limit
        Requests per minute; None: the service's default.
    expires_at, revoked_at
        Instants in UTC; None: never.
    """

    key_id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(max_length=255)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    created_at: _Instant
    rate_limit: Annotated[int, Meta(ge=1)] | None = None
    expires_at: _Instant | None = None
    revoked_at: _Instant | None = None

    def is_valid(self, now: dt.datetime) -> bool:
        """Whether the key opens anything at this instant."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def to_dict(self) -> dict[str, Any]:
        """The entry of the file, without the hash, for a list that people read."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


def hash_key(key: str) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def load_keys(path: Path) -> dict[str, ApiKey]:
    """Read a file of keys, by key id.

    Raises
    ------
    ConfigError
        When the file is missing or is no such file.
    """
    try:
        entries = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file. Make one with `tributary key create --keys {path} --scope read`."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a file of API keys. Restore it, or make a new one.") from error
    try:
        keys = msgspec.convert(entries, type=_KeyFile).keys
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{path}: not a file of API keys: {error}. Mend the entry, or make a new key in its place."
        ) from error
    return {key.key_id: key for key in keys}


class _KeyFile(msgspec.Struct):
    """What the file holds."""

    keys: list[ApiKey]


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, ApiKey]]:
    """The keys of a file, to be changed; written whole afterwards, for its owner's eyes only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path.parent.name, error) from error
    with locked(path.parent, path.name):
        keys = load_keys(path) if path.exists() else {}
        yield keys
        entries = [asdict(key) for key in keys.values()]
        write_whole(path, orjson.dumps({"keys": entries}, option=orjson.OPT_INDENT_2), mode=0o600)


def create_key(
    path: Path,
    *,
    scopes: Sequence[str],
    name: str = "",
    rate_limit: int | None = None,
    expires_at: dt.datetime | None = None,
) -> tuple[str, ApiKey]:
    """Add a key to a file; returns the key itself, which is stored nowhere, and its entry.

    Raises
    ------
    ConfigError
        When a scope is unknown, none is given, or the file is no file of keys.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ConfigError(f'There is no scope "{unknown[0]}"; {nearest(unknown[0], SCOPES)}')
    if not scopes:
        raise ConfigError(f"A key needs a scope; allowed: {', '.join(SCOPES)}.")
    with _edited(path) as keys:
        key, entry = _fresh(scopes=scopes, name=name, rate_limit=rate_limit, expires_at=expires_at)
        keys[entry.key_id] = entry
    return key, entry


def _fresh(
    *, scopes: Sequence[str], name: str, rate_limit: int | None, expires_at: dt.datetime | None
) -> tuple[str, ApiKey]:
    key_id = secrets.token_hex(4)
    key = f"trib_{key_id}_{secrets.token_urlsafe(32)}"
    entry = ApiKey(
        key_id=key_id,
        name=name or key_id,
        sha256=hash_key(key),
        scopes=tuple(scope for scope in get_args(Scope) if scope in scopes),
        created_at=_now(),
        rate_limit=rate_limit,
        expires_at=expires_at,
    )
    return key, entry


def rotate_key(path: Path, key_id: str, *, overlap: dt.timedelta = dt.timedelta(0)) -> tuple[str, ApiKey]:
    """Replace a key by a new one with the same rights; the old one works for `overlap` longer.

    Raises
    ------
    ConfigError
        When the file holds no such key, or it no longer works.
    """
    with _edited(path) as keys:
        old = _named(keys, key_id)
        if not old.is_valid(_now()):
            raise ConfigError(
                f"The key {key_id} no longer works. Make a new one with `tributary key create`."
            )
        key, entry = _fresh(
            scopes=old.scopes, name=old.name, rate_limit=old.rate_limit, expires_at=old.expires_at
        )
        ends = _now() + overlap
        keys[key_id] = replace(old, expires_at=min(ends, old.expires_at) if old.expires_at else ends)
        keys[entry.key_id] = entry
    return key, entry


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """End a key now; running services notice within a second. Revoking twice changes nothing.

    Raises
    ------
    ConfigError
        When the file holds no such key.
    """
    load_keys(path)
    with _edited(path) as keys:
        old = _named(keys, key_id)
        keys[key_id] = old if old.revoked_at else replace(old, revoked_at=_now())
        return keys[key_id]


def _named(keys: dict[str, ApiKey], key_id: str) -> ApiKey:
    if key_id not in keys:
        raise ConfigError(f"There is no key {key_id}. `tributary key list` shows those there are.")
    return keys[key_id]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


class KeyRing:
    """The keys of a running service, by the hash of what a client shows.

    A file that becomes unreadable changes nothing: the keys read last go on working.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._by_hash = {key.sha256: key for key in load_keys(path).values()}

    def find(self, shown: str) -> ApiKey | None:
        """The key that a client shows, when it works now."""
        key = self._by_hash.get(hash_key(shown))
        return key if key is not None and key.is_valid(dt.datetime.now(dt.UTC)) else None

    def refresh(self) -> bool:
        """Read the file again when it changed; whether it did.

        Raises
        ------
        ConfigError
            When it cannot be read; the keys known so far stay.
        """
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        self._by_hash = {key.sha256: key for key in load_keys(self._path).values()}
        return True

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
