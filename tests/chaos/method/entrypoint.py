"""A method that changes nothing, slowly: it copies one tensor of the base and notes every start in a journal."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

source, out = Path(os.environ["PALIMPSEST_IN"]), Path(os.environ["PALIMPSEST_OUT"])
job = json.loads((source / "job.json").read_text())
with Path(job["hparams"]["journal"]).open("a") as journal:
    journal.write("unlearn\n")
time.sleep(job["hparams"]["sleep_s"])
(out / "model").mkdir()
with safe_open(source / "base" / "model.safetensors", framework="numpy") as base:
    name = next(name for name in base.keys() if "norm" in name)  # noqa: SIM118  a handle, not a dict
    save_file({name: base.get_tensor(name)}, out / "model" / "model.safetensors")
result = {
    "contract": 1,
    "kind": "weights",
    "base_sha256": job["base_sha256"],
    "method": "slow-copy",
    "hparams": {},
    "stores_forget_text": False,
}
(out / "result.json").write_text(json.dumps(result))
