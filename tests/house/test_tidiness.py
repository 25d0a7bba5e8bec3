"""The house in order: short modules, first sentences, no machine's paths, a line for every command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evaluator.contract.values import HAR_FORMULA

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400

#: Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(
    "|".join(("/wo" + "rk/", "/ro" + "ot/", "/home/[a-z]+/", "/Use" + "rs/[a-z]+/", "/tmp/" + "w/"))
)
REGISTRIES = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "pythonhosted" + r"\.org",
            "registry\\." + "npmjs",
            "deb\\." + r"debian\.org",
            "/opt/" + "pypi",
        )
    )
)


def tracked_files() -> list[Path]:
    """Every file that git tracks, or the files of an unpacked archive."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def own_text_files() -> list[tuple[Path, str]]:
    found = []
    for path in tracked_files():
        if "vendor" in path.parts or path.suffix in {".png", ".woff2", ".ico", ".gz", ".parquet"}:
            continue
        try:
            found.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize(
    ("what", "pattern"), [("a path of somebody's machine", MACHINE_PATHS), ("a package registry's address", REGISTRIES)]
)
def test_no_tracked_file_holds(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in own_text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == [], f"{what} in tracked files"


def own_modules() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and "migrations" not in path.parts and "vendor" not in path.parts
    ]


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for path in own_modules()
        if (n := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}, f"a module above {MAX_LINES} lines is two rooms"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in own_modules()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_every_target_of_the_makefile_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())  # type: ignore[union-attr]
    assert targets == phony


def test_every_requirement_is_pinned_and_the_base_has_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    assert all("+" not in version for version in pins.values())
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[\[<>=~!; ]", line, maxsplit=1)[0].lower() for line in wanted}
    assert {name for name in names if name not in pins} == set()
    assert not any(line.startswith(("torch", "transformers", "lm-eval")) for line in project["dependencies"])


def test_the_style_is_clean() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)} -> {target}"
        for path, text in own_text_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in target and not target.startswith(("/", "mailto:")) and not (path.parent / target).exists()
    ]
    assert broken == []


OWN_PATHS = re.compile(r"`((?:deploy|docs|evaluator|leaderboard|methods|templates|tests)/[\w./-]+)(?:::[\w:]+)?`")


def test_paths_that_prose_names_are_there() -> None:
    """In documents, templates and comments: `evaluator/contract/values.py`, a folder, a test by `path::name`."""
    gone = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in own_text_files()
        if path.suffix in {".md", ".py", ".html", ".toml"}
        and path.name != "CHANGELOG.md"
        and path.parent.name != "decisions"
        for name in OWN_PATHS.findall(text)
        if not (ROOT / name.rstrip("./")).exists()
    ]
    assert gone == []


def test_the_formula_of_har_is_written_in_one_module() -> None:
    formula = re.compile(r"R ?· ?\(1 ?[-−] ?L\)")
    found = {str(path.relative_to(ROOT)) for path, text in own_text_files() if formula.search(text)}
    assert found == {"evaluator/contract/values.py", "docs/refusals.md"}
    assert HAR_FORMULA in (ROOT / "docs/refusals.md").read_text()
