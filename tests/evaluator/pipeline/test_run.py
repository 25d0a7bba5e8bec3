"""Whole runs on the toy world with the real reference entries: scores, traces, receipts, resumption, failures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evaluator.analysis.rank import RankSpec, rank
from evaluator.contract import EvaluationFailed, FailureCode, Job, Progress, Receipt, Scorecard, manifest_parse
from evaluator.contract.disclosure import HIDDEN_DECIMALS
from evaluator.contract.seconds import MEASURING, TIMED_STAGES, Decoded, RunSeconds, Seconds
from evaluator.contract.values import VALUE_NAMES
from evaluator.home import Home
from evaluator.model.remote import RemoteModel
from evaluator.pipeline.reissue import run_open, run_withhold
from evaluator.pipeline.run import _order, run
from evaluator.receipt import ReceiptInvalid, receipt_verify
from evaluator.trace import SealBroken, trace_read, trace_write
from evaluator.trace.table import WITHHELD

pytestmark = pytest.mark.torch
REPOSITORY = Path(__file__).parents[3]


def job_of(home: Path, name: str, release: str, *, tag: str = "", **manifest: Any) -> Job:
    data = tomllib.loads((REPOSITORY / "methods" / name / "method.toml").read_text()) | manifest
    run_id = f"{name}-{release}{tag}".replace("_", "-")
    folder = home / "runs" / run_id
    return Job(
        run_id=run_id,
        release=release,
        image=str(REPOSITORY / "methods"),
        manifest=manifest_parse(data),
        threads=1,
        backend="process",
        work_dir=folder / "work",
        out_dir=folder / "out",
    )


def values(scorecard: Scorecard) -> dict[str, float | None]:
    return {score.key: score.value for score in scorecard.scores}


@pytest.fixture(scope="module")
def scored(toy_home: Path) -> dict[str, tuple[Job, Scorecard]]:
    """Three entries on the hidden toy split."""
    found = {}
    for name in ("base", "refuse_everything", "constant_refusal"):
        job = job_of(toy_home, name, "toy-world-5")
        found[name] = (job, run(job, Home(toy_home)))
    return found


def test_the_untouched_base_remembers_everything_and_keeps_everything(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    base = values(scored["base"][1])
    assert base["forgetting"] == 0 and base["locality"] == 1 and base["har"] == 0 and base["over_refusal"] == 0
    assert (base["extraction_strength"] or 0) > 0.5 and (base["answer_probability"] or 0) > 0.5
    assert base["erasure"] == base["robustness"] == base["overall"] == 0
    assert base["utility"] == base["choice_kept"] == base["perplexity_ratio"] == 1


def test_refusing_everything_forgets_but_loses_by_locality(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    found = values(scored["refuse_everything"][1])
    assert found["forgetting"] == 1 and found["over_refusal"] == 1 and found["locality"] == 0
    assert (found["har"] or 0) > 0.5 and found["overall"] == 0, "it refuses well, and that is all"


def test_a_constant_refusal_of_the_forget_subjects_loses_what_else_is_known_of_them(
    scored: dict[str, tuple[Job, Scorecard]],
) -> None:
    found = values(scored["constant_refusal"][1])
    assert found["forgetting"] == 1 and found["neighbour_locality"] == found["retain_locality"] == 1
    assert (found["same_subject_locality"] or 0) < 0.5 and (found["lookalike_locality"] or 0) < 0.5
    assert 0.4 < (found["har"] or 0) < 1 and found["erasure"] is None
    assert scored["constant_refusal"][1].division == "system"


def test_an_attack_goes_from_the_release_to_a_column(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    job, scorecard = scored["base"]
    rows = trace_read(job.out_dir / "trace.parquet")
    shown = trace_read(job.out_dir / "trace_public.parquet")
    conditions = {row["condition"] for row in rows}
    assert conditions == {row["condition"] for row in shown} >= {"", "rounding_8bit", "sampled"}
    cloze = [row for row in rows if row["condition"] == "cloze" and row["split_role"] == "forget"]
    assert all(row["prompt"].endswith((" is", " the")) and row["leak"] == 1 for row in cloze)
    columns = {info.key: info.group for info in scorecard.metrics}
    assert columns["rounding_8bit"] == "robustness" and conditions - {""} <= columns.keys()
    asked = {row["condition"] for row in rows if row["split_role"] == "forget" and row["condition"]}
    told = {name: values(scorecard)[name] for name in asked - {"sampled"}}
    assert "rounding_8bit" in told and not any(told.values()), "the base tells what it knows"
    server, refusals = scored["constant_refusal"]
    plain = asked - {"sampled", "rounding_8bit"}
    assert plain and all(values(refusals)[name] is not None for name in plain), "a server is asked under these too"
    weights = ("rounding_8bit", "sampled", "erasure", "extraction_strength")
    assert all(values(refusals)[key] is None for key in weights), "but its weights are not in our hands"
    assert (values(scorecard)["sampled"] or 0) < 0.5, "drawn answers of the base tell too"
    same = {row["item_id"] for row in trace_read(server.out_dir / "trace.parquet")}
    assert same == {row["item_id"] for row in rows}, "or the two could not be ranked together"


def test_a_hidden_run_publishes_no_text_and_rounds_what_it_publishes(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    job, scorecard = scored["base"]
    whole, shown = trace_read(job.out_dir / "trace.parquet"), trace_read(job.out_dir / "trace_public.parquet")
    card = json.loads((job.out_dir.parents[2] / "cards" / "toy-world-5.json").read_text())
    assert len(whole) == len(shown) == sum(card["probe_counts"].values()) > 36
    assert all(row[name] is None for row in shown for name in WITHHELD)
    assert not {row["item_id"] for row in whole} & {row["item_id"] for row in shown}
    secret = {row[name] for row in whole for name in ("prompt", "reference") if row[name]}
    public = b"".join(
        (job.out_dir / name).read_bytes() for name in ("trace_public.parquet", "scorecard.json", "receipt.json")
    )
    assert not any(text.encode() in public for text in secret)
    measured = [row[name] for row in shown for name in VALUE_NAMES if row[name] is not None]
    assert len(measured) > 36 and set(measured) == {0.0, 1.0}, "outcomes alone"
    costs = {info.key for info in scorecard.metrics if info.group == "cost"}
    rounded = [score.value for score in scorecard.scores if score.value is not None and score.key not in costs]
    assert all(value == round(value, HIDDEN_DECIMALS) for value in rounded)
    ladder = {step * 10**power for step in (1, 2, 5) for power in range(-3, 5)}
    assert all(values(scorecard)[key] in ladder for key in ("unlearn_wall_s", "measure_wall_s"))
    receipt = Receipt.model_validate_json((job.out_dir / "receipt.json").read_text())
    assert receipt.issued_at.endswith(":00:00+00:00") and set(receipt.durations_s.values()) <= ladder | {0.0}
    assert receipt.artifact_sha256 != json.loads((job.work_dir / "sealed" / "seal.json").read_text()).get("sha256")


def test_the_order_of_a_servers_questions_is_a_secret_of_the_installation(tmp_path: Path) -> None:
    """A method knows its job's seed: from that alone it would know which questions come again at the end."""
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    assert _order(one, "r1") == _order(one, "r1"), "a resumed run goes on in the same order"
    assert len({_order(one, "r1"), _order(one, "r2"), _order(other, "r1")}) == 3
    orders = {
        str(RemoteModel(tmp_path, seed=seed, batch_size=16)._shuffled([[n] for n in range(50)], "score"))
        for seed in (0, _order(one, "r1"))
    }
    assert len(orders) == 2


