"""A stand-in for kubectl and a cluster: it records every call, and runs a Job's method as a process of this machine.

$KUBECONFIG names a JSON file: `claim_path`, where the claim lies; `images`, the command behind each; `refuse`, words
that a call is refused for. Jobs live in the folder beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONFIG = Path(os.environ["KUBECONFIG"])
ROOT = CONFIG.parent / "jobs"
SETTINGS = json.loads(CONFIG.read_text())


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def places(pod: dict[str, Any], container: dict[str, Any], folder: Path) -> dict[str, str]:
    """Where on this machine each folder of a container lies."""
    claims = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    found = {}
    for mount in container["volumeMounts"]:
        if mount["name"] in claims:
            found[mount["mountPath"]] = str(Path(SETTINGS["claim_path"]) / mount["subPath"])
        else:
            (folder / mount["name"]).mkdir(exist_ok=True)
            found[mount["mountPath"]] = str(folder / mount["name"])
    return found


def placed(value: str, where: dict[str, str]) -> str:
    for target, source in sorted(where.items(), key=lambda item: -len(item[0])):
        if value == target or value.startswith(target + "/"):
            return source + value[len(target) :]
    return value


def apply() -> None:
    for item in json.load(sys.stdin)["items"]:
        (CONFIG.parent / f"applied-{item['kind']}.json").write_text(json.dumps(item))
        if item["kind"] == "Job":
            folder = ROOT / item["metadata"]["name"]
            folder.mkdir(parents=True)
            (folder / "job.json").write_text(json.dumps(item))
            runner = subprocess.Popen(
                [sys.executable, __file__, "--namespace", "", "run-job", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            (folder / "pid").write_text(str(runner.pid))


def run_job(folder: Path) -> None:
    pod = json.loads((folder / "job.json").read_text())["spec"]["template"]["spec"]
    container = pod["containers"][0]
    where = places(pod, container, folder)
    environment = {"PATH": os.environ["PATH"]} | {e["name"]: placed(e["value"], where) for e in container["env"]}
    if container["image"] not in SETTINGS["images"]:
        state: dict[str, Any] = {"waiting": {"reason": "ErrImagePull", "message": f"no image {container['image']}"}}
        state_write(folder, state)
        return
    with (folder / "log").open("wb") as log:
        command = [*SETTINGS["images"][container["image"]], *container["args"]]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL)
        started = now()
        state_write(folder, {"running": {"startedAt": started}})
        code = process.wait()
    ended = {
        "exitCode": code % 256,
        "reason": "Error" if code else "Completed",
        "startedAt": started,
        "finishedAt": now(),
    }
    state_write(folder, {"terminated": ended})


def state_write(folder: Path, state: dict[str, Any]) -> None:
    (folder / "new.json").write_text(json.dumps(state))
    (folder / "new.json").replace(folder / "state.json")


def pods(selector: str) -> None:
    folder = ROOT / selector.removeprefix("job-name=")
    items = []
    if folder.is_dir():
        state = json.loads((folder / "state.json").read_text()) if (folder / "state.json").is_file() else {}
        statuses = [{"name": "relay", "state": {"running": {}}}, {"name": "method", "state": state}]
        items = [{"metadata": {"name": f"{folder.name}-x1"}, "status": {"phase": "", "containerStatuses": statuses}}]
    print(json.dumps({"items": items}))


def jobs(selector: str) -> None:
    found = [json.loads(path.read_text()) for path in ROOT.glob("*/job.json")]
    wanted = dict(pair.split("=") for pair in selector.split(","))
    print(json.dumps({"items": [job for job in found if wanted.items() <= job["metadata"]["labels"].items()]}))


def logs(folder: Path, follow: bool) -> None:
    with (folder / "log").open("rb") as file:
        while True:
            sys.stdout.buffer.write(file.read())
            sys.stdout.flush()
            if not follow or "terminated" in (folder / "state.json").read_text():
                sys.stdout.buffer.write(file.read())
                return
            time.sleep(0.05)


def delete(names: list[str]) -> None:
    for name in names:
        folder = ROOT / name
        if folder.is_dir():
            try:
                os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
            except OSError:
                pass
            shutil.rmtree(folder)


def main() -> None:
    namespace, *words = sys.argv[2:]
    if words[0] == "run-job":
        run_job(Path(words[1]))
        return
    with (CONFIG.parent / "calls").open("a") as calls:
        calls.write(json.dumps([namespace, *words]) + "\n")
    if any(word in SETTINGS.get("refuse", ()) for word in words):
        sys.exit("no: the stand-in was told to refuse")
    match words:
        case ["apply", "--filename", "-"]:
            apply()
        case ["get", "pods", "--selector", selector, "--output", "json"]:
            pods(selector)
        case ["get", "jobs", "--selector", selector, "--output", "json"]:
            jobs(selector)
        case ["get", "runtimeclass", _] | ["auth", "can-i", _, _]:
            print("yes")
        case ["logs", *rest]:
            pod = next(word for word in rest if word.endswith("-x1"))
            logs(ROOT / pod.removesuffix("-x1"), "--follow" in rest)
        case ["delete", "jobs", *rest]:
            delete([word for word in rest if not word.startswith("--")])
        case ["version", "--output", "json"]:
            print('{"serverVersion": {"gitVersion": "v0-stand-in"}}')
        case ["exec", "--stdin", pod, "--container", "relay", "--", "python3", "-c", program, socket]:
            inside = ROOT / pod.removesuffix("-x1") / "socket" / Path(socket).name
            os.execv(sys.executable, [sys.executable, "-c", program, str(inside)])
        case _:
            sys.exit(f"the stand-in knows no {words}")


if __name__ == "__main__":
    main()
