"""The read-only folder that a method container sees at /in: job.json and the request files that it declared."""

from __future__ import annotations

import shutil
from pathlib import Path

from evaluator.contract import ContainerJob, EvaluationFailed, FailureCode, Job
from evaluator.home import write_atomically
from evaluator.model.base import BaseModelDirectory

#: Longest prompt plus answer in tokens that a request or a probe of our releases can have.
MAX_LEN = 512


def inputs_write(folder: Path, *, job: Job, base: BaseModelDirectory, release: Path) -> Path:
    """Write the folder and return it. Optional files are there only when the manifest's `needs` names them.

    Raises `EvaluationFailed(image_refused)` for a need that the release does not offer.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "base").mkdir(parents=True)
    container_job = ContainerJob(
        seed=job.seed,
        threads=job.threads,
        wall_s=job.limits.wall_s,
        ram_mb=job.limits.ram_mb,
        out_mb=job.limits.out_mb,
        max_len=MAX_LEN,
        base_sha256=base.sha256,
        args=job.manifest.run.args,
        hparams=job.manifest.hparams,
    )
    write_atomically(folder / "job.json", container_job.model_dump_json(indent=2) + "\n")
    for part in ("forget", *job.manifest.run.needs):
        source = release / f"{part}.jsonl"
        if not source.is_file():
            raise EvaluationFailed(
                FailureCode.IMAGE_REFUSED, f"run.needs: {part!r} is not offered by release {job.release}"
            )
        shutil.copyfile(source, folder / source.name)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder
