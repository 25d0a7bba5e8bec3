"""Half precision: behind a gate against fp32, and only on processors that have its products."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from evaluator.model.local import LocalModel, weights_sha256  # noqa: E402
from evaluator.model.precision import cpu_flags, half_lacking, half_precision  # noqa: E402
from tests.evaluator.model.engine.test_engine import LETTERS, llama, pairs_of  # noqa: E402


def test_bf16_is_used_only_where_it_agrees_with_fp32() -> None:
    pairs = pairs_of(10)
    model = llama()
    before = weights_sha256(model)
    subject, found = half_precision(model, LETTERS, pairs)
    assert (found.worst or 0) > 0.05 and not found.holds and subject.trunk.dtype == torch.float32, (
        "this model's logits are too steep for bf16"
    )
    assert weights_sha256(model) == before, "the model is given back as it came"
    assert all(torch.equal(value, other) for value, other in zip(model.buffers(), llama().buffers(), strict=True))
    flat = llama()
    with torch.no_grad():
        flat.lm_head.weight.mul_(0.01)
        flat.lm_head.weight[7].add_(0.2)
    subject, found = half_precision(
        flat, LETTERS, [([7, 7, 7], [int(torch.argmax(flat(torch.tensor([[7, 7, 7]])).logits[0, -1]))])]
    )
    assert found.holds and subject.trunk.dtype == torch.bfloat16


def test_half_precision_for_development_compares_texts_and_takes_what_is_near() -> None:
    pairs, prompts = pairs_of(10), [[1, 2, 3], [4, 5]]
    model = llama()
    with torch.no_grad():
        model.lm_head.weight.mul_(0.3)
    subject, strict = half_precision(model, LETTERS, pairs, prompts=prompts)
    assert not strict.holds and strict.near and subject.trunk.dtype == torch.float32
    assert strict.texts == 2 and 0 <= strict.texts_differ <= 2
    subject, found = half_precision(model, LETTERS, pairs, prompts=prompts, development=True)
    assert found.worst == pytest.approx(strict.worst, abs=1e-3) and subject.trunk.dtype == torch.bfloat16
    assert subject.shares == LocalModel(llama(), LETTERS).shares, "prompts are packed as in fp32"


def test_a_processor_without_products_of_bf16_says_which_it_lacks(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_flags(cpuinfo) == {"fpu", "avx512_bf16", "sse"} and not cpu_flags(tmp_path / "none")
    assert half_lacking(cpu_flags(cpuinfo)) == half_lacking({"amx_bf16"}) == ""
    assert half_lacking({"avx2"}) == "this processor has none of amx_bf16, avx512_bf16"


def test_half_precision_needs_something_to_be_compared_on() -> None:
    with pytest.raises(ValueError, match="gate"):
        half_precision(llama(), LETTERS, [])
