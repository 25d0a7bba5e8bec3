"""Images of strangers in docker's own store: looked through like anyone's, but bounded by a look at the disk alone."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox.admission import ImageRefused
from evaluator.sandbox.engine_commands.base import ContainerEngine, EngineError, platform_failure

NAME = "palimpsest-upload"
_LOAD_S = 1800.0
_DISK_RESERVE = 1 << 30


class DaemonStore:
    """See `foreign.Store`. A daemon has one store for all its images, of no fixed size; nothing of it is evicted."""

    def __init__(self, engine: ContainerEngine) -> None:
        self.engine = engine
        self.folder = engine.home / "sandbox"

    def kind(self) -> str:
        return "the daemon's own, bounded by a look at the disk"

    def exists(self) -> bool:
        return True

    def is_open(self) -> bool:
        return True

    def open(self) -> None:
        return None

    def find(self, key: str) -> str | None:
        done = self.engine.run("image", "inspect", "--format", "{{.Id}}", f"{NAME}:{key}", check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        yield

    @contextmanager
    def arriving(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="arriving-", dir=self.folder) as folder:
            yield Path(folder)

    @contextmanager
    def loading(self) -> Iterator[None]:
        with (self.folder / ".docker-load.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def room_make(self, needed: int, *, held: int = 0) -> None:
        """Raises `EvaluationFailed(platform_error)` when the disk is too full: ours, where docker's may be another."""
        free = shutil.disk_usage(self.folder).free
        if free < needed + _DISK_RESERVE:
            problem = f"the disk has {free >> 20} MB free, and an image needs {needed >> 20} MB and 1 GB to spare"
            raise EvaluationFailed(FailureCode.PLATFORM_ERROR, problem)

    def load(self, layout: Path, key: str, image_id: str) -> None:
        """Hand the image of a `dir:` layout to the daemon under `key`. Raises `ImageRefused` if it does not take it."""
        host = self.engine.environment()["DOCKER_HOST"]
        command = ["skopeo", "copy", "--quiet", "--dest-daemon-host", host, f"dir:{layout}"]
        try:
            self.engine.tool(*command, f"docker-daemon:{NAME}:{key}", timeout_s=_LOAD_S, temporary=layout)
        except EngineError as error:
            problem = f"cannot be unpacked: {error.output.splitlines()[-1][-300:] if error.output else error}"
            raise ImageRefused("image", image_id, problem, "build and save the image again") from None
        if self.find(key) != image_id:
            self.engine.run("rmi", "--force", f"{NAME}:{key}", check=False)
            raise platform_failure("the daemon loaded another image", ValueError(f"than {image_id}"))
