"""Brings an image to this machine by digest, and not before a look at how large it says it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from evaluator.contract import IMAGE_REFERENCE, EvaluationFailed, FailureCode
from evaluator.sandbox.admission import max_image_bytes, too_large
from evaluator.sandbox.engine import Engine, EngineError
from evaluator.sandbox.protocol import ImageReport

#: Registries of this very machine speak plain HTTP; all others must have a certificate.
_LOCAL = re.compile(r"^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?/")
_PULL_S = 1800.0


def image_pull(engine: Engine, image: str) -> ImageReport | None:
    """Make sure that `image` is in the local store; an `ImageReport` that refuses it when its layers are over the cap.

    `sha256:<ID>` is only looked up; `NAME@sha256:<digest>` is pulled. Raises `EvaluationFailed(image_unavailable)`.
    """
    if not IMAGE_REFERENCE.match(image):
        raise _unavailable(image, "is not a reference by digest: give `sha256:<image ID>` or `NAME@sha256:<digest>`")
    if engine.image_exists(image):
        return None
    if image.startswith("sha256:"):
        raise _unavailable(image, "is not on this machine: load it first, or name it as NAME@sha256:<digest>")
    host, slash, _ = image.partition("/")
    if not slash or not ("." in host or _LOCAL.match(image)):
        raise _unavailable(image, "names no registry: write it in full, as registry.example/name@sha256:<digest>")
    plain = ["--tls-verify=false"] if _LOCAL.match(image) else []
    size = _announced_bytes(engine, image, plain)
    if size is not None and size > max_image_bytes():
        return ImageReport(ok=False, image_id=image, problems=(too_large(size),), size_bytes=size)
    try:
        engine.run("pull", "--quiet", *plain, image, timeout_s=_PULL_S)
    except EngineError as error:
        raise _unavailable(
            image, f"could not be pulled: {error.output.splitlines()[-1] if error.output else error}"
        ) from None
    return None


def _announced_bytes(engine: Engine, image: str, plain: list[str]) -> int | None:
    """Compressed size by the registry's manifest; None where skopeo is absent or the manifest lists platforms."""
    if shutil.which("skopeo") is None:
        return None
    command = ["skopeo", "inspect", "--raw", *plain, f"docker://{image}"]
    try:
        done = subprocess.run(command, env=engine.environment(), capture_output=True, timeout=60, check=False)
        layers = json.loads(done.stdout)["layers"]
        return sum(int(layer["size"]) for layer in layers)
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return None


def _unavailable(image: str, problem: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, f"image {image[:200]} {problem}")
