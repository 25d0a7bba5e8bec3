"""Disks without room: the platform's fault, repeated when there is room again, and nothing half-written stays."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.chaos.conftest import PROTOCOL
from tests.chaos.site import Site
from tests.chaos.steps import ended_once, submit

pytestmark = pytest.mark.chaos


class SmallDisk:
    """A real, small file system, which can be filled to the last byte and emptied again."""

    def __init__(self, path: Path, size_kb: int) -> None:
        self.path = path
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "palimpsest-test", path], check=True)

    def fill(self, *, but_kb: int = 0) -> None:
        with (self.path / "balloon").open("wb", buffering=0) as balloon:
            try:
                while True:
                    balloon.write(b"\0" * 65536)
            except OSError:
                pass
            if but_kb:
                balloon.truncate(max(0, balloon.tell() - but_kb * 1024))

    def empty(self) -> None:
        (self.path / "balloon").unlink(missing_ok=True)

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.path))
            for path in self.path.rglob("*")
            if path.is_file() and path.name != "balloon"
        )

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root")
    found = SmallDisk(tmp_path / "disk", size_kb=24 * 1024)
    yield found
    found.close()


def test_a_disk_that_fills_up_under_a_run_and_its_database(disk: SmallDisk, migrated: Path) -> None:
    with sqlite3.connect(migrated) as source, sqlite3.connect(disk.path / "db.sqlite3") as target:
        source.backup(target)
    site = Site(
        disk.path, EVALUATOR_COMMAND=PROTOCOL, DISK_FREE_MIN_MB="2", RUN_NOTIFY_AFTER_S="1", RUN_MAX_ATTEMPTS="4"
    )
    try:
        submit(site, stage_s=1, value=0.25)
        site.worker_start()
        for stage in ("UNLEARNING", "SCORING"):
            site.wait(lambda: site.state() == stage, within_s=60)  # noqa: B023
            disk.fill()
            time.sleep(4)
            disk.empty()
        ended_once(site, value=0.25)
        assert site.worker is not None and site.worker.poll() is None
        assert "No space left" in site.log() or "full" in site.log()
        assert not [name for name in disk.files() if name.endswith((".tmp", ".new"))]
    finally:
        site.close()


def test_a_trace_that_finds_no_room_leaves_nothing_in_the_storage(
    disk: SmallDisk, tmp_path: Path, settings: Any
) -> None:
    from leaderboard.traces.store import trace_store

    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(disk.path / "media")},
        }
    }
    source = tmp_path / "trace.parquet"
    pq.write_table(pa.table({"leak": list(range(300_000))}), source, compression="none", use_dictionary=False)
    disk.fill(but_kb=500)
    with pytest.raises(OSError, match="No space"):
        trace_store(source=source, run_id="r1", fence=1)
    assert disk.files() == []
    disk.empty()
    stored = trace_store(source=source, run_id="r1", fence=1)
    assert disk.files() == [f"media/{stored.path}"]


def test_a_seal_that_finds_no_room_leaves_nothing_and_is_no_fault_of_the_method(
    disk: SmallDisk, tmp_path: Path
) -> None:
    from evaluator.artifact import BaseTensors, seal
    from evaluator.contract import Limits

    out = tmp_path / "out"
    (out / "state").mkdir(parents=True)
    (out / "state" / "memory.bin").write_bytes(os.urandom(3_000_000))
    result = {"contract": 1, "kind": "server", "base_sha256": "b" * 64, "method": "m", "hparams": {}}
    (out / "result.json").write_text(json.dumps(result | {"stores_forget_text": False}))

    def go() -> Any:
        sealed = disk.path / "sealed"
        return seal(out, sealed, base=BaseTensors({}), base_sha256="b" * 64, division="system", limits=Limits())

    disk.fill(but_kb=1000)
    with pytest.raises(OSError, match="No space"):
        go()
    assert disk.files() == []
    disk.empty()
    assert go().size_bytes > 3_000_000


def test_what_is_measured_and_scored_is_written_whole_or_not_at_all(disk: SmallDisk) -> None:
    from evaluator.home import write_atomically
    from evaluator.model.engine.primitives import PrimitiveStore
    from evaluator.trace import trace_write
    from evaluator.trace.table import TRACE_SCHEMA

    row = dict.fromkeys(TRACE_SCHEMA.names) | {"prompt": "x" * 50}
    rows = [row | {"item_id": os.urandom(4000).hex()} for _ in range(200)]
    store = PrimitiveStore(disk.path / "primitives.sqlite")
    store.texts_write({b"k0": "before"})
    disk.fill(but_kb=100)
    with pytest.raises(OSError, match="No space"):
        write_atomically(disk.path / "scorecard.json", "x" * 1_000_000)
    with pytest.raises(OSError, match="No space"):
        trace_write(disk.path / "trace.parquet", rows)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.texts_write({bytes([n]): "x" * 10_000 for n in range(100)})
    assert [name for name in disk.files() if not name.startswith("primitives.sqlite")] == []
    disk.empty()
    assert store.texts_read([b"k0", bytes([1])]) == {b"k0": "before"}
    store.texts_write({bytes([n]): "x" * 10_000 for n in range(100)})
    trace_write(disk.path / "trace.parquet", rows)
    store.close()
