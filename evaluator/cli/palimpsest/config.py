"""Where the site is and who asks: options, then the environment, then `~/.config/palimpsest/config.toml`."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Config:
    """The address of a site, without a slash at its end, and a token (empty: not signed in)."""

    url: str
    token: str


def config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "palimpsest" / "config.toml"


def config_load(*, url: str | None = None, token: str | None = None) -> Config:
    """Options win over PALIMPSEST_URL / PALIMPSEST_TOKEN, and these over the file.

    The file's token belongs to the file's site: it is not sent to another one.
    """
    stored = _stored()
    found_url = (url or os.environ.get("PALIMPSEST_URL") or stored.get("url") or DEFAULT_URL).rstrip("/")
    found_token = token or os.environ.get("PALIMPSEST_TOKEN") or ""
    if not found_token and stored.get("url") == found_url:
        found_token = stored.get("token", "")
    return Config(found_url, found_token)


def config_save(config: Config) -> Path:
    """Write the file, readable by its owner only."""
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(f'url = "{_escape(config.url)}"\ntoken = "{_escape(config.token)}"\n')
    path.chmod(0o600)
    return path


def _stored() -> dict[str, str]:
    try:
        found = tomllib.loads(config_path().read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
