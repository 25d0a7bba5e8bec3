"""Packed linear layers: equal to what they take the place of, and in every way that a module is used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evaluator.model.engine.linear import PackedLinear, linears_pack


class Own(nn.Linear):
    """A layer of somebody's own, which does something else."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the parent's name for it
        return -super().forward(input)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(37, 70), nn.ReLU(), nn.Sequential(nn.Linear(70, 19, bias=False)), Own(19, 5))


@pytest.mark.parametrize("rows", [(1,), (3, 4), (130,)])
def test_a_packed_model_answers_as_before(rows: tuple[int, ...]) -> None:
    model, packed = small(), small()
    linears_pack(packed)
    assert [type(layer) for layer in packed.modules() if isinstance(layer, PackedLinear | nn.Linear)] == [
        PackedLinear,
        PackedLinear,
        Own,
    ]
    given = torch.randn(*rows, 37)
    with torch.inference_mode():
        torch.testing.assert_close(packed(given), model(given), rtol=0, atol=1e-5)
    given.requires_grad_()
    packed(given).sum().backward()
    assert given.grad is not None


def test_the_state_goes_out_and_in_as_of_any_module_bit_for_bit() -> None:
    model, packed = small(), small()
    linears_pack(packed)
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in packed.state_dict().items())
    assert set(packed.state_dict()) == set(state)
    changed = {name: value + 1 for name, value in state.items()}
    packed.load_state_dict(changed)
    assert all(torch.equal(value, changed[name]) for name, value in packed.state_dict().items())
    with pytest.raises(RuntimeError, match=r"Missing key.*2\.0\.weight"):
        packed.load_state_dict({name: value for name, value in state.items() if name != "2.0.weight"})


def test_another_data_type_is_answered_in_it() -> None:
    packed = small()
    linears_pack(packed)
    packed.to(torch.bfloat16)
    assert {value.dtype for value in packed.state_dict().values()} == {torch.bfloat16}
    with torch.inference_mode():
        assert packed(torch.randn(2, 37, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_layer_that_is_listened_to_stays() -> None:
    model = small()
    heard: list[int] = []
    model[0].register_forward_hook(lambda *_: heard.append(1))
    linears_pack(model)
    with torch.inference_mode():
        model(torch.randn(2, 37))
    assert heard == [1]
