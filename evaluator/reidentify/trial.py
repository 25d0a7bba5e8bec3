"""The trial: drawn releases, reference entries run on them, their published files, and what attackers make of those."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from evaluator.analysis.rank import RankEntry, RankRun, RankSpec, rank
from evaluator.benchmark.build import release_build
from evaluator.contract import Job, ReleaseCard, Scorecard
from evaluator.contract.folder import ROOT
from evaluator.contract.manifest import manifest_load
from evaluator.home import Home, write_atomically
from evaluator.measures.metrics.board import FloatArray
from evaluator.pipeline.run import run
from evaluator.probes import PLAIN, probes_load
from evaluator.reidentify.attackers import ATTACKERS, BASE, Seen, guesses
from evaluator.reidentify.candidates import Candidates, candidates_find, forget_draws
from evaluator.reidentify.publication import RECEIPT, SCORECARD, TRACE, Publication
from evaluator.reidentify.verdict import Verdict, verdict

Say = Callable[[str], None]
#: One of each kind: controls, in-context, editors in weights and beside them, unlearning.
ENTRIES = (
    BASE,
    "constant_refusal",
    "refuse_everything",
    "icr",
    "ike",
    "rome",
    "memit",
    "alphaedit",
    "grace",
    "wise_retrieve",
    "ga",
    "npo",
)
#: Builds that tell an attacker how often each fact is taken, and others that tell what is chance.
PRIOR_DRAWS, CHANCE_DRAWS = 500, 1000


@dataclass(frozen=True)
class Trial:
    """What to try. `folder` keeps everything, so that a trial goes on where it was stopped; it holds secrets."""

    home: Home
    folder: Path
    benchmark: str = "pretrained-facts"
    size: int = 10
    releases: int = 3
    entries: Sequence[str] = ENTRIES
    threads: int = 2
    say: Say = lambda _: None

    def run(self) -> list[Verdict]:
        """Build, run, publish, attack. One verdict an attacker."""
        self.say("asking the base for every fact that a hidden split may hold")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        candidates = candidates_find(self.home, self.benchmark, self.folder, threads=self.threads)
        open_card = release_build(self.home, self.benchmark, size=self.size, split="public", threads=self.threads)
        public = self._published(self.home, open_card, "public")
        drawn = [self._drawn(number) for number in range(1, self.releases + 1)]
        truths = [forget_keys(home, card.slug) for home, card in drawn]
        publications = [self._published(home, card, f"release-{n}") for n, (home, card) in enumerate(drawn, start=1)]
        self.say(f"{PRIOR_DRAWS + CHANCE_DRAWS} other draws of the builder")
        draws = [*forget_draws(self.home, self.benchmark, self.size, PRIOR_DRAWS + CHANCE_DRAWS)]
        prior = prior_of(candidates, draws[:PRIOR_DRAWS])
        found = []
        for name, attacker in ATTACKERS.items():
            named = [guesses(Seen(candidates, prior, hidden, public), attacker) for hidden in publications]
            found.append(verdict(name, named, truths, draws[PRIOR_DRAWS:], attackers=len(ATTACKERS)))
        return found

    def _drawn(self, number: int) -> tuple[Home, ReleaseCard]:
        """A hidden release with a secret of its own."""
        home = Home(self.folder / f"release-{number}" / "home")
        home.root.mkdir(parents=True, exist_ok=True)
        if not home.models.exists():
            home.models.symlink_to(self.home.models.resolve())
        known = self.home.secret / "known"
        if known.is_dir():  # verdicts on facts do not depend on the secret
            shutil.copytree(known, home.secret / "known", dirs_exist_ok=True)
        self.say(f"release {number}: building")
        return home, release_build(home, self.benchmark, size=self.size, split="hidden", threads=self.threads)

    def _published(self, home: Home, card: ReleaseCard, name: str) -> Publication:
        """What is published of the entries' runs on a release: on the public split everything, else what is shown."""
        runs, shown = self.folder / name / "runs", self.folder / name / "published"
        for entry in self.entries:
            if not (shown / entry / TRACE).is_file():
                self.say(f"{name}: {entry}")
                self._run(home, card, entry, runs / entry)
                (shown / entry).mkdir(parents=True, exist_ok=True)
                for file in (SCORECARD, RECEIPT, TRACE):  # the trace last: with it, an entry is there
                    shutil.copyfile(runs / entry / "out" / file, shown / entry / file)
        write_atomically(shown / "card.json", card.model_dump_json(indent=2) + "\n")
        write_atomically(shown / "board.json", self._board(home, card, runs))
        return Publication.load(shown)

    def _run(self, home: Home, card: ReleaseCard, entry: str, folder: Path) -> None:
        image = ROOT / "methods" / entry
        job = Job(
            run_id=f"{entry.replace('_', '-')}-{folder.parent.parent.name}",
            release=card.slug,
            image=str(image),
            manifest=manifest_load(image / "method.toml"),
            threads=self.threads,
            backend="process",
            work_dir=(folder / "work").resolve(),
            out_dir=(folder / "out").resolve(),
        )
        run(job, home)
        shutil.rmtree(job.work_dir / "sealed", ignore_errors=True)

    def _board(self, home: Home, card: ReleaseCard, runs: Path) -> str:
        def of(entry: str) -> RankEntry:
            out = runs / entry / "out"
            sealed = out / "trace.sealed"
            trace = sealed if sealed.is_file() else out / "trace.parquet"
            control = "base" if entry == BASE else None
            return RankEntry(id=entry, control=control, runs=[RankRun(trace=trace, scorecard=out / SCORECARD)])

        evaluator = Scorecard.model_validate_json((runs / self.entries[0] / "out" / SCORECARD).read_text()).evaluator
        entries = [of(entry) for entry in self.entries]
        spec = RankSpec(release=card.slug, content_sha256=card.content_sha256, evaluator=evaluator, entries=entries)
        return rank(spec, home).model_dump_json(indent=2) + "\n"


def forget_keys(home: Home, slug: str) -> frozenset[str]:
    """The keys of the facts that a release forgets."""
    probes = probes_load(home.release(slug) / "probes.jsonl")
    return frozenset(f"{p.relation}:{p.subject}" for p in probes if p.kind == "verbatim" and p.condition == PLAIN)


def prior_of(candidates: Candidates, draws: Sequence[frozenset[str]]) -> FloatArray:
    """How often each candidate is taken, (n,), with a tenth of a draw for those that never were."""
    taken = Counter(chain.from_iterable(draws))
    return (np.array([taken[key] for key in candidates.keys]) + 0.1) / len(draws)
