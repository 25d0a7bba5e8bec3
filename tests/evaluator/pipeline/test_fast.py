"""Fast runs on the toy world: a part of the probes, a precision decided once, a label, and no way to a board."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evaluator.analysis.rank import RankSpec, rank
from evaluator.contract import EvaluationFailed, FailureCode, Fast, FastRefused, Job, Scorecard
from evaluator.contract import fast as contract
from evaluator.home import Home
from evaluator.model import precision
from evaluator.pipeline.reissue import run_open, run_withhold
from evaluator.pipeline.run import run
from evaluator.probes import probes_load, probes_sampled
from evaluator.trace import is_fast, trace_read
from tests.evaluator.pipeline.test_run import job_of

pytestmark = pytest.mark.torch
RELEASE = "toy-world-5-public"


def fast_job(home: Path, name: str, *, tag: str = "", release: str = RELEASE) -> Job:
    return job_of(home, name, release, tag=f"-fast{tag}").model_copy(update={"fast": True})


def given(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """The processor says that it can do just this."""
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))


def fp32_keys(job: Job) -> set[bytes]:
    with sqlite3.connect(job.work_dir / "primitives.sqlite") as store:
        return {key for (key,) in store.execute("SELECT key FROM primitives")}


@pytest.fixture(scope="module")
def fast(toy_home: Path) -> tuple[Job, Scorecard]:
    """The untouched base on a processor without bf16."""
    with pytest.MonkeyPatch.context() as patch:
        given(patch, "avx2")
        job = fast_job(toy_home, "base")
        return job, run(job, Home(toy_home))


@pytest.fixture(scope="module")
def whole(toy_home: Path) -> tuple[Job, Scorecard]:
    job = job_of(toy_home, "base", RELEASE, tag="-whole")
    return job, run(job, Home(toy_home))


def test_a_fast_run_asks_the_sample_and_says_how_much_that_is(fast: tuple[Job, Scorecard], toy_home: Path) -> None:
    job, card = fast
    probes = probes_load(toy_home / "releases" / "public" / RELEASE / "probes.jsonl")
    sample = probes_sampled(probes)
    rows = trace_read(job.out_dir / "trace.parquet")
    assert {row["item_id"] for row in rows if row["condition"] not in {"rounding_8bit", "sampled"}} == {
        probe.item_id for probe in sample
    }
    assert card.fast is not None and (card.fast.probes, card.fast.of) == (len(sample), len(probes))
    assert len(sample) < 0.6 * len(probes)


def test_without_bf16_in_the_processor_it_is_fp32_and_says_why(fast: tuple[Job, Scorecard]) -> None:
    told = fast[1].fast
    assert told is not None and told.precision == "fp32" and told.gate is None
    assert told.told() == "this processor has none of amx_bf16, avx512_bf16: fp32 is used"


def test_its_values_are_those_of_the_whole_run_on_the_same_probes(
    fast: tuple[Job, Scorecard], whole: tuple[Job, Scorecard]
) -> None:
    every = {(r["item_id"], r["condition"]): r for r in trace_read(whole[0].out_dir / "trace.parquet")}
    rows = trace_read(fast[0].out_dir / "trace.parquet")
    for row in rows:
        other = every[row["item_id"], row["condition"]]
        assert (row["response"], row["leak"], row["refusal"]) == (other["response"], other["leak"], other["refusal"])
        assert row["logprob_sum"] == pytest.approx(other["logprob_sum"], abs=1e-3)
    found = {score.key: score for score in fast[1].scores}
    assert found["forgetting"].value == 0 and found["locality"].value == 1 and found["utility"].value == 1
    assert found["forgetting"].n_items == len(rows)


def test_stability_counts_only_requests_of_which_every_wording_was_asked(
    fast: tuple[Job, Scorecard], whole: tuple[Job, Scorecard]
) -> None:
    def stable(job: Job) -> list[float | None]:
        return [row["stable"] for row in trace_read(job.out_dir / "trace.parquet") if row["kind"] == "verbatim"]

    assert any(value is not None for value in stable(whole[0]))
    assert not any(value is not None for value in stable(fast[0])), "a third of the wordings agree more easily"
    score = next(score for score in fast[1].scores if score.key == "stability")
    assert score.value is None, "undefined, and no number"


def test_nothing_signs_it_and_its_files_are_labelled(fast: tuple[Job, Scorecard], whole: tuple[Job, Scorecard]) -> None:
    assert not (fast[0].out_dir / "receipt.json").exists() and (whole[0].out_dir / "receipt.json").is_file()
    for name in ("trace.parquet", "trace_public.parquet"):
        assert is_fast(fast[0].out_dir / name) and not is_fast(whole[0].out_dir / name)
    assert '"fast": {' in (fast[0].out_dir / "scorecard.json").read_text()
    assert '"fast"' not in (whole[0].out_dir / "scorecard.json").read_text()


def test_boards_and_receipts_refuse_it(
    fast: tuple[Job, Scorecard], whole: tuple[Job, Scorecard], toy_home: Path, tmp_path: Path
) -> None:
    def board(trace: Job, card: Job) -> Any:
        runs = [{"trace": trace.out_dir / "trace.parquet", "scorecard": card.out_dir / "scorecard.json"}]
        spec = {"release": RELEASE, "evaluator": fast[1].evaluator, "resamples": 100}
        return rank(RankSpec.model_validate(spec | {"entries": [{"id": "base", "runs": runs}]}), Home(toy_home))

    assert board(whole[0], whole[0]).entries
    with pytest.raises(FastRefused, match=r"scorecard\.fast: run base-toy-world-5-public-fast"):
        board(fast[0], fast[0])
    with pytest.raises(FastRefused, match=r"trace: trace.parquet is of a fast run"):
        board(fast[0], whole[0])
    files = {"scorecard": fast[0].out_dir / "scorecard.json", "receipt": whole[0].out_dir / "receipt.json"}
    with pytest.raises(FastRefused, match=r"scorecard\.fast"):
        run_open(Home(toy_home), sealed=tmp_path / "trace.sealed", out_dir=tmp_path, **files)
    with pytest.raises(FastRefused, match=r"scorecard\.fast"):
        run_withhold(Home(toy_home), trace=fast[0].out_dir / "trace.parquet", out_dir=tmp_path, **files)
    assert not (tmp_path / "receipt.json").exists()


def test_a_gate_that_fails_leaves_fp32_and_one_that_passes_bf16_and_neither_knows_the_others_answers(
    fast: tuple[Job, Scorecard], toy_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, "avx512_bf16")
    monkeypatch.setattr(contract, "CHANGED_SHARE", 1.0)
    found: dict[bool, tuple[Job, Fast]] = {}
    for near in (False, True):
        monkeypatch.setattr(precision, "HALF_TOLERANCE", 1e9 if near else 0.0)
        job = fast_job(toy_home, "base", tag=f"-{near}".lower())
        told = run(job, Home(toy_home)).fast
        assert told is not None and told.gate is not None and told.gate.tokens > 20 and told.gate.texts > 2
        found[near] = job, told
    assert [found[near][1].precision for near in (False, True)] == ["fp32", "bf16"]
    whole_precision = fp32_keys(fast[0])
    assert fp32_keys(found[False][0]) == whole_precision, "the weights are given back as they came"
    assert not fp32_keys(found[True][0]) & whole_precision, "answers are kept by precision"


def test_a_resumed_run_goes_on_in_the_precision_that_it_began_with(
    fast: tuple[Job, Scorecard], toy_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, before = fast
    given(monkeypatch, "avx512_bf16")
    (job.work_dir / "trace.parquet").unlink()
    keys = fp32_keys(job)
    after = run(job, Home(toy_home))
    assert after.fast == before.fast and fp32_keys(job) == keys
    costs = {"unlearn_wall_s", "measure_wall_s", "peak_mb", "artifact_mb"}
    assert [s for s in after.scores if s.key not in costs] == [s for s in before.scores if s.key not in costs]


def test_fast_and_whole_runs_do_not_share_a_work_folder(
    fast: tuple[Job, Scorecard], whole: tuple[Job, Scorecard], toy_home: Path
) -> None:
    for job, said in ((fast[0], "holds a fast run"), (whole[0], "holds a whole run")):
        kept = (job.out_dir / "scorecard.json").read_bytes()
        with pytest.raises(EvaluationFailed, match=f"work_dir: .* {said}; give .* a folder of its own"):
            run(job.model_copy(update={"fast": not job.fast}), Home(toy_home))
        assert (job.out_dir / "scorecard.json").read_bytes() == kept


def test_a_hidden_split_has_no_fast_runs(toy_home: Path) -> None:
    job = fast_job(toy_home, "base", tag="-hidden", release="toy-world-5")
    with pytest.raises(EvaluationFailed, match="fast: toy-world-5 is a hidden split") as caught:
        run(job, Home(toy_home))
    assert caught.value.code is FailureCode.PLATFORM_ERROR
    assert not (job.work_dir / "in").exists(), "before any method runs"


def test_of_a_server_only_the_probes_are_fewer(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "avx512_bf16")
    card = run(fast_job(toy_home, "constant_refusal"), Home(toy_home))
    assert card.fast is not None and card.fast.precision == "server" and card.fast.gate is None
    assert card.fast.probes < card.fast.of and "a server answers in the precision that it chooses" in card.fast.told()
    assert {score.key: score.value for score in card.scores}["forgetting"] == 1
