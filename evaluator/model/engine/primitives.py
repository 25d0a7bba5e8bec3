"""Primitives on disk: what a model answered, keyed by all that the answer depends on, so that no one asks twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evaluator.model.under_test import Scored

#: Changes when the engine's numbers may change: mask, positions, precision of the softmax.
LAYOUT_VERSION = "packed-1"
Key = bytes
#: The file's name beside a run's work and inside a release.
PRIMITIVES = "primitives.sqlite"
#: Where a store says whose answers it keeps.
_BASE: Key = b"base"


def primitive_key(fingerprint: str, what: str, *parts: object) -> Key:
    """SHA-256 over the model's fingerprint (weights, precision), the layout version, what is asked, and token ids."""
    text = json.dumps([fingerprint, LAYOUT_VERSION, what, *parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


class PrimitiveStore:
    """A SQLite file of primitives. A batch is written in one transaction: after a crash it is there or it is not.

    `shared`: another store that is only read, such as the base's own answers that lie with a release.
    """

    def __init__(self, path: Path, *, shared: Path | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._own = sqlite3.connect(path)
        self._own.execute("CREATE TABLE IF NOT EXISTS primitives (key BLOB PRIMARY KEY, value TEXT NOT NULL)")
        self._own.commit()
        self._shared: sqlite3.Connection | None = None
        if shared is not None and shared.is_file():
            self._shared = sqlite3.connect(f"{shared.resolve().as_uri()}?mode=ro&immutable=1", uri=True)

    def close(self) -> None:
        self._own.close()
        if self._shared is not None:
            self._shared.close()

    def base_write(self, fingerprint: str) -> None:
        """Say whose answers these are: the base's, by its fingerprint."""
        self._write([(_BASE, fingerprint)])

    def base_read(self) -> str | None:
        """The fingerprint of the base whose answers are kept here, where that was said."""
        return self._read([_BASE]).get(_BASE)

    def _read(self, keys: Sequence[Key]) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for connection in (self._own, self._shared):
            if connection is None:
                continue
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM primitives WHERE key IN ({marks})"  # noqa: S608  # nosec B608 # marks only
                found |= dict(connection.execute(query, part))
        return found

    def _write(self, values: Iterable[tuple[Key, str]]) -> None:
        with self._own:
            self._own.executemany("INSERT OR REPLACE INTO primitives VALUES (?, ?)", values)

    def scored_read(self, keys: Sequence[Key]) -> dict[Key, Scored]:
        """The stored primitives of those keys that are known."""
        found = {}
        for key, text in self._read(keys).items():
            logprobs, hits, ranks, means, variances = json.loads(text)
            found[key] = Scored(tuple(logprobs), tuple(map(bool, hits)), tuple(ranks), tuple(means), tuple(variances))
        return found

    def scored_write(self, values: Mapping[Key, Scored]) -> None:
        self._write(
            (key, json.dumps([s.logprobs, [int(h) for h in s.hits], s.ranks, s.means, s.variances]))
            for key, s in values.items()
        )

    def texts_read(self, keys: Sequence[Key]) -> dict[Key, str]:
        """The stored continuations of those keys that are known."""
        return {key: str(json.loads(text)) for key, text in self._read(keys).items()}

    def texts_write(self, values: Mapping[Key, str]) -> None:
        self._write((key, json.dumps(text)) for key, text in values.items())
