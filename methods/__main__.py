"""The container's entrypoint: `python -m methods unlearn|serve --method NAME`; `bake` trains for an image."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from methods.common.contract.errors import MethodError
from methods.common.contract.task import directory_from, progress, result_write, settings_from, task_read
from methods.common.serving.server import serve
from methods.registry import NAMES, entry


def main(argv: Sequence[str]) -> int:
    """Play one role; the exit status is 0, or 2 for a fault of the input, or 1 for a fault of the method."""
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    parser.add_argument("role", choices=("unlearn", "serve", "bake"), help="which half of the contract to play")
    parser.add_argument("--method", required=True, metavar="NAME", help="one of: " + ", ".join(NAMES))
    parser.add_argument("--full", action="store_true", help="with bake: the paper's own recipe, which takes hours")
    options = parser.parse_args(argv)
    # The container has no network; a look-up that waits for one would only cost time.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that spin while they wait make two threads far slower than one where a core is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if options.role == "unlearn":
            _unlearn(options.method)
        elif options.role == "bake":
            _bake(options.method, full=options.full)
        else:
            _serve(options.method)
    except MethodError as error:
        print(f"{options.method}: {error}", file=sys.stderr, flush=True)
        return 2
    except Exception:  # noqa: BLE001 - the container's last word is its exit status
        traceback.print_exc()
        return 1
    return 0


def _unlearn(name: str) -> None:
    module = entry(name)
    task = task_read(os.environ)
    settings = settings_from(module.Settings, task.job.hparams)
    progress(0.0, "starting")
    made = module.unlearn(task, settings)
    result_write(task, made, name)
    progress(1.0, "done")


def _bake(name: str, *, full: bool) -> None:
    from methods.common.model.base_model import model_of  # noqa: PLC0415 - loads torch
    from methods.common.training.baked import bake  # noqa: PLC0415 - loads torch

    module = entry(name)
    if not hasattr(module, "BAKING"):
        raise MethodError("--method", name, "trains on its requests", "bake `lte` or `recipe`")
    task = task_read(os.environ, requests=False)
    settings = module.BAKING.settings(settings_from(module.Settings, task.job.hparams), full=full)
    progress(0.0, "starting")
    bake(task, module.BAKING, settings, lambda: module.train(task, model_of(task), settings))
    progress(1.0, "done")


def _serve(name: str) -> None:
    module = entry(name)
    if not hasattr(module, "respond"):
        raise MethodError("--method", name, "is not a server", "its result is loaded by the platform; run `unlearn`")
    state_dir = directory_from(os.environ, "PALIMPSEST_STATE")
    base_dir = directory_from(os.environ, "PALIMPSEST_BASE")
    socket_path = os.environ.get("PALIMPSEST_SOCKET", "")
    if not socket_path:
        raise MethodError("PALIMPSEST_SOCKET", "", "is not set", "give the path of the unix socket to listen on")
    threads = os.environ.get("PALIMPSEST_THREADS", "1")
    if not threads.isdigit() or int(threads) < 1:
        raise MethodError("PALIMPSEST_THREADS", threads, "is not a whole number above 0", "give at least 1")
    # As the first process of a container Python has no default action for SIGTERM: end at once.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    serve(module.respond(state_dir, base_dir, int(threads)), Path(socket_path))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
