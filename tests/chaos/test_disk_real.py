"""Whatever size the evaluator's disk has: a full one is never the method's fault, and the run goes on when it grows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import Job, Manifest, Scorecard
from tests.chaos.conftest import METHOD
from tests.chaos.site import ROOT
from tests.chaos.test_disk import SmallDisk

pytestmark = [pytest.mark.chaos, pytest.mark.torch, pytest.mark.slow]

SIZES_KB = (32, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
PLATFORM_FAILED = 4


def evaluate(home: Path, job: Path) -> int:
    environment = os.environ | {"PALIMPSEST_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "evaluator", "run", str(job)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_run_on_a_disk_of_any_size_fails_as_the_platforms_and_goes_on_when_it_has_grown(
    toy_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, method = tmp_path / "home", tmp_path / "method"
    shutil.copytree(toy_home, home, symlinks=True)
    shutil.copytree(METHOD, method)
    disk = SmallDisk(tmp_path / "disk", size_kb=SIZES_KB[0])
    hparams: dict[str, Any] = {"sleep_s": 0, "journal": str(tmp_path / "journal")}
    manifest = Manifest(
        contract=1, name="Copy", version="1", kind="control", division="weights", authors=("a test",), hparams=hparams
    )
    job = Job(
        run_id="rdisk",
        release="toy-world-5",
        image=str(method),
        manifest=manifest,
        seed=0,
        threads=1,
        backend="process",
        work_dir=disk.path / "work",
        out_dir=disk.path / "out",
    )
    file = tmp_path / "job.json"
    file.write_text(job.model_dump_json())
    stages: list[str] = []
    try:
        for size_kb in SIZES_KB:
            subprocess.run(["mount", "-o", f"remount,size={size_kb}k", disk.path], check=True)
            code = evaluate(home, file)
            progress = job.out_dir / "progress.json"
            said = json.loads(progress.read_text()) if progress.is_file() and progress.stat().st_size else {}
            stages.append(f"{size_kb} kB: {code} {said.get('stage')} {said.get('failure') or ''}")
            if code == 0:
                break
            assert code in (1, PLATFORM_FAILED), said  # 1: not even a progress file had room
            assert said.get("failure") in (None, "platform_error"), said
            assert not (job.out_dir / "receipt.json").exists()
            assert [name for name in disk.files() if name.endswith((".tmp", ".partial"))] == []
        with capsys.disabled():
            print("\n" + "\n".join(stages))
        assert code == 0, stages
        assert len(stages) > 3
        card = Scorecard.model_validate_json((job.out_dir / "scorecard.json").read_text())
        assert {score.key: score.value for score in card.scores}["overall"] is not None
    finally:
        disk.close()
