"""Control: nothing is unlearned. Its scores are those of the base model, the floor of every board."""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task


@dataclass(frozen=True)
class Settings:
    """Nothing to set."""


def unlearn(task: Task, settings: Settings) -> MethodResult:
    """Leave one tensor of the base as it is: an artifact may not be empty."""
    from safetensors.torch import save_file  # noqa: PLC0415 - loads torch

    from methods.common.model.weights import smallest_tensor, tensor_read  # noqa: PLC0415 - loads torch

    name = smallest_tensor(task.base_dir)
    folder = task.output_dir / "model"
    folder.mkdir(exist_ok=True)
    save_file({name: tensor_read(task.base_dir, name)}, folder / "unchanged.safetensors", metadata={"format": "pt"})
    return MethodResult(kind="weights", stores_forget_text=False)