def seconds_of(job: Job) -> RunSeconds:
    found = RunSeconds.model_validate_json((job.out_dir / "seconds.json").read_bytes())
    summed = sum(found.stages.values(), start=Seconds())
    assert found.run_id == job.run_id and list(found.stages) == list(TIMED_STAGES)
    assert (found.whole.wall_s, found.whole.cpu_s) == pytest.approx((summed.wall_s, summed.cpu_s), abs=1e-6)
    return found


def test_a_runs_record_has_every_stage_and_they_add_up_to_the_whole(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path
) -> None:
    job, (served, _) = job_of(toy_home, "gibberish", "toy-world-5-public", tag="-timed"), scored["constant_refusal"]
    run(job, Home(toy_home))
    weights, server = seconds_of(job), seconds_of(served)
    assert [stage for stage, spent in weights.stages.items() if spent.wall_s <= 0] == []
    assert [stage for stage, spent in server.stages.items() if spent.wall_s <= 0] == ["attack"]
    assert weights.stages["generate"].cpu_s > 0 and weights.stages["attack"].cpu_s > 0
    assert weights.lives == server.lives == 1
    assert weights.decoded.passes > 0 and weights.decoded.tokens > 0
    assert 0 <= weights.decoded.accepted <= weights.decoded.guessed
    assert server.decoded == Decoded(), "how a server decodes nobody sees"
    for done, found in ((job, weights), (served, server)):
        record = json.loads((done.work_dir / "stages.json").read_text())
        assert found.stages["unlearn"].wall_s == pytest.approx(record["unlearn_wall_s"])
        measured = sum(found.stages[stage].wall_s for stage in MEASURING)
        assert 0 < record["measure_wall_s"] <= measured, "the trace is written after it"


