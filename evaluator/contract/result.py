"""`result.json`: what a method container says that it made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ArtifactKind = Literal["weights", "adapter", "server"]


class MethodResult(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    contract: Literal[1]
    kind: ArtifactKind
    base_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    method: str = Field(max_length=80)
    hparams: dict[str, Any] = Field(default_factory=dict)
    stores_forget_text: bool
