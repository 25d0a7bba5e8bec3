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
from django.test import Client

from evaluator.contract.disclosure import SEALED_TRACE
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.runs.selectors import run_get
from leaderboard.traces.models import TraceFile
from leaderboard.traces.reissue import release_open, traces_withhold
from leaderboard.traces.selectors import trace_jsonl_gz, trace_page, trace_row
from leaderboard.traces.store import TraceRefused, trace_store
from leaderboard.worker import execute as worker
from leaderboard.worker.rotate import release_retire
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


def test_a_page_of_a_long_trace_reads_no_more_than_it_shows(trace: TraceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "item_id": f"i{n}",
            "kind": "verbatim" if n % 3 else "retain",
            "prompt": f"question {n}",
            "response": "x" * 50,
            "leak": None if n % 7 == 0 else float(n % 2),
            "token_ranks": [n],
            "choices": ["a"],
            "aliases": [str(n)],
        }
        for n in range(10_000)
    ]
    path = default_storage.path(trace.path)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2000)
    read: list[int] = []
    original = pq.ParquetFile.iter_batches

    def counted(self: Any, **asked: Any) -> Any:
        for batch in original(self, **asked):
            read.append(len(batch))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    page = trace_page(trace, offset=6010, limit=20)
    assert [row["item_id"] for row in page.rows] == [f"i{n}" for n in range(6010, 6030)] and page.total == 10_000
    assert sum(read) <= 500
    assert page.rows[0]["aliases"] == ["6010"] and not {"token_ranks", "choices"} & page.rows[0].keys()
    leaking = [row for row in rows if row["leak"] == 1 and row["kind"] == "retain"]
    page = trace_page(trace, offset=640, limit=20, kind="retain", marks={"leak": True})
    assert page.total == len(leaking) and [r["item_id"] for r in page.rows] == [r["item_id"] for r in leaking[640:660]]
    assert trace_page(trace, search="question 999", marks={"leak": False}).total == sum(
        "question 999" in str(row["prompt"]) and row["leak"] == 0 for row in rows
    )
    assert trace_page(trace, offset=20_000).rows == []
    last = trace_row(trace, position=9_999)
    assert last is not None and last["token_ranks"] == [9_999]


def test_a_hidden_trace_that_shows_more_than_outcomes_is_refused(tmp_path: Path) -> None:
    source, sealed = tmp_path / "trace.parquet", tmp_path / "trace.sealed"
    sealed.write_bytes(SEALED_TRACE + b"...")
    shown = {"item_id": "i1", "kind": "verbatim", "split_role": "forget", "leak": 1.0}
    pq.write_table(pa.Table.from_pylist([shown]), source)
    assert trace_store(source=source, run_id="r1", fence=1, sealed=sealed).rows == 1
    for name, quoted in [
        ("subject_key", "s1"),
        ("answer_probability", 0.5),
        ("har", 0.75),
        ("prompt", "x"),
        ("topic", "x"),
        ("a_new_column", "x"),
        ("token_ranks", [1]),
        ("choices", ["x"]),
    ]:
        pq.write_table(pa.Table.from_pylist([shown | {name: quoted}]), source)
        with pytest.raises(TraceRefused, match=name):
            trace_store(source=source, run_id="r1", fence=1, sealed=sealed)


def test_json_lines_hold_the_same_rows(trace: TraceFile) -> None:
    text = gzip.decompress(b"".join(trace_jsonl_gz(trace, batch_rows=2))).decode()
    assert [json.loads(line)["item_id"] for line in text.splitlines()] == ["a", "b", "c"]


def test_what_is_no_trace_or_too_large_is_refused(tmp_path: Path, settings: Any) -> None:
    bad = tmp_path / "trace.parquet"
    bad.write_bytes(b"not parquet")
    with pytest.raises(TraceRefused):
        trace_store(source=bad, run_id="r1", fence=1)
    pq.write_table(pa.table({"kind": ["verbatim"]}), bad)
    settings.TRACE_MAX_MB = 0
    with pytest.raises(TraceRefused, match="limit"):
        trace_store(source=bad, run_id="r1", fence=1)
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
        trace_store(source=good, run_id="r1", fence=1)
    assert not list((tmp_path / "media").rglob("*.parquet"))


def test_beside_the_outcomes_of_a_hidden_run_only_a_sealed_trace_is_stored(tmp_path: Path) -> None:
    source, sealed = tmp_path / "trace.parquet", tmp_path / "trace.sealed"
    pq.write_table(pa.table({"kind": ["verbatim"]}), source)
    with pytest.raises(TraceRefused, match=r"trace\.sealed"):
        trace_store(source=source, run_id="r1", fence=1, sealed=sealed)
    pq.write_table(pa.table({"prompt": ["Who wrote Hamlet?"]}), sealed)
    with pytest.raises(TraceRefused, match="is not sealed"):
        trace_store(source=source, run_id="r1", fence=1, sealed=sealed)
    assert not (tmp_path / "media").exists()
    sealed.write_bytes(SEALED_TRACE + b"...")
    stored = trace_store(source=source, run_id="r1", fence=1, sealed=sealed)
    assert default_storage.open(stored.sealed_path).read() == SEALED_TRACE + b"..."


def test_a_run_that_an_older_evaluator_scored_shows_nothing_until_it_is_sealed(
    submit: Submit, hidden: Release, client: Client
) -> None:
    run = submit(hidden).runs.get()
    worker.work_until_empty()
    as_before = default_storage.path(run_get(run_id=run.id).trace.path)
    pq.write_table(pa.table({"item_id": ["i1"], "subject_key": ["s1"], "kind": ["retain"], "leak": [0.125]}), as_before)
    TraceFile.objects.update(sealed_path="", sealed_sha256="")
    for name in ("trace/", "trace.parquet", "trace.jsonl.gz"):
        assert client.get(f"/runs/{run.id}/{name}").status_code == 404
    assert traces_withhold(actor="test") == 1 and traces_withhold(actor="test") == 0
    trace = run_get(run_id=run.id).trace
    assert trace.redacted and trace.sealed_path and not Path(as_before).exists()
    assert b"s1" not in client.get(f"/runs/{run.id}/trace/").content
    assert run_get(run_id=run.id).receipt["issued_at"] == "later"
    assert AuditEntry.objects.filter(action="trace.withhold").count() == 1


def test_a_release_that_retires_opens_its_traces_and_takes_no_more_runs(
    submit: Submit, hidden: Release, client: Client
) -> None:
    run = submit(hidden).runs.get()
    worker.work_until_empty()
    with pytest.raises(ValueError, match="has not retired"):
        release_open(release=hidden, actor="test")
    waiting = submit(hidden, name="Late").runs.get()
    assert release_retire(release=hidden, actor="test", reason="worn") == 1
    trace = run_get(run_id=run.id).trace
    assert not trace.redacted and trace.sealed_path
    assert "Who wrote Hamlet?" in client.get(f"/runs/{run.id}/trace/").content.decode()
    waiting.refresh_from_db()
    assert waiting.state == "CANCELLED" and "retired: worn" in waiting.reason
    assert release_retire(release=hidden, actor="test", reason="again") == 0
    assert AuditEntry.objects.filter(action="release.retire").count() == 1
