"""What an image must be before it may run, read from its configuration; every reason at once."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evaluator.contract import Manifest
from evaluator.sandbox.protocol import ImageReport

#: Environment: the largest image, unpacked, in MB.
MAX_IMAGE_MB = "PALIMPSEST_MAX_IMAGE_MB"
_DEFAULT_MAX_IMAGE_MB = 20_000

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
#: Variables that change which code a program runs, or that ask a container runtime for devices.
_REFUSED_VARIABLES = re.compile(r"^(LD_[A-Z_]+|GLIBC_TUNABLES|NVIDIA_\w+|GCONV_PATH)$")

#: Every layer's folder stands in one mount call of 4096 bytes, and with a user namespace its name is long: with
#: podman 4.3 and its usual folders 28 layers started and 29 did not.
MAX_LAYERS = 25

Problem = Mapping[str, str]


class ImageRefused(Exception):
    """An image breaks a rule; `problems` are its reasons, each {field, value, problem, remedy}."""

    def __init__(self, field: str, value: str, problem: str, remedy: str) -> None:
        self.problems: tuple[Problem, ...] = (_problem(field, value, problem, remedy),)
        super().__init__(f"{field}: {problem}")

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> ImageRefused:
        """One refusal with several reasons."""
        refusal = cls(**problems[0])
        refusal.problems = tuple(problems)
        return refusal

    def __str__(self) -> str:
        return "; ".join(f"{item['field']}: {item['problem']}" for item in self.problems)


def max_image_bytes() -> int:
    text = os.environ.get(MAX_IMAGE_MB, "")
    return (int(text) if text.isdigit() else _DEFAULT_MAX_IMAGE_MB) << 20


def machine_architecture() -> str:
    """This machine's, by its name in images."""
    return _MACHINES.get(platform.machine(), platform.machine())


def too_large(size_bytes: int) -> Problem:
    return _problem(
        "size",
        f"{size_bytes >> 20} MB",
        f"is over the cap of {max_image_bytes() >> 20} MB",
        "leave out caches, test data and build tools, or use a slimmer base image",
    )


def image_judge(report: Mapping[str, Any], manifest: Manifest) -> ImageReport:
    """An `ImageReport` from one entry of `podman image inspect`. Runs nothing."""
    config = report.get("Config") or {}
    user, architecture = str(config.get("User") or ""), str(report.get("Architecture") or "")
    size_bytes = int(report.get("Size") or 0)
    problems = [
        *_user(user),
        *_architecture(architecture, str(report.get("Os") or "")),
        *_variables(config.get("Env") or ()),
    ]
    if not config.get("Entrypoint"):
        problems.append(
            _problem(
                "entrypoint",
                "",
                "is not set",
                'add an ENTRYPOINT in exec form: it is started with "unlearn" or "serve"',
            )
        )
    if wrong := layers_wrong(len((report.get("RootFS") or {}).get("Layers") or ())):
        problems.append(wrong)
    if size_bytes > max_image_bytes():
        problems.append(too_large(size_bytes))
    if manifest.run.gpu:
        problems.append(
            _problem("run.gpu", "true", "asks for a GPU, which this sandbox does not give", "set gpu = false")
        )
    image_id = str(report["Id"])
    return ImageReport(
        ok=not problems,
        image_id=image_id if image_id.startswith("sha256:") else f"sha256:{image_id}",
        problems=tuple(problems),
        size_bytes=size_bytes,
        user=user,
        architecture=architecture,
    )


def layers_wrong(count: int) -> Problem | None:
    """What is wrong with an image of so many layers."""
    if count <= MAX_LAYERS:
        return None
    remedy = "build with `podman build --squash-all`, or join RUN and COPY lines"
    return _problem("layers", str(count), f"is over the cap of {MAX_LAYERS} layers", remedy)


def _user(user: str) -> list[Problem]:
    name = user.partition(":")[0].strip()
    remedy = "add `USER 10001:10001` as the last USER line"
    if not name:
        return [_problem("user", user, "is not set, so the image runs as root", remedy)]
    if name == "root" or (name.lstrip("+").isdigit() and int(name) == 0):
        return [_problem("user", user, "is root", remedy)]
    return []


def _architecture(architecture: str, system: str) -> list[Problem]:
    here = machine_architecture()
    if (architecture, system) != (here, "linux"):
        return [
            _problem(
                "architecture",
                f"{system}/{architecture}",
                f"is not linux/{here}",
                f"build with --platform linux/{here}",
            )
        ]
    return []


def _variables(lines: list[str] | tuple[str, ...]) -> list[Problem]:
    found = []
    for line in lines:
        name = line.partition("=")[0]
        if _REFUSED_VARIABLES.match(name):
            found.append(_problem(f"env.{name}", line[:80], "is not allowed in an image", f"remove `ENV {name}`"))
    return found


def _problem(field: str, value: str, problem: str, remedy: str) -> Problem:
    return {"field": field, "value": value, "problem": problem, "remedy": remedy}
