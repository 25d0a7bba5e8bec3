"""The receipt: which exact things made a scorecard, signed so that anyone can check it offline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Receipt(BaseModel):
    """`receipt.json`. `signature` is Ed25519 over the canonical JSON of every other field, base64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    run_id: str
    release: str
    release_sha256: str
    base_sha256: str
    image: str
    manifest_sha256: str
    artifact_sha256: str
    evaluator: str
    evaluator_sha256: str
    scorecard_sha256: str
    trace_sha256: str
    seed: int
    backend: str
    hardware: dict[str, Any]
    versions: dict[str, str]
    durations_s: dict[str, float]
    issued_at: str
    public_key: str = ""  # base64, raw 32 bytes
    signature: str = ""
