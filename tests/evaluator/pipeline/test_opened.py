"""Opened boards: runs as files make the table again, and a release can be gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evaluator.analysis.opened import (
    kinds_markdown,
    opened_add,
    opened_board,
    opened_digests,
    release_pack,
    release_unpack,
)
from evaluator.contract import Job, Manifest, Receipt
from evaluator.contract.manifest import Kind
from evaluator.home import Home
from tests.evaluator.measures.statistics.worlds import World
from tests.evaluator.pipeline.test_rank import BASE, FAIR, GOOD, Bench


def run_made(folder: Path, bench: Bench, name: str, kind: Kind, world: World) -> Path:
    """A run's folder as the evaluator leaves it."""
    files = bench.run(world.draw(np.random.default_rng(0)))
    run = folder / name.replace(" ", "-")
    out = run / "out"
    out.mkdir(parents=True)
    Path(files["trace"]).rename(out / "trace.parquet")
    Path(files["scorecard"]).rename(out / "scorecard.json")
    manifest = Manifest(
        contract=1,
        name=name,
        version="1",
        kind=kind,
        division="weights",
        authors=("Ada",),
    )
    job = Job(run_id="r1", release="r-20", image="sha256:1", manifest=manifest, work_dir=run, out_dir=out)
    (run / "job.json").write_text(job.model_dump_json())
    digest = "0" * 64
    receipt = Receipt(
        run_id="r1",
        release="r-20",
        release_sha256=digest,
        base_sha256=digest,
        image="sha256:1",
        manifest_sha256=digest,
        artifact_sha256=digest,
        evaluator="1",
        evaluator_sha256=digest,
        scorecard_sha256=digest,
        trace_sha256=digest,
        seed=0,
        backend="podman",
        hardware={},
        versions={},
        durations_s={},
        issued_at="2026-11-28T10:00:00+00:00",
    )
    (out / "receipt.json").write_text(receipt.model_dump_json())
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bench, opened = Bench(tmp_path), tmp_path / "opened"
    made: list[tuple[str, Kind, World]] = [
        ("Untouched base", "control", BASE),
        ("Fair", "editing", FAIR),
        ("Good one", "editing", GOOD),
    ]
    names = [opened_add(run_made(tmp_path / "runs", bench, *one), opened) for one in made]
    assert names == ["untouched-base", "fair", "good-one"]
    return opened


def test_the_table_is_made_again_from_the_files(folder: Path) -> None:
    board = opened_board(folder, resamples=1000)
    assert [(row.method, row.rank) for row in board.rows] == [("Good one", 1), ("Fair", 2), ("Untouched base", None)]
    assert board.rows[0].differences.base is not None and board.rows[0].differences.base.id == "untouched-base"
    assert set(opened_digests(folder)) == {row.runs[0] for row in board.rows}
    table = kinds_markdown(board, ["good-one", "untouched-base"])
    assert table.startswith("| kind | of | Good one | Untouched base |") and "Neighbour locality" in table
    with pytest.raises(ValueError, match="entries: 'nobody' is not on the board; those that are: fair, good-one"):
        kinds_markdown(board, ["nobody"])


def test_a_run_is_put_in_once_and_no_prompt_goes_with_it(folder: Path, tmp_path: Path) -> None:
    assert opened_add(tmp_path / "runs" / "Fair", folder) == "fair"
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["fair", "good-one", "untouched-base"]
    names = set(pq.read_schema(folder / "runs" / "fair" / "trace.parquet").names)
    assert {"item_id", "leak", "response"} <= names and not names & {"prompt", "reference", "token_logprobs"}


def test_a_run_of_another_release_or_without_a_score_is_refused_and_changes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    before = sorted(folder.rglob("*"))
    other = run_made(tmp_path / "runs", Bench(tmp_path), "Other", "editing", FAIR)
    card = other / "out" / "scorecard.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"release": "r-50"}))
    with pytest.raises(ValueError, match="is of r-50 by evaluator 1, fair is of r-20 by 1; give another folder"):
        opened_add(other, folder)
    card.unlink()
    with pytest.raises(ValueError, match=r"has no scorecard\.json; give a run that was scored"):
        opened_add(other, folder)
    with pytest.raises(ValueError, match="holds no runs/NAME"):
        opened_board(tmp_path / "nowhere")
    assert sorted(folder.rglob("*")) == before


def test_a_release_goes_out_and_into_an_empty_data_folder_and_over_nobodys_secret(
    toy_home: Path, tmp_path: Path
) -> None:
    target = release_pack(Home(toy_home), "toy-world-5", tmp_path / "opened")
    empty = Home(tmp_path / "home")
    release_unpack(target.parent, empty)
    mine, theirs = Home(toy_home).release("toy-world-5"), empty.release("toy-world-5")
    assert (mine / "probes.jsonl").read_bytes() == (theirs / "probes.jsonl").read_bytes()
    assert (empty.root / "cards" / "toy-world-5.json").is_file() and (empty.root / "secret").is_dir()
    with pytest.raises(FileExistsError, match="has a secret of its own"):
        release_unpack(target.parent, empty)
