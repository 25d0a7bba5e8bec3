"""Runs the entrypoint as the platform does, on a model so small that it takes seconds: `python -m pytest`."""

import json
import os
import pathlib
import subprocess
import sys
import tomllib

import torch
from safetensors.torch import load_file
from small_base import small_base

HERE = pathlib.Path(__file__).parent


def test_it_leaves_changed_tensors_of_the_base(tmp_path: pathlib.Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    base = small_base(given / "base")
    hparams = tomllib.loads((HERE / "method.toml").read_text())["hparams"]
    job = {"contract": 1, "seed": 0, "threads": 1, "base_sha256": "0" * 64, "device": "cpu", "hparams": hparams}
    (given / "job.json").write_text(json.dumps(job))
    request = {"id": "1", "kind": "qa", "prompt": "Who wrote Emma?", "answer": "Jane Austen", "subject": "Emma"}
    (given / "forget.jsonl").write_text(json.dumps(request) + "\n")

    environment = os.environ | {"PALIMPSEST_IN": str(given), "PALIMPSEST_OUT": str(out)}
    subprocess.run([sys.executable, str(HERE / "entrypoint.py"), "unlearn"], env=environment, check=True)

    result = json.loads((out / "result.json").read_text())
    assert (result["kind"], result["base_sha256"]) == ("weights", job["base_sha256"])
    before = base.state_dict()
    changed = {name: tensor for path in out.glob("model/*.safetensors") for name, tensor in load_file(path).items()}
    assert changed
    assert all(tensor.shape == before[name].shape and tensor.isfinite().all() for name, tensor in changed.items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in changed.items())
