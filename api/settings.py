"""What a service is told when it starts; unsafe combinations are refused by name."""

from __future__ import annotations

import ipaddress
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from histories.errors import ConfigError
from histories.identity import KEY_VARIABLE, identity_key

ENVIRONMENT: Final = "TRIBUTARY_SERVE"
"""Variable through which the workers of one service receive its settings, as JSON."""


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """Choices of one service.

    Attributes
    ----------
    runs
        Folder whose `champion` link is followed.
    bundle
        One bundle to serve instead; then nothing is followed.
    keys
        File of API keys; without one only loopback addresses are served.
    max_body, max_url
        Largest request body and address, in bytes.
    max_batch
        Most ids or rows in one request.
    body_timeout
        Seconds within which a request must arrive, its headers and then its body.
    rate_limit
        Requests per minute where a key names no limit of its own, over all workers; None: no limit.
    limits
        Address of a Redis server that counts requests for services on several machines; None: the workers of
        this one count together.
    identity_key_file
        File with the key of handles' digests, where `TRIBUTARY_IDENTITY_KEY` does not say it.
    watch_seconds
        Time between two looks at the link and the keys.
    access_log
        Whether each request leaves a JSON line on standard error.
    public_url
        Where clients reach the service, for the commands on `/docs`; by default host and port. What a client
        says in its Host field is never repeated.
    """

    runs: Path | None = None
    bundle: Path | None = None
    keys: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body: Annotated[int, Field(ge=1024)] = 4_000_000
    max_url: Annotated[int, Field(ge=256)] = 8192
    max_batch: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    body_timeout: Annotated[float, Field(gt=0)] = 10.0
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    limits: str | None = None
    identity_key_file: Path | None = None
    watch_seconds: Annotated[float, Field(gt=0)] = 1.0
    graceful_seconds: Annotated[int, Field(ge=1)] = 20
    access_log: bool = True
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s\"'<>]{1,500}$")] | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Settings:
        if self.keys is None and not is_loopback(self.host):
            raise ConfigError(
                f'host is "{self.host}", but there are no keys: without --keys only this machine (127.0.0.1) '
                "may be served. Make a key with `tributary key create --keys FILE --scope read`."
            )
        return self

    @property
    def base_url(self) -> str:
        """Where clients reach the service, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def source(self) -> Path | None:
        """The path that is served: the fixed bundle, or the link that is followed."""
        if self.bundle is not None:
            return self.bundle
        return self.runs / "champion" if self.runs is not None else None

    @property
    def home(self) -> Path | None:
        """The folder of the bundles, with their tombstones."""
        if self.runs is not None:
            return self.runs
        return self.bundle.resolve().parent if self.bundle is not None else None

    @property
    def id_key(self) -> bytes | None:
        """Key of the pseudonyms, from the environment; None when there is none."""
        return os.environ.get(KEY_VARIABLE, "").encode() or None

    @property
    def handle_key(self) -> bytes | None:
        """Key of handles' digests; None when there is none."""
        return identity_key(self.identity_key_file)

    def to_json(self) -> str:
        """The settings as text for a worker's environment."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_environment(cls) -> Settings:
        """The settings that `tributary serve` left for its workers."""
        return _ADAPTER.validate_json(os.environ.get(ENVIRONMENT, "{}"))


_ADAPTER: TypeAdapter[Settings] = TypeAdapter(Settings)
