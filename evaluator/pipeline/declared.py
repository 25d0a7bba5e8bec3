"""What a method declared of its artifact, measured: whether it stores texts of requests."""

from __future__ import annotations

from pathlib import Path

from evaluator.artifact import Fact, SealedArtifact, contents_search
from evaluator.benchmark.build import release_lines
from evaluator.contract import ForgetRequest
from evaluator.model.base import BaseModelDirectory
from evaluator.probes import PLAIN, probes_load


def stores_requests(artifact: SealedArtifact, release: Path, base: BaseModelDirectory, *, log: Path) -> bool:
    """Whether texts of a release's requests are found in the artifact; what and where is added to the run's log."""
    from evaluator.model.engine.lm import tokenizer_load  # noqa: PLC0415 - loads torch

    tokenizer = tokenizer_load(base.path)
    lines = [ForgetRequest.model_validate(line) for line in release_lines(release, "forget")]
    requests = [Fact(line.id, line.subject or line.prompt, (line.prompt, line.answer)) for line in lines]
    # Facts that are measured and given to no method: who has these too has a list of everything.
    others = [
        Fact(probe.item_id, probe.subject, (probe.prompt, probe.reference))
        for probe in probes_load(release / "probes.jsonl")
        if probe.split_role == "retain" and probe.condition == PLAIN
    ]
    found = contents_search(
        artifact.path, requests, others, lambda text: list(tokenizer.encode(text, add_special_tokens=False))
    )
    if found.stores_requests:
        with log.open("a") as stream:
            for evidence, names in found.requests.items():
                for name, path in names.items():
                    stream.write(f"[contents] {evidence} of request {name} is in {path}\n")
    return found.stores_requests
