"""The secrets of hidden splits: the seed of an installation, and the key of each hidden release.

They lie in the evaluator's own folders. Hosts that judge the same hidden release share both with the release.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Literal

from evaluator.contract import ReleaseCard
from evaluator.home import Home, write_atomically

Split = Literal["public", "hidden"]
#: The file of a hidden release that holds its key in hexadecimal digits.
KEY_FILE = "release.key"


def split_secret(home: Home, split: Split) -> bytes:
    """The seed of a split: a fixed word for the public one, a random file outside the repository for the hidden one."""
    if split == "public":
        return b"palimpsest public split"
    path = home.secret / "hidden.seed"
    if not path.is_file():
        home.secret.mkdir(parents=True, exist_ok=True)
        home.secret.chmod(0o700)
        write_atomically(path, secrets.token_hex(32) + "\n", mode=0o600)
    return path.read_text().strip().encode()


def release_sealing(home: Home, slug: str) -> tuple[ReleaseCard, bytes]:
    """The card and the key of a hidden release that is built here. Raises `LookupError` when it is not, and
    `ValueError` for an open one.
    """
    folder = home.release(slug)
    card = ReleaseCard.model_validate_json((folder / "card.json").read_text())
    if card.split != "hidden":
        raise ValueError(f"release: {slug} is open; there is nothing to withhold")
    return card, release_key(home, folder, card.content_sha256)


def release_key(home: Home, folder: Path, content_sha256: str) -> bytes:
    """The 32 bytes under which runs of a hidden release are sealed and named: the same on every host that has it.

    `folder`: the release's. A release from before there were keys gets one that follows from the installation's seed,
    so that hosts that share the seed find the same. Raises `ValueError` for a file that holds no key.
    """
    path = folder / KEY_FILE
    if not path.is_file():
        seed = split_secret(home, "hidden")
        key = hmac.digest(seed, f"release key\0{content_sha256}".encode(), hashlib.sha256)
        write_atomically(path, key.hex() + "\n", mode=0o600)
    try:
        found = bytes.fromhex(path.read_text().strip())
    except ValueError:
        found = b""
    if len(found) != hashlib.sha256().digest_size:
        raise ValueError(f"release: {path.name} of {folder.name} holds no key; restore it from the host that built it")
    return found
