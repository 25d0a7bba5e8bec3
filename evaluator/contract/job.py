"""The two job files: what the site hands to the evaluator, and what the evaluator hands to a container."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evaluator.contract.manifest import CONTRACT_VERSION, IMAGE_REFERENCE, Manifest

Backend = Literal["podman", "podman-runsc", "docker", "kubernetes", "process"]
BACKEND_NAMES: tuple[str, ...] = get_args(Backend)


class Limits(BaseModel):
    """What one container may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_s: int = Field(default=1200, ge=1)
    ram_mb: int = Field(default=8192, ge=64)
    out_mb: int = Field(default=1200, ge=1)
    out_files: int = Field(default=1000, ge=1)
    pids: int = Field(default=128, ge=8)
    cpus: float = Field(default=2.0, gt=0)
    tmp_mb: int = Field(default=256, ge=1)
    shm_mb: int = Field(default=64, ge=1)


class Job(BaseModel):
    """One evaluation: `python -m evaluator run JOB.json`.

    `release` is a slug; the evaluator finds its data under its own release directories, which the site
    cannot read. `image` is a local image ID (`sha256:…`), `NAME@sha256:…`, an uploaded
    `archive@sha256:…`, or, for the `process` backend only, the path of a method folder; never a tag.
    `fast`: for development, a part of the probes of a public split in bf16 where that is near enough; no receipt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    release: str
    image: str
    manifest: Manifest
    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: int = Field(default=2, ge=1)
    backend: Backend = "podman"
    limits: Limits = Limits()
    fast: bool = False
    work_dir: Path
    out_dir: Path

    @field_validator("work_dir", "out_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value

    def image_is_by_digest(self) -> bool:
        return bool(IMAGE_REFERENCE.match(self.image))


class ContainerJob(BaseModel):
    """`job.json` as the method container reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contract: int = CONTRACT_VERSION
    seed: int
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int
    wall_s: int
    ram_mb: int
    out_mb: int
    max_len: int
    chat: bool = True
    system_prompt: str | None = None
    step: int = 0
    n_steps: int = 1
    base_sha256: str
    args: tuple[str, ...] = ()
    hparams: dict[str, Any] = Field(default_factory=dict)