def test_what_a_release_has_kept_is_not_answered_again(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    found = seconds_of(scored["base"][0])
    assert found.stages["generate"].wall_s == found.stages["logprobs"].wall_s == 0 < found.stages["attack"].wall_s


def test_what_others_see_of_a_hidden_run_says_nothing_of_its_stages(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    job, scorecard = scored["base"]
    costs = {info.key for info in scorecard.metrics if info.group == "cost"}
    assert costs == {"unlearn_wall_s", "measure_wall_s", "peak_mb", "artifact_mb"}
    receipt = Receipt.model_validate_json((job.out_dir / "receipt.json").read_text())
    assert set(receipt.durations_s) == {"unlearn_wall_s", "measure_wall_s"}
    shown = b"".join((job.out_dir / name).read_bytes() for name in ("scorecard.json", "receipt.json", "progress.json"))
    assert not [name for name in (b'"stages"', b'"whole"', b'"decoded"', b"cpu_s") if name in shown]


def test_the_sealed_trace_gives_the_same_board_as_the_complete_one(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path
) -> None:
    def board(trace: str) -> dict[str, Any]:
        entries = [
            {
                "id": name,
                "runs": [{"trace": str(job.out_dir / trace), "scorecard": str(job.out_dir / "scorecard.json")}],
            }
            for name, (job, _) in scored.items()
        ]
        evaluator = scored["base"][1].evaluator
        return rank(
            RankSpec.model_validate(
                {"release": "toy-world-5", "evaluator": evaluator, "resamples": 500, "entries": entries}
            ),
            Home(toy_home),
        ).model_dump(mode="json")

    complete = board("trace.parquet")
    assert board("trace.sealed") == complete
    systems = [entry for entry in complete["entries"] if entry["id"] != "base"]
    assert systems[0]["id"] == "constant_refusal" and systems[0]["rank"] == 1
    with pytest.raises(ValueError, match="outcomes of a hidden run; entries are compared by its sealed trace"):
        board("trace_public.parquet")


def test_a_sealed_trace_opens_as_that_run_of_that_release_and_as_nothing_else(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path, tmp_path: Path
) -> None:
    (job, card), (_, other) = scored["base"], scored["constant_refusal"]
    sealed = job.out_dir / "trace.sealed"
    given = {"scorecard": job.out_dir / "scorecard.json", "receipt": job.out_dir / "receipt.json"}
    run_open(Home(toy_home), sealed=sealed, out_dir=tmp_path / "open", **given)
    whole = trace_read(job.out_dir / "trace.parquet")
    assert trace_read(tmp_path / "open" / "trace.parquet") == whole
    assert not any(row["prompt"].encode() in sealed.read_bytes() for row in whole if row["prompt"])
    receipt = Receipt.model_validate_json((tmp_path / "open" / "receipt.json").read_text())
    receipt_verify(receipt)
    assert receipt.trace_sha256 == hashlib.sha256((tmp_path / "open" / "trace.parquet").read_bytes()).hexdigest()
    foreign = tmp_path / "foreign.json"
    foreign.write_text(other.model_dump_json())
    with pytest.raises(SealBroken, match=f"not the sealed trace of run {other.run_id}"):
        run_open(Home(toy_home), sealed=sealed, out_dir=tmp_path / "no", **given | {"scorecard": foreign})
    cut = tmp_path / "cut.sealed"
    cut.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(SealBroken):
        run_open(Home(toy_home), sealed=cut, out_dir=tmp_path / "no", **given)
    assert not (tmp_path / "no").exists() and card.run_id


def test_a_run_that_an_older_evaluator_scored_is_withheld_as_a_new_one(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path, tmp_path: Path
) -> None:
    """Its trace showed every value under names that were the same in all runs."""
    job, card = scored["base"]
    rows = [row | {"prompt": None, "response": None} for row in trace_read(job.out_dir / "trace.parquet")]
    trace_write(tmp_path / "old.parquet", rows)
    fine = [score.model_copy(update={"value": 0.123456}) for score in card.scores]
    (tmp_path / "card.json").write_text(card.model_copy(update={"scores": tuple(fine)}).model_dump_json())
    given = {"scorecard": tmp_path / "card.json", "receipt": job.out_dir / "receipt.json"}
    run_withhold(Home(toy_home), trace=tmp_path / "old.parquet", out_dir=tmp_path / "new", **given)
    shown = trace_read(tmp_path / "new" / "trace_public.parquet")
    assert shown == trace_read(job.out_dir / "trace_public.parquet")
    withheld = Scorecard.model_validate_json((tmp_path / "new" / "scorecard.json").read_text())
    assert {score.value for score in withheld.scores if not score.key.endswith(("_s", "_mb"))} == {0.12}
    receipt_verify(Receipt.model_validate_json((tmp_path / "new" / "receipt.json").read_text()))
    given = {"scorecard": job.out_dir / "scorecard.json", "receipt": job.out_dir / "receipt.json"}
    with pytest.raises(ValueError, match="holds outcomes alone"):
        run_withhold(Home(toy_home), trace=job.out_dir / "trace_public.parquet", out_dir=tmp_path / "no", **given)


def test_entries_of_another_release_are_not_ranked_together(
    scored: dict[str, tuple[Job, Scorecard]], tmp_path: Path
) -> None:
    job, _ = scored["base"]
    entry = {
        "id": "base",
        "runs": [{"trace": str(job.out_dir / "trace.parquet"), "scorecard": str(job.out_dir / "scorecard.json")}],
    }
    with pytest.raises(ValueError, match="this board is other"):
        rank(RankSpec.model_validate({"release": "other", "evaluator": "0", "entries": [entry]}), Home(tmp_path))


def test_the_receipt_verifies_and_a_changed_one_does_not(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path
) -> None:
    job, _ = scored["base"]
    receipt = Receipt.model_validate_json((job.out_dir / "receipt.json").read_text())
    key = (toy_home / "keys" / "receipt.pub").read_text()
    receipt_verify(receipt, trusted_keys=f"{'A' * 43}=\n{key}")  # an older key stands above it
    with pytest.raises(ReceiptInvalid, match="signature"):
        receipt_verify(receipt.model_copy(update={"seed": 7}))
    with pytest.raises(ReceiptInvalid, match="trusted"):
        receipt_verify(receipt, trusted_keys="AAAA")
    command = [
        sys.executable,
        "-m",
        "evaluator",
        "verify",
        str(job.out_dir / "receipt.json"),
        "--key",
        str(toy_home / "keys" / "receipt.pub"),
    ]
    assert "valid: run" in subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_a_run_that_was_cut_off_while_scoring_goes_on_without_doing_a_stage_again(
    scored: dict[str, tuple[Job, Scorecard]], toy_home: Path
) -> None:
    job, before = scored["base"]
    sealed, trace = job.work_dir / "sealed" / "seal.json", job.work_dir / "trace.parquet"
    stamps = sealed.stat().st_mtime_ns, trace.stat().st_mtime_ns
    shutil.rmtree(job.out_dir)
    after = run(job, Home(toy_home))
    assert (sealed.stat().st_mtime_ns, trace.stat().st_mtime_ns) == stamps
    assert values(after) == values(before)
    seconds = seconds_of(job)
    assert seconds.lives == 2 and seconds.stages["unlearn"].wall_s > 0, "the first life's seconds count too"


def test_a_failing_method_ends_with_its_code_and_leaves_no_scorecard(toy_home: Path) -> None:
    job = job_of(toy_home, "base", "toy-world-5-public", tag="-fails", run={"args": ["--method", "no-such-method"]})
    with pytest.raises(EvaluationFailed) as caught:
        run(job, Home(toy_home))
    assert caught.value.code is FailureCode.METHOD_ERROR
    progress = Progress.model_validate_json((job.out_dir / "progress.json").read_text())
    assert (
        progress.stage == "failed"
        and progress.failure is FailureCode.METHOD_ERROR
        and "no-such-method" in progress.detail
    )
    assert not (job.out_dir / "scorecard.json").exists()


def mortal_job(home: Path, journal: Path, *, deaths: int) -> Job:
    """`refuse_everything`, whose server dies so often in the middle of the probes."""
    arguments = {"args": ["--journal", str(journal), "--deaths", str(deaths)]}
    job = job_of(home, "refuse_everything", "toy-world-5-public", tag=f"-dies-{deaths}", run=arguments)
    return job.model_copy(update={"image": str(Path(__file__).with_name("mortal"))})


def test_a_server_that_dies_once_is_started_again_and_scored_as_if_it_had_not(toy_home: Path, tmp_path: Path) -> None:
    whole = run(job_of(toy_home, "refuse_everything", "toy-world-5-public", tag="-lives"), Home(toy_home))
    died = run(mortal_job(toy_home, tmp_path / "journal", deaths=1), Home(toy_home))
    assert (tmp_path / "journal").read_text().split() == ["serve", "serve"]
    costs = ("unlearn_wall_s", "measure_wall_s", "peak_mb", "artifact_mb")
    before, after = values(whole), values(died)
    assert {key: after[key] for key in after if key not in costs} == {k: before[k] for k in before if k not in costs}


def test_a_server_that_dies_twice_has_failed(toy_home: Path, tmp_path: Path) -> None:
    job = mortal_job(toy_home, tmp_path / "journal", deaths=2)
    with pytest.raises(EvaluationFailed) as caught:
        run(job, Home(toy_home))
    assert caught.value.code is FailureCode.SERVER_DIED
    assert (tmp_path / "journal").read_text().split() == ["serve", "serve"]
    assert not (job.out_dir / "scorecard.json").exists()


def test_a_manifest_bound_to_another_base_is_refused_before_anything_runs(toy_home: Path) -> None:
    job = job_of(toy_home, "base", "toy-world-5-public", tag="-bound", run={"args": [], "base": ["0" * 64]})
    with pytest.raises(EvaluationFailed) as caught:
        run(job, Home(toy_home))
    assert caught.value.code is FailureCode.BASE_MISMATCH
    assert not (job.work_dir / "in").exists()


def test_an_unknown_release_is_a_platform_failure_that_names_the_known_ones(toy_home: Path) -> None:
    job = job_of(toy_home, "base", "no-such-release")
    with pytest.raises(EvaluationFailed) as caught:
        run(job, Home(toy_home))
    assert caught.value.code is FailureCode.PLATFORM_ERROR and "toy-world-5" in caught.value.detail


def test_explain_shows_the_primitives_of_one_probe(scored: dict[str, tuple[Job, Scorecard]]) -> None:
    job, _ = scored["base"]
    row = trace_read(job.out_dir / "trace.parquet")[0]
    command = [
        sys.executable,
        "-m",
        "evaluator",
        "score",
        str(job.out_dir / "trace.parquet"),
        "--explain",
        row["item_id"],
        "--json",
    ]
    shown = json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout)
    assert shown["response"] == row["response"] and len(shown["tokens"]) == row["n_tokens"]
    assert all(value["agrees"] is not False for value in shown["values"])


@pytest.mark.slow
def test_a_try_out_gives_the_same_metrics_as_the_run_of_a_submission(toy_home: Path) -> None:
    submitted = run(job_of(toy_home, "gibberish", "toy-world-5-public"), Home(toy_home))
    command = [sys.executable, "-m", "evaluator.cli.palimpsest.app", "try", str(REPOSITORY / "methods" / "gibberish")]
    command += ["--release", "toy-world-5-public", "--backend", "process", "--threads", "1", "--json"]
    environment = os.environ | {"PALIMPSEST_HOME": str(toy_home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tried = Scorecard.model_validate_json(done.stdout)
    costs = {info.key for info in submitted.metrics if info.group == "cost"}
    assert {k: v for k, v in values(tried).items() if k not in costs} == {
        k: v for k, v in values(submitted).items() if k not in costs
    }
    assert values(tried)["har"] == 0
