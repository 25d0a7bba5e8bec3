"""Trace files: stored with their hash, read by page, streamed as JSON lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.storage import default_storage

from leaderboard.benchmarks.models import Release
from leaderboard.runs import worker
from leaderboard.runs.selectors import run_get
from leaderboard.traces.models import TraceFile
from leaderboard.traces.selectors import trace_jsonl_gz, trace_page, trace_row
from leaderboard.traces.store import TraceRefused, trace_store
from tests.leaderboard.conftest import Submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def trace(submit: Submit, public: Release) -> TraceFile:
    run = submit(public).runs.get()
    worker.work_until_empty()
    return run_get(run_id=run.id).trace


def test_a_page_is_filtered_and_counted(trace: TraceFile) -> None:
    page = trace_page(trace, kind="paraphrase")
    assert [row["item_id"] for row in page.rows] == ["b"]
    assert page.kinds == ["paraphrase", "retain", "verbatim"]
    assert trace_page(trace, offset=2, limit=5).total == 3
    assert trace_page(trace, search="HAMLET").total == 3
    assert trace_page(trace, search="Macbeth").total == 0
    row = trace_row(trace, position=2)
    assert row is not None
    assert row["kind"] == "retain"
    assert trace_row(trace, position=3) is None


def test_json_lines_hold_the_same_rows(trace: TraceFile) -> None:
    text = gzip.decompress(b"".join(trace_jsonl_gz(trace, batch_rows=2))).decode()
    assert [json.loads(line)["item_id"] for line in text.splitlines()] == ["a", "b", "c"]


def test_what_is_no_trace_or_too_large_is_refused(tmp_path: Path, settings: Any) -> None:
    bad = tmp_path / "trace.parquet"
    bad.write_bytes(b"not parquet")
    with pytest.raises(TraceRefused):
        trace_store(source=bad, run_id="r1", fence=1, redacted=False)
    pq.write_table(pa.table({"kind": ["verbatim"]}), bad)
    settings.TRACE_MAX_MB = 0
    with pytest.raises(TraceRefused, match="limit"):
        trace_store(source=bad, run_id="r1", fence=1, redacted=False)
    assert not (tmp_path / "media").exists()


def test_a_copy_that_does_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage: Any = default_storage
    good = tmp_path / "trace.parquet"
    pq.write_table(pa.table({"kind": ["verbatim"]}), good)
    original = default_storage.save

    def torn(name: str, content: Any) -> str:
        path = original(name, content)
        with Path(default_storage.path(path)).open("r+b") as handle:
            handle.truncate(10)
        return str(path)

    monkeypatch.setattr(storage._wrapped, "save", torn)
    with pytest.raises(OSError, match="does not read back"):
        trace_store(source=good, run_id="r1", fence=1, redacted=False)
    assert not list((tmp_path / "media").rglob("*.parquet"))
