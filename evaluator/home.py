"""Where things lie: the data folder (`PALIMPSEST_HOME`) and the rooms inside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from evaluator.contract import data_folder


@dataclass(frozen=True)
class Home:
    """The data folder of one installation. Nothing is created until it is needed."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`PALIMPSEST_HOME`, or `var/` of the checkout: see `data_folder`."""
        return cls(data_folder())

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def cards(self) -> Path:
        return self.root / "cards"

    @property
    def baked(self) -> Path:
        """Trainings of reference entries that depend on no request; they become a layer of the reference image."""
        return self.root / "baked"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def secret(self) -> Path:
        return self.root / "secret"

    def releases(self, split: str) -> Path:
        """`releases/public` or `releases/hidden`; the hidden one is made readable by its owner alone."""
        path = self.root / "releases" / split
        path.mkdir(parents=True, exist_ok=True)
        if split == "hidden":
            path.chmod(0o700)
        return path

    def release(self, slug: str) -> Path:
        """The folder of a release by its slug. Raises `LookupError` that names the known ones."""
        roots = [Path(p) for p in os.environ.get("PALIMPSEST_RELEASES", "").split(os.pathsep) if p]
        roots += [self.root / "releases" / split for split in ("public", "hidden")]
        for root in roots:
            if (root / slug / "card.json").is_file():
                return root / slug
        known = sorted(p.parent.name for root in roots if root.is_dir() for p in root.glob("*/card.json"))
        raise LookupError(
            f"release: {slug!r} is not built here; known: {', '.join(known) or 'none'}. "
            "Build it with `python -m evaluator build`."
        )


def write_atomically(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    raw = data.encode() if isinstance(data, str) else data
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
