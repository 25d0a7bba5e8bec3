"""A small program that keeps the evaluator's protocol (inspect, run, rank, sweep) without any model.

The site's tests drive it as a real child process: files, exit codes, signals and crashes are real; only the numbers
mean nothing. What it does is said by the manifest's hparams: `behaviour` and `stage_s` (seconds a stage).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ["PALIMPSEST_HOME"])
SEALED_TRACE = b"palimpsest sealed trace 1\n"
REFUSED_DIGEST = "0" * 64
VERSION = "0.0-protocol"
METRICS = [
    ("overall", "up", "overall", True),
    ("forgetting", "up", "forget", True),
    ("unlearn_wall_s", "down", "cost", False),
]


def main(argv: list[str]) -> int:
    commands = {"inspect": inspect, "run": run, "rank": rank, "sweep": sweep, "open-run": reissue, "withhold": reissue}
    return commands[argv[0]](argv[1:])


def inspect(argv: list[str]) -> int:
    image = argv[argv.index("--image") + 1]
    manifest = json.loads(Path(argv[argv.index("--manifest") + 1]).read_text())
    if manifest["hparams"].get("behaviour") == "inspect-crash":
        return 1
    bad = image.endswith(REFUSED_DIGEST)
    problem = {"field": "image.user", "value": "root", "problem": "runs as root", "remedy": "set USER 65534"}
    by_digest = image if "sha256:" in image else f"{image.rpartition(':')[0]}@{tag_digest(image)}"
    image_id = by_digest.rsplit("@", 1)[-1]
    report = {"ok": not bad, "image": by_digest, "image_id": image_id, "problems": [problem] if bad else []}
    print(json.dumps(report | {"size_bytes": 1, "user": "root" if bad else "65534", "architecture": "amd64"}))
    return 2 if bad else 0


def tag_digest(image: str) -> str:
    """Where a tag points: `tags.json`, written by the test that plays the registry."""
    return str(json.loads((HOME / "tags.json").read_text())[image])


def run(argv: list[str]) -> int:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # dies with its parent, as the real one
    job = json.loads(Path(argv[0]).read_text())
    work, out = Path(job["work_dir"]), Path(job["out_dir"])
    hparams = job["manifest"]["hparams"]
    behaviour, stage_s = hparams.get("behaviour", "ok"), float(hparams.get("stage_s", 0))
    (out / "run.log").write_text("the method says hello\n")
    if behaviour == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for stage in ("unlearning", "measuring", "scoring"):
        done = work / f"{stage}.done"
        if done.exists():
            continue
        progress(out, job, stage, 0.5, f"secret-ish words in {stage}")
        with (work / "journal").open("a") as journal:
            journal.write(f"{stage}\n")
        time.sleep(stage_s)
        if behaviour == f"method-error-{stage}":
            progress(out, job, "failed", 0, "", failure="method_error", detail="Traceback: a hidden answer")
            return 3
        if behaviour == f"timeout-{stage}":
            progress(out, job, "failed", 0, "", failure="timeout")
            return 3
        if behaviour == f"platform-error-{stage}":
            progress(out, job, "failed", 0, "", failure="platform_error", detail="disk full")
            return 4
        if behaviour == f"crash-{stage}":
            os.kill(os.getpid(), signal.SIGSEGV)
        done.touch()
    if behaviour != "no-outputs":
        outputs(out, job, leaks=behaviour == "leaky-trace")
    if behaviour == "fast":
        card = json.loads((out / "scorecard.json").read_text())
        fast = {"precision": "bf16", "probes": 1, "of": 3}
        (out / "scorecard.json").write_text(json.dumps(card | {"fast": fast}))
    progress(out, job, "done", 1, "")
    return 0


def progress(out: Path, job: dict[str, Any], stage: str, fraction: float, message: str, **extra: str) -> None:
    body = {"run_id": job["run_id"], "stage": stage, "fraction": fraction, "message": message, **extra}
    draft = out / ".progress.json"
    draft.write_text(json.dumps(body))
    draft.replace(out / "progress.json")


def outputs(out: Path, job: dict[str, Any], *, leaks: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    value = float(job["manifest"]["hparams"].get("value", 0.123456789))
    infos = [
        {
            "key": key,
            "version": f"{key}@1",
            "label": key.title(),
            "direction": direction,
            "group": group,
            "help": "?",
            "headline": headline,
        }
        for key, direction, group, headline in METRICS
    ]
    scores = [
        {"key": key, "version": f"{key}@1", "value": 37.31 if key.endswith("_s") else value, "low": 0.1, "high": 0.2}
        for key, *_ in METRICS
    ]
    card = {
        "run_id": job["run_id"],
        "release": job["release"],
        "evaluator": VERSION,
        "seed": job["seed"],
        "division": job["manifest"]["division"],
        "stores_forget_text": False,
        "metrics": infos,
        "scores": scores,
    }
    (out / "scorecard.json").write_text(json.dumps(card))
    digest = "a" * 64
    receipt = dict.fromkeys(RECEIPT_DIGESTS, digest) | {
        "run_id": job["run_id"],
        "release": job["release"],
        "image": job["image"],
        "evaluator": VERSION,
        "seed": job["seed"],
        "backend": job["backend"],
        "hardware": {"cpus": 2},
        "versions": {},
        "durations_s": {"unlearn_wall_s": 50.0},
        "issued_at": "2026-01-01T00:00:00+00:00",
        "signature": "c2lnbmVk",
    }
    (out / "receipt.json").write_text(json.dumps(receipt))
    stages = {"unlearn": {"wall_s": 37.31, "cpu_s": 0.25}, "generate": {"wall_s": 12.69, "cpu_s": 20.5}}
    seconds = {
        "run_id": job["run_id"],
        "whole": {"wall_s": 50.0, "cpu_s": 20.75},
        "stages": stages | {"attack": {"wall_s": 0.0, "cpu_s": 0.0}},
        "decoded": {"passes": 40, "tokens": 130, "guessed": 120, "accepted": 90},
    }
    (out / "seconds.json").write_text(json.dumps(seconds))
    rows = 3
    full = {
        "item_id": ["a", "b", "c"],
        "subject_key": ["x", "y", "z"],
        "kind": ["verbatim", "paraphrase", "retain"],
        "prompt": ["Who wrote Hamlet?"] * rows,
        "reference": ["Shakespeare"] * rows,
        "response": ["I do not know."] * rows,
        "leak": [value] * rows,
    }
    pq.write_table(pa.table(full), out / "trace.parquet")
    if not leaks:
        full |= {name: pa.nulls(rows, pa.string()) for name in ("subject_key", "prompt", "reference", "response")}
    pq.write_table(pa.table(full), out / "trace_public.parquet")
    (out / "trace.sealed").write_bytes(SEALED_TRACE + b"what nobody here can read")


RECEIPT_DIGESTS = (
    "release_sha256 base_sha256 manifest_sha256 artifact_sha256 evaluator_sha256 scorecard_sha256 trace_sha256"
).split()


def rank(argv: list[str]) -> int:
    spec = json.loads(Path(argv[0]).read_text())
    found = []
    for entry in spec["entries"]:
        assert all(Path(files["trace"]).stat().st_size for files in entry["runs"])
        card = json.loads(Path(entry["runs"][0]["scorecard"]).read_text())
        scores = {s["key"]: {k: s[k] for k in ("value", "low", "high")} for s in card["scores"]}
        seeds = {"n": len(entry["runs"]), "between": 0.01, "within": 0.02, "residual": 0.03}
        found.append({"id": entry["id"], "scores": scores, "seeds": seeds if len(entry["runs"]) > 1 else None})
    found.sort(key=lambda entry: -entry["scores"]["overall"]["value"])
    for number, entry in enumerate(found, start=1):
        entry |= {"rank": number, "rank_low": number, "rank_high": number, "tied_with": [], "pareto": number == 1}
    base = next((entry["id"] for entry in spec["entries"] if entry.get("control") == "base"), None)
    by_id = {entry["id"]: entry for entry in found}
    for entry, after in zip(found, [*found[1:], None], strict=True):
        next_id = after["id"] if after else None
        entry["differences"] = {
            "base": difference(entry, by_id.get(base or "")),
            "next": difference(entry, by_id.get(next_id or "")),
        }
    columns = [
        {
            "key": key,
            "label": key.title(),
            "direction": direction,
            "group": group,
            "help": "?",
            "headline": headline,
            "version": f"{key}@1",
        }
        for key, direction, group, headline in METRICS
    ]
    ids = sorted(by_id)
    pairs = {"ids": ids, "low": [], "high": [], "p_holm": []}
    for place, one in enumerate(ids):
        rows = [difference(by_id[one], by_id[other]) or {} for other in ids[place + 1 :]]
        for key in ("low", "high", "p_holm"):
            pairs[key].append([row[key] for row in rows])
    answer = {"columns": columns, "entries": found, "pairs": {"overall": pairs}, "mde": 0.05}
    Path(argv[argv.index("--out") + 1]).write_text(json.dumps(answer))
    return 0


def difference(one: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any] | None:
    """Entry `one` minus `other`, with made-up bounds."""
    if other is None or one is other:
        return None
    value = round(one["scores"]["overall"]["value"] - other["scores"]["overall"]["value"], 3)
    p = 0.01 if abs(value) > 0.1 else 0.5
    return {"id": other["id"], "value": value, "low": value - 0.1, "high": value + 0.1, "p": p, "p_holm": p}


def reissue(argv: list[str]) -> int:
    """`open-run` finds the full trace where `run` left it; `withhold` writes what `run` writes of a hidden run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out, card, receipt = (Path(argv[argv.index(name) + 1]) for name in ("--out", "--scorecard", "--receipt"))
    run_id = json.loads(card.read_text())["run_id"]
    (out / "receipt.json").write_text(json.dumps(json.loads(receipt.read_text()) | {"issued_at": "later"}))
    if argv[0].endswith("trace.sealed"):
        (out / "trace.parquet").write_bytes((HOME / "runs" / run_id / "out" / "trace.parquet").read_bytes())
        return 0
    table = pq.read_table(argv[0])
    shown = {name: table[name] for name in ("item_id", "kind", "leak")}
    pq.write_table(pa.table(shown), out / "trace_public.parquet")
    (out / "trace.sealed").write_bytes(SEALED_TRACE + b"sealed afterwards")
    (out / "scorecard.json").write_text(card.read_text())
    return 0


def sweep(argv: list[str]) -> int:
    with (HOME / "sweeps.log").open("a") as log:
        log.write(argv[argv.index("--run") + 1] + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
