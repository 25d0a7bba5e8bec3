"""The walls between the rooms: who may import whom, and what must start without torch."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "lm_eval", "accelerate", "datasets", "evaluate", "safetensors", "tokenizers"}


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file names in an import, at any depth, with its line."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            yield node.lineno, node.args[0].value


def python_files(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def breaches(room: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in python_files(room)
        for line, module in imports_of(path)
        if module.split(".")[0] in forbidden
    ]


def test_the_evaluator_knows_nothing_of_the_site() -> None:
    assert breaches("evaluator", {"django", "rest_framework", "celery", "leaderboard", "methods", "deploy"}) == []


def test_the_site_loads_no_model_library() -> None:
    assert breaches("leaderboard", HEAVY | {"methods", "deploy"}) == []


def test_the_site_takes_only_the_contract_from_the_evaluator() -> None:
    outside = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in python_files("leaderboard")
        for line, module in imports_of(path)
        if module.split(".")[0] == "evaluator" and module.split(".")[1:2] != ["contract"]
    ]
    assert outside == []


def test_methods_stand_on_the_submitters_side() -> None:
    assert breaches("methods", {"evaluator", "leaderboard", "deploy", "django"}) == []


def test_the_contract_needs_nothing_but_pydantic() -> None:
    foreign = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in python_files("evaluator/contract")
        for line, module in imports_of(path)
        if module.split(".")[0] not in sys.stdlib_module_names | {"pydantic", "evaluator"}
        or (module.split(".")[0] == "evaluator" and module.split(".")[1:2] != ["contract"])
    ]
    assert foreign == []


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("the contract", "import evaluator.contract"),
        ("the evaluator's command line", "import evaluator.__main__"),
        ("the client", "import evaluator.cli.palimpsest.app"),
        ("the site", "import django; django.setup(); import leaderboard.config.urls, leaderboard.config.wsgi"),
        ("the worker", "import django; django.setup(); import leaderboard.config.celery, leaderboard.worker.tasks"),
        ("the demo", "import deploy.demo.__main__"),
    ],
)
def test_it_starts_without_torch(what: str, code: str, tmp_path: Path) -> None:
    heavy = sorted(HEAVY)
    program = f"{code}\nimport sys\nprint(*[name for name in {heavy!r} if name in sys.modules])"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.embedded",
        "PALIMPSEST_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"{what} loads {done.stdout.strip()}"


@pytest.mark.parametrize("module", ["evaluator.cli.palimpsest.app", "evaluator.contract"])
def test_the_client_side_starts_without_django(module: str) -> None:
    program = f"import {module}, sys\nprint('django' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr or done.stdout


# ---------------------------------------------------------------- floors


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the packages in `root`, by the contracts of our pyproject.toml."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, timeout=120
    )


def contracts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return found


def test_every_room_knows_only_what_lies_below_it() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


def test_no_import_is_excused() -> None:
    assert [contract["id"] for contract in contracts() if contract.get("ignore_imports")] == []


@pytest.mark.parametrize(
    ("room", "planted"),
    [
        ("leaderboard/core/ids.py", "from leaderboard.boards.services import board_publish"),
        ("leaderboard/boards/figures.py", "from leaderboard.submissions.create import submission_create"),
        ("evaluator/model/base.py", "def late() -> None:\n    import evaluator.benchmark.build"),
    ],
)
def test_a_planted_import_is_found_even_inside_a_function(room: str, planted: str, tmp_path: Path) -> None:
    for world in ("evaluator", "leaderboard", "methods"):
        shutil.copytree(ROOT / world, tmp_path / world, ignore=shutil.ignore_patterns("__pycache__", "data", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / room).open("a") as file:
        file.write(f"\n\n{planted}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1 and " 0 broken" not in done.stdout, done.stdout
    assert room.removesuffix(".py").replace("/", ".") in done.stdout


def test_an_import_inside_a_function_says_that_it_would_load_a_model_library() -> None:
    """ruff finds those that say nothing (PLC0415)."""
    excused = re.compile(r"noqa: (?:\w+, )*PLC0415 - (.*)")
    reasons = {
        f"{path.relative_to(ROOT)}: {found[1]}"
        for room in ("evaluator", "leaderboard", "methods", "deploy")
        for path in python_files(room)
        for found in excused.finditer(path.read_text())
    }
    good = ("loads torch", "loads transformers", "loads scikit-learn", "loads datasets")
    assert reasons and {r for r in reasons if not r.endswith(good) and "Django: " not in r} == set()
