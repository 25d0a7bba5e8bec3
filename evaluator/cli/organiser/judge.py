"""The optional judge: a language model behind an OpenAI-compatible endpoint rates responses."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import ValidationError

from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import write_atomically
from evaluator.measures.refusal.agreement import judge_agreement
from evaluator.measures.refusal.judge import HumanRating, Judge, Judged, JudgeItem, judge_items

if TYPE_CHECKING:
    from pydantic import BaseModel

    Line = TypeVar("Line", bound=BaseModel)


def judge(
    source: Annotated[Path, typer.Option("--in", help="JSON lines: id, question, subject, aliases, split, response")],
    out: Annotated[Path, typer.Option(help="where the ratings go, one JSON line an item, in the order of --in")],
    endpoint: Annotated[str, typer.Option(help="the address before /v1/chat/completions")],
    model: Annotated[str, typer.Option(help="the exact name that the endpoint answers with; aliases are refused")],
    key_env: Annotated[str | None, typer.Option(help="the environment variable that holds the endpoint's key")] = None,
    human: Annotated[Path | None, typer.Option(help="human ratings, JSON lines: id and the four ratings")] = None,
    seed: Annotated[int, typer.Option(help="of the order in which items are asked")] = 0,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="requests at the same time")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds for one answer")] = 60.0,
) -> None:
    """Rate responses by a language model, resumably; print how many are missing, why, and the agreement with people."""
    with clear_errors():
        items = _lines(source, JudgeItem)
        twice = [name for name, n in Counter(item.id for item in items).items() if n > 1]
        if twice:
            raise ValueError(f"{source}: id {twice[0]!r} stands on more than one line")
        people: dict[str, list[float]] = {}
        for rating in _lines(human, HumanRating) if human else ():
            people.setdefault(rating.id, []).append(rating.score)
        if key_env and not os.environ.get(key_env):
            raise ValueError(f"key-env: the environment variable {key_env} is not set")
        asked = Judge(endpoint, model, key=os.environ[key_env] if key_env else None, timeout_s=timeout)
        found: dict[str, Judged] = {}
        try:
            cache = out.with_name(out.name + ".cache")
            for done, of, batch in judge_items(asked, items, cache=cache, seed=seed, parallel=parallel):
                found |= {judged.id: judged for judged in batch}
                typer.echo(f"{done} of {of}", err=True)
        finally:
            asked.close()
        write_atomically(out, "".join(found[item.id].model_dump_json() + "\n" for item in items))
    ratings = {name: judged.ratings for name, judged in found.items()}
    agreement = judge_agreement({name: r.score if r else None for name, r in ratings.items()}, people)
    typer.echo(
        json.dumps(
            {
                "items": len(items),
                "rated": sum(r is not None for r in ratings.values()),
                "missing": Counter(judged.missing for judged in found.values() if judged.missing),
                "agreement": asdict(agreement),
            },
            indent=2,
        )
    )


def _lines(path: Path, of: type[Line]) -> list[Line]:
    """The lines of a JSON-lines file. Raises `ValueError` that names the line and what is wrong with it."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(of.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{path}:{number}: {field or 'line'}: {first['msg']}") from None
    if not found:
        raise ValueError(f"{path} holds no line")
    return found
