"""Public ids: short, unguessable, fit for URLs, container names and `Job.run_id`."""

from __future__ import annotations

import secrets

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no look-alikes: people read these aloud


def _token(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def submission_id_make() -> str:
    """An id such as `s7k2m9qx4b`: 44 bits of chance."""
    return "s" + _token(9)


def run_id_make() -> str:
    """An id such as `r7k2m9qx4bdw`: 54 bits of chance."""
    return "r" + _token(11)


def upload_id_make() -> str:
    """An id such as `u7k2m9qx4bdwh5t8ync3v`: 98 bits of chance, for it is an address that a file is written to."""
    return "u" + _token(20)
