"""The tensors of a base model by name, shape and type: what an artifact is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.artifact.header import HeaderError, TensorInfo, header_read
from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.contract.lora import HEAD


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
        return info is not None and len(info.shape) == 2 and name.endswith(".weight") and not _table_named(name)

    def is_table(self, name: str) -> bool:
        """Whether `name` is a table of embeddings."""
        info = self.tensors.get(name)
        return info is not None and len(info.shape) == 2 and name.endswith(".weight") and _table_named(name)

    @property
    def tied(self) -> str | None:
        """The table that the output layer shares, where the base stores them once; `None` where it does not."""
        if f"{HEAD}.weight" in self.tensors:
            return None
        ends = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
        tables = [name for name in self.tensors if name.endswith(ends)]
        return tables[0] if len(tables) == 1 else None

    def of_layer(self, name: str) -> TensorInfo | None:
        """The tensor, of a tied output layer the shared one."""
        tied = self.tied
        return self.tensors[tied] if tied and name == f"{HEAD}.weight" else self.tensors.get(name)


def _table_named(name: str) -> bool:
    return any("embed" in part or part in ("wte", "wpe") for part in name.split("."))
