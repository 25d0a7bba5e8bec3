"""An EasyEdit YAML file becomes an entry; a small package with the public names of that library stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.cli.palimpsest.new import easyedit_hparams
from evaluator.contract import manifest_load
from tests.evaluator.cli.palimpsest.command import palimpsest, scores_of

YAML = """\
alg_name: "ROME"
model_name: "./hugging_cache/Llama-3-8B"
device: 0
layers: [2]
v_num_grad_steps: 40
v_lr: 5e-1
rewrite_module_tmp: "model.layers.{}.mlp.down_proj"
mom2_adjustment: false
fp16: true
"""

#: The names that the entrypoint uses, as the library has them; the edit is a real one, by gradient.
STANDIN = """
from dataclasses import dataclass


@dataclass
class ROMEHyperParams:
    alg_name: str
    model_name: str
    device: int
    layers: list
    v_num_grad_steps: int
    v_lr: float
    rewrite_module_tmp: str
    mom2_adjustment: bool
    fp16: bool = False
"""
ALGORITHMS = """
import torch


def apply_rome_to_model(model, tok, request, hparams, copy=False, return_orig_weights=False):
    [request] = request
    assert request["subject"] in request["prompt"] and not hparams.fp16
    weights = [model.get_parameter(hparams.rewrite_module_tmp.format(layer) + ".weight") for layer in hparams.layers]
    prompt, target = (tok(request[key], add_special_tokens=False)["input_ids"] for key in ("prompt", "target_new"))
    labels = torch.tensor([[-100] * len(prompt) + target])
    model.requires_grad_(False)
    optimiser = torch.optim.Adam([weight.requires_grad_(True) for weight in weights], lr=hparams.v_lr / 100)
    for _ in range(hparams.v_num_grad_steps):
        optimiser.zero_grad()
        model(input_ids=torch.tensor([prompt + target]), labels=labels).loss.backward()
        optimiser.step()
    return model, {}


ALG_DICT = {"ROME": apply_rome_to_model}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rome.yaml").write_text(YAML)
    done = palimpsest("new", "my-rome", "--easyedit", "rome.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "my-rome"


def test_the_yaml_is_the_manifests_hparams_but_for_what_the_platform_says(folder: Path) -> None:
    manifest = manifest_load(folder / "method.toml")
    assert manifest.kind == "editing"
    assert manifest.hparams == {
        "alg_name": "ROME",
        "layers": [2],
        "v_num_grad_steps": 40,
        "v_lr": 0.5,
        "rewrite_module_tmp": "model.layers.{}.mlp.down_proj",
        "mom2_adjustment": False,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("layers: [1", "is no YAML"),
        ("layers: [1]", "has no `alg_name`"),
        ("- ROME", "has no `alg_name`"),
        ("alg_name: ROME\nextra: {a: 1}", "under `extra`"),
    ],
)
def test_a_file_that_is_no_easyedit_file_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        easyedit_hparams(path)
    assert palimpsest("new", "entry", "--easyedit", "bad.yaml", cwd=tmp_path).returncode == 1
    assert not (tmp_path / "entry").exists()


@pytest.mark.torch
@pytest.mark.slow
def test_the_entry_edits_a_model_through_the_librarys_names(folder: Path, toy_home: Path) -> None:
    (folder / "easyeditor" / "util").mkdir(parents=True)
    (folder / "easyeditor" / "__init__.py").write_text(STANDIN)
    (folder / "easyeditor" / "util" / "alg_dict.py").write_text(ALGORITHMS)
    release = ("--release", "toy-world-5-public")
    scores = scores_of(palimpsest("try", str(folder), *release, "--backend", "process", "--json", home=toy_home))
    assert scores["forgetting"] >= 0.6
