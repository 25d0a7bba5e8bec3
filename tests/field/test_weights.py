"""Weights as `save_pretrained` leaves them, and the line of code that mends what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluator.artifact import BaseTensors, SealedArtifact, seal
from evaluator.contract import EvaluationFailed, FailureCode, Limits

BASE_SHA256 = "ab" * 32
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def base(tmp_path: Path) -> BaseTensors:
    """A base that ties its output layer."""
    folder = tmp_path / "base"
    folder.mkdir()
    tensors = {"model.embed_tokens.weight": np.zeros((10, 4), np.float32), UP: np.zeros((6, 4), np.float32)}
    save_file(tensors, folder / "model.safetensors")
    return BaseTensors.read(folder)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "model").mkdir(parents=True)
    _result_write(folder, "weights")
    return folder


def _result_write(out: Path, kind: str) -> None:
    result = {"contract": 1, "kind": kind, "base_sha256": BASE_SHA256, "method": "test", "hparams": {}}
    (out / "result.json").write_text(json.dumps(result | {"stores_forget_text": False}))


def _sealed(out: Path, base: BaseTensors) -> SealedArtifact:
    target = out.with_name("sealed")
    return seal(out, target, base=base, base_sha256=BASE_SHA256, division="weights", limits=Limits(out_mb=8))


def _refused(out: Path, base: BaseTensors) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        _sealed(out, base)
    return caught.value


def test_the_companions_of_saved_weights_are_dropped_unread(
    out: Path, base: BaseTensors, caplog: pytest.LogCaptureFixture
) -> None:
    save_file(
        {"model.embed_tokens.weight": np.ones((10, 4), np.float32)}, out / "model" / "model-00001-of-00002.safetensors"
    )
    save_file({UP: np.ones((6, 4), np.float32)}, out / "model" / "model-00002-of-00002.safetensors")
    companions = ["config.json", "generation_config.json", "model.safetensors.index.json"]
    for name in companions:
        (out / "model" / name).write_bytes(b"\xff not JSON")
    with caplog.at_level(logging.WARNING):
        artifact = _sealed(out, base)
    kept = {path.name for path in (artifact.path / "model").iterdir()}
    assert kept == {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    assert all(f"model/{name}" in caplog.text for name in companions)
    assert artifact.size_bytes == sum(
        path.stat().st_size for path in out.rglob("*") if path.name not in companions and path.is_file()
    )


@pytest.mark.parametrize("name", ["config.json", "model/tokenizer.json", "model/modeling.py", "model/a/config.json"])
def test_other_files_beside_the_weights_stay_refused(name: str, out: Path, base: BaseTensors) -> None:
    save_file({UP: np.ones((6, 4), np.float32)}, out / "model" / "model.safetensors")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("{}")
    error = _refused(out, base)
    assert error.code is FailureCode.OUTPUT_REFUSED
    assert name in error.detail


def test_a_companion_that_is_a_link_is_refused(out: Path, base: BaseTensors) -> None:
    save_file({UP: np.ones((6, 4), np.float32)}, out / "model" / "model.safetensors")
    (out / "model" / "config.json").symlink_to("/etc/passwd")
    assert _refused(out, base).code is FailureCode.OUTPUT_REFUSED


def test_companions_alone_are_no_weights(out: Path, base: BaseTensors) -> None:
    (out / "model" / "config.json").write_text("{}")
    assert _refused(out, base).code is FailureCode.OUTPUT_MISSING


@pytest.mark.parametrize(
    ("tensor", "shape", "line"),
    [
        ("lm_head.weight", (10, 4), 'tensors.pop("lm_head.weight")'),
        (f"base_model.model.{UP}", (6, 4), 'n.removeprefix("base_model.model.")'),
        (f"base_model.model.{UP.removesuffix('weight')}base_layer.weight", (6, 4), "model.merge_and_unload()"),
        (f"base_model.model.{UP.removesuffix('weight')}lora_A.weight", (2, 4), "model.merge_and_unload()"),
    ],
)
def test_a_tensor_under_another_name_is_refused_with_the_line_that_mends_it(
    tensor: str, shape: tuple[int, ...], line: str, out: Path, base: BaseTensors
) -> None:
    save_file({tensor: np.ones(shape, np.float32)}, out / "model" / "model.safetensors")
    error = _refused(out, base)
    assert error.code is FailureCode.OUTPUT_REFUSED
    assert f"`{line}" in error.detail or line in error.detail.split("`")[1]


def test_pickled_weights_are_refused_with_the_line_that_turns_them(out: Path, base: BaseTensors) -> None:
    (out / "model" / "pytorch_model.bin").write_bytes(b"pickle")
    error = _refused(out, base)
    assert error.code is FailureCode.OUTPUT_REFUSED
    assert 'torch.load(OUT / "model/pytorch_model.bin", weights_only=True)' in error.detail
    assert 'OUT / "model/pytorch_model.safetensors")' in error.detail


def test_a_pickled_adapter_is_missing_with_the_line_that_turns_it(out: Path, base: BaseTensors) -> None:
    (out / "model").rmdir()
    (out / "adapter").mkdir()
    _result_write(out, "adapter")
    (out / "adapter" / "adapter_config.json").write_text("{}")
    (out / "adapter" / "adapter_model.bin").write_bytes(b"pickle")
    error = _refused(out, base)
    assert error.code is FailureCode.OUTPUT_MISSING
    assert 'OUT / "adapter/adapter_model.safetensors")' in error.detail


def test_a_pickle_beside_tensors_is_refused_too(out: Path, base: BaseTensors) -> None:
    save_file({UP: np.ones((6, 4), np.float32)}, out / "model" / "model.safetensors")
    (out / "model" / "training_args.bin").write_bytes(b"pickle")
    error = _refused(out, base)
    assert error.code is FailureCode.OUTPUT_REFUSED
    assert "os.remove" in error.detail


@pytest.mark.torch
def test_the_lines_that_mend_pickled_tied_weights_do(out: Path, base: BaseTensors) -> None:
    import safetensors.torch
    import torch

    table = torch.ones(10, 4)
    pickled = out / "model" / "pytorch_model.bin"
    torch.save({"model.embed_tokens.weight": table, "lm_head.weight": table}, pickled)
    exec(_refused(out, base).detail.split("`")[1], {"OUT": out, "torch": torch, "safetensors": safetensors})
    pickled.unlink()
    path = out / "model" / "pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    exec(_refused(out, base).detail.split("`")[1], {"tensors": tensors})
    safetensors.torch.save_file(tensors, path)
    assert _sealed(out, base).kind == "weights"
