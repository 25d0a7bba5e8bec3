"""What one demo is made of: where it lives, what it builds, what it submits, and under which environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator.benchmark.catalogue import benchmark_get, release_slug
from evaluator.benchmark.secret import Split

ROOT = Path(__file__).resolve().parents[2]
BASE = "smollm2-135m-instruct"
#: Those whose images lie on this machine, and the one without images and isolation.
BACKENDS = ("podman", "podman-runsc", "docker", "process")


class DemoError(Exception):
    """Something that the person at the terminal can put right; the message says how."""


@dataclass(frozen=True)
class Release:
    """One release to build."""

    benchmark: str
    size: int
    split: Split
    round: int = 1

    @property
    def slug(self) -> str:
        return release_slug(self.benchmark, self.size, self.split, self.round)

    @property
    def earlier(self) -> tuple[Release, ...]:
        """The rounds before it, which it takes the place of."""
        return tuple(replace(self, round=number) for number in range(1, self.round))

    def newest(self, home: Path) -> Release:
        """The round of it that is to be used: the one that this evaluator has built, or is to build after those that
        lie here in another version.
        """
        card = home / "cards" / f"{self.slug}.json"
        if not card.is_file() or json.loads(card.read_text())["version"] == benchmark_get(self.benchmark).version:
            return self
        return replace(self, round=self.round + 1).newest(home)


BENCHMARK = "pretrained-facts"
#: `DEMO_SIZES` names other numbers of requests; each is a board of its own.
SIZES = (10,)
#: The base knows some hundred facts of the public pool, and a release of n requests takes more than three times n.
LARGEST_PUBLIC = 20

#: What the demo submits: some ten minutes' worth, cheap entries first, so that a scored row is seen early.
#: `DEMO_METHODS` names others, or `all`.
METHODS = ("refuse_everything", "base", "gibberish", "constant_refusal", "rome", "idk", "graddiff", "icr")


@dataclass(frozen=True)
class Plan:
    """The settings of one demo, read from the environment once."""

    home: Path
    port: int
    backend: str
    threads: int
    methods: tuple[str, ...] | None = METHODS  # None: all that there are
    sizes: tuple[int, ...] = SIZES
    runs: int = 1  # at a time

    @property
    def boards(self) -> tuple[Release, ...]:
        """The hidden splits that the methods are judged on, in the order asked for."""
        return tuple(Release(BENCHMARK, size, "hidden").newest(self.home) for size in self.sizes)

    @property
    def extras(self) -> tuple[Release, ...]:
        """What is built once the boards stand: the public split, for visitors who want to try a method."""
        return (Release(BENCHMARK, min(self.sizes[0], LARGEST_PUBLIC), "public"),)

    @property
    def baked(self) -> tuple[str, ...]:
        """The entries among them that train apart from the requests: done once, before the image is built."""
        return tuple(name for name in ("lte", "recipe") if self.methods is None or name in self.methods)

    @property
    def workers(self) -> int:
        """Tasks at a time: the runs, and one more, so that submissions are looked at meanwhile."""
        return self.runs + 1

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def credentials(self) -> Path:
        return self.home / "demo-credentials.json"

    def environment(self) -> dict[str, str]:
        """The environment of every child: no model hub, no stray threads, one data folder."""
        return os.environ | {
            "PALIMPSEST_HOME": str(self.home),
            "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.embedded",
            "EVALUATOR_BACKEND": self.backend,
            "EVALUATOR_THREADS": str(self.threads),
            "RUNS_PER_HOST": str(self.runs),
            "OMP_NUM_THREADS": str(self.threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }


def plan_read(environment: Mapping[str, str]) -> Plan:
    """The plan that the README's variables, `EVALUATOR_THREADS` and `RUNS_PER_HOST` ask for. Raises `DemoError`."""
    raw = environment.get("PORT") or "8000"
    if not raw.isdecimal() or not 1 <= int(raw) <= 65535:
        raise DemoError(f"PORT={raw!r} is not a port: give a whole number from 1 to 65535, e.g. PORT=8123 make demo")
    backend = environment.get("DEMO_BACKEND") or "podman"
    if backend not in BACKENDS:
        raise DemoError(
            f"DEMO_BACKEND={backend!r} is not known: leave it unset for podman, "
            f"or set it to one of {', '.join(BACKENDS)}"
        )
    home = Path(environment.get("PALIMPSEST_HOME") or ROOT / "var").expanduser().resolve()
    return Plan(
        home=home,
        port=int(raw),
        backend=backend,
        threads=_number_read(environment, "EVALUATOR_THREADS", "threads", min(2, os.cpu_count() or 1)),
        runs=_number_read(environment, "RUNS_PER_HOST", "runs", 1),
        methods=_methods_read(environment.get("DEMO_METHODS", "")),
        sizes=_sizes_read(environment.get("DEMO_SIZES", "")),
    )


def _methods_read(text: str) -> tuple[str, ...] | None:
    names = _words(text)
    return None if names == ("all",) else names or METHODS


def _words(text: str) -> tuple[str, ...]:
    """What a list in a variable names, each once: commas and blanks part it."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _number_read(environment: Mapping[str, str], name: str, what: str, otherwise: int) -> int:
    text = environment.get(name, "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise DemoError(f"{name}={text!r} is no number of {what}: give a whole number from 1 on")
    return int(text) if text else otherwise


def _sizes_read(text: str) -> tuple[int, ...]:
    words = _words(text)
    if wrong := [word for word in words if not word.isdecimal() or int(word) < 1]:
        raise DemoError(
            f"DEMO_SIZES: {wrong[0]!r} is no number of requests: give whole numbers from 1 on, "
            'e.g. DEMO_SIZES="20 50" make demo'
        )
    return tuple(int(word) for word in words) or SIZES
