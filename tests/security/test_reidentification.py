"""Somebody with everything public names facts of hidden releases by chance alone: real runs of the toy world."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaluator.contract import MetricScore, Scorecard
from evaluator.contract.disclosure import score_shown
from evaluator.home import Home
from evaluator.reidentify.attackers import PLAIN_MEANS, VERBATIM, Seen, by_means, by_rows, guesses
from evaluator.reidentify.candidates import candidates_find, forget_draws
from evaluator.reidentify.publication import SCORECARD, TRACE, Publication
from evaluator.reidentify.trial import Trial, forget_keys, prior_of
from evaluator.reidentify.verdict import ALPHA, verdict
from evaluator.trace import trace_read, trace_write

pytestmark = pytest.mark.torch
ENTRIES = ("base",)  # twelve of them on the default base: `make attack`
RELEASES = 3


@pytest.fixture(scope="module")
def trial(toy_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Three drawn releases of the toy world with the untouched base on each."""
    folder = tmp_path_factory.mktemp("trial")
    for number in range(1, RELEASES + 1):  # secrets of this test: at 1 % one draw in a hundred beats chance by chance
        secret = folder / f"release-{number}" / "home" / "secret"
        secret.mkdir(parents=True)
        (secret / "hidden.seed").write_text(f"{number:064x}\n")
    return Trial(Home(toy_home), folder, "toy-world", 5, RELEASES, ENTRIES, threads=1)


def test_what_is_published_names_no_more_than_chance_does(trial: Trial) -> None:
    verdicts = trial.run()
    assert [found.attacker for found in verdicts] == ["text", "rows", "means"]
    for found in verdicts:
        assert found.guesses == 5 * RELEASES
        assert found.p >= ALPHA, found
        assert 0 < found.chance < found.guesses / 3


def test_what_was_published_before_named_them(trial: Trial, tmp_path: Path) -> None:
    """The same runs as evaluator 0.3 showed them: values of every row to three decimals, and plain means."""
    trial.run()  # done already: it only reads
    candidates = candidates_find(trial.home, trial.benchmark, trial.folder, threads=1)
    draws = [*forget_draws(trial.home, trial.benchmark, trial.size, 300)]
    named, truths = [], []
    for number in range(1, RELEASES + 1):
        folder = trial.folder / f"release-{number}"
        shown = tmp_path / str(number)
        shutil.copytree(folder / "published", shown)
        card = Publication.load(shown).card
        for entry in ENTRIES:
            published_before(folder / "runs" / entry / "out", shown / entry)
        hidden = Publication.load(shown)
        seen = Seen(candidates, prior_of(candidates, draws[:100]), hidden)
        named.append(guesses(seen, by_rows))
        truths.append(forget_keys(Home(folder / "home"), card.slug))
        assert len(by_means(seen)) == len(candidates.keys)
    assert verdict("rows", named, truths, draws[100:]).p < ALPHA


def published_before(out: Path, shown: Path) -> None:
    """Replaces an entry's files by those that evaluator 0.3 published of it."""
    rows = trace_read(out / "trace.parquet")
    texts = ("subject", "prompt", "reference", "response", "base_response", "aliases", "choices", "topic", "relation")
    before = [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
        | dict.fromkeys(texts)
        for row in rows
    ]
    trace_write(shown / TRACE, before)
    card = Scorecard.model_validate_json((shown / SCORECARD).read_text())
    versions = {version.split("@")[0]: version for version in PLAIN_MEANS}
    scores = []
    for score in card.scores:
        values = [row[score.key] for row in rows if score.key in VERBATIM and row["kind"] == "verbatim"]
        if values and None not in values:
            plain = score_shown(sum(values) / len(values))
            scores.append(MetricScore(key=score.key, version=versions[score.key], value=plain))
        else:
            scores.append(score)
    (shown / SCORECARD).write_text(card.model_copy(update={"scores": tuple(scores)}).model_dump_json())
