"""A base model on disk: `config.json`, safetensors, tokenizer, chat template, and `base.json` with its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from evaluator.home import write_atomically


@dataclass(frozen=True)
class BaseModelDirectory:
    """A prepared base model. `sha256` is over (name, SHA-256) of every file but `base.json`, in name order."""

    name: str
    path: Path
    sha256: str
    licence: str
    source: str


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def base_hash(path: Path) -> str:
    """SHA-256 of a model directory; the files' names and contents count, times and owners do not."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file() and p.name != "base.json"):
        digest.update(f"{file.name}\0{_file_sha256(file)}\n".encode())
    return digest.hexdigest()


def base_seal(path: Path, *, name: str, licence: str, source: str) -> BaseModelDirectory:
    """Hash a finished directory and write its `base.json`, the sizes beside the hash for a cheap later check."""
    base = BaseModelDirectory(name=name, path=path, sha256=base_hash(path), licence=licence, source=source)
    sizes = {p.name: p.stat().st_size for p in sorted(path.iterdir()) if p.is_file() and p.name != "base.json"}
    record = {"name": name, "sha256": base.sha256, "licence": licence, "source": source, "sizes": sizes}
    write_atomically(path / "base.json", json.dumps(record, indent=2) + "\n")
    return base


def base_load(path: Path, *, verify: bool = False) -> BaseModelDirectory:
    """Read `base.json`. With `verify` the files are hashed again (1-2 s for 500 MB).

    Raises `ValueError` naming the file when the directory is not what it was.
    """
    record = json.loads((path / "base.json").read_text())
    for file, size in record["sizes"].items():
        actual = (path / file).stat().st_size if (path / file).is_file() else None
        if actual != size:
            raise ValueError(f"base: {path / file} has {actual} bytes, not {size}; remove {path} and prepare it again")
    if verify and (found := base_hash(path)) != record["sha256"]:
        raise ValueError(f"base: {path} hashes to {found}, not {record['sha256']}; remove it and prepare it again")
    return BaseModelDirectory(record["name"], path, record["sha256"], record["licence"], record["source"])
