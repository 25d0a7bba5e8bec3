"""The tensors of a base model by name, shape and type: what an artifact is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.artifact.header import HeaderError, TensorInfo, header_read
from evaluator.contract import EvaluationFailed, FailureCode


@dataclass(frozen=True)
class BaseTensors:
    """Every tensor of the base model's safetensors files."""

    tensors: Mapping[str, TensorInfo]

    @classmethod
    def read(cls, folder: Path) -> BaseTensors:
        """From the headers of `folder`/*.safetensors. Raises `EvaluationFailed(platform_error)`: the base is ours."""
        tensors: dict[str, TensorInfo] = {}
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"the base model {folder} has no *.safetensors file")
        for path in files:
            try:
                with path.open("rb") as file:
                    tensors |= header_read(file, path.stat().st_size)
            except (OSError, HeaderError) as error:
                raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"the base model's {path.name} {error}") from None
        return cls(tensors)

    def is_linear(self, name: str) -> bool:
        """Whether `name` is the weight matrix of a linear layer: two-dimensional, and no table of embeddings."""
        info = self.tensors.get(name)
        parts = name.split(".")
        is_table = any("embed" in part or part in ("wte", "wpe") for part in parts)
        return info is not None and len(info.shape) == 2 and parts[-1] == "weight" and not is_table
