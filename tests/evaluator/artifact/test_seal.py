"""What a method may leave behind, and what each forbidden thing is called when it is refused."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluator.artifact import BaseTensors, SealedArtifact, seal
from evaluator.contract import EvaluationFailed, FailureCode, Limits

BASE_SHA256 = "ab" * 32
LIMITS = Limits(out_mb=8, out_files=40)
LINEAR = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def base(tmp_path: Path) -> BaseTensors:
    folder = tmp_path / "base"
    folder.mkdir()
    save_file(
        {
            "model.embed_tokens.weight": np.zeros((10, 4), np.float32),
            LINEAR: np.zeros((6, 4), np.float32),
            "model.norm.weight": np.ones(4, np.float32),
            "steps": np.zeros(3, np.int64),
        },
        folder / "model.safetensors",
    )
    return BaseTensors.read(folder)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "model").mkdir(parents=True)
    result_write(folder)
    save_file({LINEAR: np.full((6, 4), 0.5, np.float32)}, folder / "model" / "model.safetensors")
    return folder


@pytest.fixture
def sealed(tmp_path: Path, base: BaseTensors) -> Callable[..., SealedArtifact]:
    def call(out: Path, division: str = "weights", limits: Limits = LIMITS) -> SealedArtifact:
        return seal(out, tmp_path / "sealed", base=base, base_sha256=BASE_SHA256, division=division, limits=limits)

    return call


def result_write(folder: Path, **changes: Any) -> None:
    result = {
        "contract": 1,
        "kind": "weights",
        "base_sha256": BASE_SHA256,
        "method": "test",
        "hparams": {},
        "stores_forget_text": False,
    }
    (folder / "result.json").write_text(json.dumps(result | changes))


def refusal(call: Callable[[], object]) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        call()
    return caught.value


def test_changed_tensors_are_sealed_read_only(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    artifact = sealed(out)
    assert artifact.kind == "weights"
    assert (artifact.path / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o444
    assert artifact.path.stat().st_mode & 0o222 == 0
    assert artifact.size_bytes == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_sealing_twice_gives_the_first_seal_and_a_damaged_one_is_a_platform_error(
    out: Path, sealed: Callable[..., SealedArtifact]
) -> None:
    first = sealed(out)
    (out / "model" / "model.safetensors").unlink()
    assert sealed(out) == first
    copy = first.path / "model" / "model.safetensors"
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\x01")
    assert refusal(lambda: sealed(out)).code is FailureCode.PLATFORM_ERROR


def test_the_same_content_has_the_same_hash_and_a_renamed_file_another(
    tmp_path: Path, base: BaseTensors, out: Path
) -> None:
    def sha256(name: str) -> str:
        return seal(out, tmp_path / name, base=base, base_sha256=BASE_SHA256, division="weights", limits=LIMITS).sha256

    first = sha256("one")
    assert sha256("two") == first
    (out / "model" / "model.safetensors").rename(out / "model" / "other.safetensors")
    assert sha256("three") != first


def test_nothing_is_left_of_a_refused_output(tmp_path: Path, out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    (out / "notes.txt").write_text("hello")
    refusal(lambda: sealed(out))
    assert not list(tmp_path.glob("sealed*"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda path: path.unlink(), "no result.json"),
        (lambda path: path.write_text("{"), "not valid"),
        (lambda path: result_write(path.parent, kind="model"), "kind"),
        (lambda path: result_write(path.parent, surprise=1), "surprise"),
        (lambda path: path.write_text(path.read_text().replace("{}", '{"lr": NaN}')), "hparams"),
        (lambda path: path.write_bytes(b" " * 300_000), "256 KiB"),
    ],
)
def test_a_missing_or_invalid_result_names_the_field(
    out: Path, sealed: Callable[..., SealedArtifact], change: Callable[[Path], object], word: str
) -> None:
    change(out / "result.json")
    error = refusal(lambda: sealed(out))
    assert error.code is FailureCode.OUTPUT_MISSING
    assert word in error.detail


def test_another_base_is_a_mismatch(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    result_write(out, base_sha256="cd" * 32)
    assert refusal(lambda: sealed(out)).code is FailureCode.BASE_MISMATCH


def test_a_result_of_the_other_division_is_refused(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    assert refusal(lambda: sealed(out, division="system")).code is FailureCode.OUTPUT_REFUSED


def _symlink(out: Path) -> None:
    (out / "model" / "more.safetensors").symlink_to("/etc/passwd")


def _folder_link(out: Path) -> None:
    (out / "model").rename(out / "elsewhere")
    (out / "model").symlink_to(out / "elsewhere")


def _hard_link(out: Path) -> None:
    os.link(out / "model" / "model.safetensors", out / "model" / "again.safetensors")


def _pipe(out: Path) -> None:
    os.mkfifo(out / "model" / "pipe.safetensors")


def _socket(out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(out / "s"))


def _code(out: Path) -> None:
    (out / "model" / "modeling.py").write_text("print()")


def _tokenizer(out: Path) -> None:
    (out / "tokenizer.json").write_text("{}")


def _odd_name(out: Path) -> None:
    (out / "model" / "a b.safetensors").write_bytes(b"")


def _new_tensor(out: Path) -> None:
    save_file({"extra": np.zeros(3, np.float32)}, out / "model" / "b.safetensors")


def _shape(out: Path) -> None:
    save_file({LINEAR: np.zeros((4, 6), np.float32)}, out / "model" / "model.safetensors")


def _kind_of_number(out: Path) -> None:
    save_file({LINEAR: np.zeros((6, 4), np.int32)}, out / "model" / "model.safetensors")


def _twice(out: Path) -> None:
    save_file({LINEAR: np.zeros((6, 4), np.float32)}, out / "model" / "b.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        _symlink,
        _folder_link,
        _hard_link,
        _pipe,
        _socket,
        _code,
        _tokenizer,
        _odd_name,
        _new_tensor,
        _shape,
        _kind_of_number,
        _twice,
    ],
)
def test_what_the_contract_does_not_allow_is_refused(
    out: Path, sealed: Callable[..., SealedArtifact], change: Callable[[Path], None]
) -> None:
    change(out)
    assert refusal(lambda: sealed(out)).code is FailureCode.OUTPUT_REFUSED


def _safetensors(header: dict[str, Any] | bytes, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def _one(**changes: Any) -> dict[str, Any]:
    return {LINEAR: {"dtype": "F32", "shape": [6, 4], "data_offsets": [0, 96]} | changes}


@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        struct.pack("<Q", 2**60) + b"{}",
        _safetensors(b"[]", b""),
        _safetensors(b'{"a": 1', b""),
        _safetensors(_one(), bytes(95)),
        _safetensors(_one(), bytes(97)),
        _safetensors(_one(data_offsets=[-4, 92]), bytes(96)),
        _safetensors(_one(data_offsets=[4, 100]), bytes(100)),
        _safetensors(_one(shape=[6, -4]), bytes(96)),
        _safetensors(_one(shape=[6, True]), bytes(96)),
        _safetensors(_one(dtype="F8_E5M2"), bytes(96)),
        _safetensors(_one() | {"model.norm.weight": _one()[LINEAR]}, bytes(96)),
        _safetensors(json.dumps(_one()).encode()[:-1] + b"," + json.dumps(_one()).encode()[1:], bytes(96)),
        _safetensors({"__metadata__": {"a": 1}} | _one(), bytes(96)),
        _safetensors(b'{"a":' * 5000 + b"1" + b"}" * 5000, b""),
    ],
)
def test_a_file_that_two_readers_could_read_differently_is_refused(
    out: Path, sealed: Callable[..., SealedArtifact], content: bytes
) -> None:
    (out / "model" / "model.safetensors").write_bytes(content)
    assert refusal(lambda: sealed(out)).code is FailureCode.OUTPUT_REFUSED


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_a_value_that_is_not_finite_is_found_in_every_float_type(
    out: Path, sealed: Callable[..., SealedArtifact], dtype: str, value: float
) -> None:
    words = np.zeros(24, {"F16": "<f2", "F64": "<f8"}.get(dtype, "<f4"))
    words[17] = value
    data = (words.view("<u4") >> 16).astype("<u2").tobytes() if dtype == "BF16" else words.tobytes()
    path = out / "model" / "model.safetensors"
    path.write_bytes(_safetensors(_one(dtype=dtype, data_offsets=[0, len(data)]), data))
    error = refusal(lambda: sealed(out))
    assert error.code is FailureCode.NOT_FINITE
    assert LINEAR in error.detail


def test_the_largest_finite_numbers_pass(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    save_file({LINEAR: np.full((6, 4), np.finfo(np.float16).max, np.float16)}, out / "model" / "model.safetensors")
    assert sealed(out).kind == "weights"


def test_an_output_over_its_size_or_count_is_too_large(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    assert refusal(lambda: sealed(out, limits=Limits(out_files=2))).code is FailureCode.OUTPUT_TOO_LARGE
    with (out / "model" / "big.safetensors").open("wb") as file:
        file.truncate(9 << 20)  # sparse: no block on disk, so only counting bytes as they are read can see it
    assert refusal(lambda: sealed(out)).code is FailureCode.OUTPUT_TOO_LARGE


def test_weights_without_a_tensor_file_are_missing(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    (out / "model" / "model.safetensors").unlink()
    assert refusal(lambda: sealed(out)).code is FailureCode.OUTPUT_MISSING


def test_a_file_with_no_tensor_says_that_nothing_changed(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    save_file({}, out / "model" / "model.safetensors")
    assert sealed(out).kind == "weights"


def test_a_server_may_keep_any_regular_file_or_none(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    (out / "model" / "model.safetensors").unlink()
    result_write(out, kind="server")
    artifact = sealed(out, division="system")
    assert (artifact.path / "state").stat().st_mode & 0o777 == 0o555


def test_a_server_may_not_write_beside_its_state(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    result_write(out, kind="server")
    assert refusal(lambda: sealed(out, division="system")).code is FailureCode.OUTPUT_REFUSED


def test_state_too_deep_is_refused(out: Path, sealed: Callable[..., SealedArtifact]) -> None:
    (out / "model" / "model.safetensors").unlink()
    (out / "state" / "/".join("abcdefghijk")).mkdir(parents=True)
    result_write(out, kind="server")
    assert refusal(lambda: sealed(out, division="system")).code is FailureCode.OUTPUT_REFUSED


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    folder = tmp_path / "lora"
    (folder / "adapter").mkdir(parents=True)
    result_write(folder, kind="adapter")
    lora_write(folder)
    return folder


def lora_write(folder: Path, *, module: str = "model.layers.0.mlp.up_proj", rank: int = 2, **config: Any) -> None:
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": ["up_proj"], "bias": "none"}
    settings |= {"task_type": "CAUSAL_LM", "modules_to_save": None, "use_dora": False, "rank_pattern": {}}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(settings | config))
    name = f"base_model.model.{module}"
    tensors = {f"{name}.lora_A.weight": np.zeros((rank, 4), np.float32)}
    tensors[f"{name}.lora_B.weight"] = np.zeros((6, rank), np.float32)
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")


def test_a_plain_lora_of_a_linear_layer_is_sealed(lora: Path, sealed: Callable[..., SealedArtifact]) -> None:
    assert sealed(lora).kind == "adapter"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"r": 65}, "r is"),
        ({"r": 3}, "lora_A"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"bias": "all"}, "bias"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"up_proj": 4}}, "rank_pattern"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"surprise": "yes"}, "surprise"),
        ({"module": "model.embed_tokens"}, "embed_tokens"),
        ({"module": "model.norm"}, "model.norm"),
    ],
)
def test_an_adapter_that_is_not_a_plain_lora_is_refused(
    lora: Path, sealed: Callable[..., SealedArtifact], change: dict[str, Any], word: str
) -> None:
    lora_write(lora, **change)
    error = refusal(lambda: sealed(lora))
    assert error.code is FailureCode.OUTPUT_REFUSED
    assert word in error.detail


def test_an_adapter_without_its_configuration_is_missing(lora: Path, sealed: Callable[..., SealedArtifact]) -> None:
    (lora / "adapter" / "adapter_config.json").unlink()
    assert refusal(lambda: sealed(lora)).code is FailureCode.OUTPUT_MISSING


def test_intake_does_not_load_torch() -> None:
    import subprocess
    import sys

    program = "import sys, evaluator.artifact, evaluator.sandbox; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
