"""What every entry does with the container contract: manifests, results, progress, and bad input."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict

import pytest

from methods.common.contract.task import settings_from
from methods.registry import NAMES, entry
from tests.methods.harness import BASE_SHA256, REPOSITORY, Inputs, run_unlearn, unlearned

pytestmark = pytest.mark.torch

MakeInputs = Callable[..., Inputs]


RECIPES = sorted({path.parent.name for path in (REPOSITORY / "methods").glob("*/method.toml")} - set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_lists_every_setting_with_its_default(name: str) -> None:
    manifest = tomllib.loads((REPOSITORY / "methods" / name / "method.toml").read_text())
    settings = entry(name).Settings
    assert manifest["run"]["args"] == ["--method", name]
    assert settings_from(settings, manifest["hparams"]) == settings()
    assert set(manifest["hparams"]) == set(asdict(settings()))
    assert (manifest["division"] == "system") == hasattr(entry(name), "respond")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_manifest_alone_and_differs_from_its_method_in_settings_only(name: str) -> None:
    folder = REPOSITORY / "methods" / name
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["method.toml"]
    manifest = tomllib.loads((folder / "method.toml").read_text())
    flag, method = manifest["run"]["args"]
    assert flag == "--method"
    settings = entry(method).Settings
    assert settings_from(settings, manifest["hparams"]) != settings()
    assert set(manifest["hparams"]) == set(asdict(settings()))
    of_method = tomllib.loads((REPOSITORY / "methods" / method / "method.toml").read_text())
    assert {key for key in manifest if manifest[key] != of_method[key]} == {"name", "hparams"}


def test_a_run_reports_progress_and_leaves_a_result_that_names_the_base(make_inputs: MakeInputs) -> None:
    inputs = make_inputs()
    done = run_unlearn("base", inputs)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"progress": 1.0, "stage": "done"}
    assert [line["progress"] for line in lines] == sorted(line["progress"] for line in lines)
    assert inputs.result() == {
        "contract": 1, "kind": "weights", "base_sha256": BASE_SHA256, "method": "base", "hparams": {},
        "stores_forget_text": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "break_it", "message"),
    [
        ("idk", lambda i: i.job_write(hparams={"learning_rat": 1e-5}), "did you mean `learning_rate`?"),
        ("idk", lambda i: i.job_write(hparams={"epochs": "many"}), "hparams.epochs: is not of type int"),
        ("refuse_everything", lambda i: i.job_write(contract=2), "job.json.contract"),
        ("refuse_everything", lambda i: i.lines("forget", []), "forget.jsonl: holds no request"),
        ("refuse_everything", lambda i: i.lines("forget", [{"id": "a", "prompt": "Q?"}]), "forget.jsonl:1.answer"),
        (
            "refuse_everything",
            lambda i: i.lines("forget", [{"id": "a", "prompt": "Q?", "answer": "A", "subject": "Z"}]),
            "is not a substring of the prompt",
        ),
        ("refuse_everything", lambda i: (i.input_dir / "job.json").write_text("{"), "job.json: is not JSON"),
        ("rome", lambda i: (i.input_dir / "neutral.jsonl").unlink(), 'declare needs = ["neutral"]'),
        ("grace", lambda i: i.lines("retain", []), "retain.jsonl: holds no fact"),
        ("roma", lambda i: None, "did you mean `rome`?"),
    ],
)
def test_bad_input_ends_in_one_clear_error_and_no_result(
    make_inputs: MakeInputs, method: str, break_it: Callable[[Inputs], object], message: str
) -> None:
    inputs = make_inputs()
    break_it(inputs)
    done = run_unlearn(method, inputs)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (inputs.output_dir / "result.json").exists()


def test_a_diverging_run_fails_instead_of_leaving_broken_weights(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(hparams={"learning_rate": 1e30, "epochs": 3})
    done = run_unlearn("graddiff", inputs)
    assert done.returncode == 2
    assert "not finite" in done.stderr
    assert not (inputs.output_dir / "result.json").exists()


def test_the_state_of_a_server_holds_the_questions_but_never_the_answers(make_inputs: MakeInputs) -> None:
    inputs = unlearned("constant_refusal", make_inputs())
    text = (inputs.output_dir / "state" / "state.json").read_text()
    assert inputs.result()["stores_forget_text"] is True
    assert "Arvia" in text
    assert "Quill" not in text
