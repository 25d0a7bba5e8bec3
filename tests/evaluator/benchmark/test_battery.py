"""The battery: forgotten and kept facts are asked in the same styles, each only where the base gives the answer."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from evaluator.attacks import PromptAttack, World, attack_get
from evaluator.benchmark.battery import KEPT, STYLES, Battery
from evaluator.benchmark.catalogue import benchmark_get
from evaluator.benchmark.pool import Pool
from evaluator.probes import FORGET_KINDS, PLAIN, Fact, Probe, ProbeKind

BENCHMARK = benchmark_get("pretrained-facts")
SECRET = b"a secret of this test"


def right(probes: Sequence[Probe]) -> list[str]:
    """A base that knows everything."""
    return [probe.options[0].title() if probe.condition == "yesno" else f"It is {probe.answer}." for probe in probes]


def silent(probes: Sequence[Probe]) -> list[str]:
    """A base that never names an answer under an attack."""
    return ["It is what it is." if probe.condition else f"It is {probe.answer}." for probe in probes]


@cache
def facts(count: int) -> tuple[Fact, ...]:
    """Facts of many relations, each subject once."""
    found: dict[str, Fact] = {}
    for fact in sorted(BENCHMARK.facts(), key=lambda fact: hash_of(fact.key)):
        found.setdefault(fact.subject, fact)
    return tuple(found.values())[:count]


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def battery(answers: object = right) -> Battery:
    known: dict[str, list[Fact]] = {}
    answers_of: dict[str, list[str]] = {}
    for fact in BENCHMARK.facts():
        known.setdefault(fact.subject.casefold(), []).append(fact)
        answers_of.setdefault(fact.relation, []).append(fact.answer)
    kind = BENCHMARK.kinds.relation
    assert kind is not None
    world = World(
        secret=SECRET,
        public=False,
        relations={**BENCHMARK.relations, kind.name: kind},
        known=known,
        companions=facts(640)[600:],
        answers={**answers_of, kind.name: sorted({words[0] for words in BENCHMARK.kinds.words.values()})},
        prose=BENCHMARK.neutral(),
        render=lambda turns: "".join(f"<{role}>{text}</{role}>" for role, text in turns) + "<assistant>",
    )
    return Battery(BENCHMARK, world, SECRET, "hidden", ask=answers)  # type: ignore[arg-type]


def sharing(taken: Sequence[Fact], others: Sequence[Fact]) -> list[Fact]:
    """Of the others, one with the answer of each of those, where there is one."""
    relations = sorted({fact.relation for fact in (*taken, *others)})
    streams = {name: iter([fact for fact in others if fact.relation == name]) for name in relations}
    pool = Pool(streams, share=1)
    pool.others((), relations, len(others))
    return pool.sharing(taken, len(taken))


@cache
def release() -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    """(probes of 120 forgotten facts, probes of as many neighbours and retained ones and of the same subjects)."""
    made = battery()
    chosen = facts(600)
    forget = made.forget(chosen[:120])
    kept: dict[ProbeKind, Sequence[Fact]] = {
        "neighbour": chosen[120:240],
        "retain": chosen[240:360],
        "same_subject": made.same_subject(chosen[:120]),
        "same_answer": sharing(chosen[:120], chosen[360:]),
    }
    return tuple(forget), tuple(made.kept(kept))


def test_every_forgotten_fact_is_asked_in_every_style_and_no_name_stands_twice() -> None:
    forget, kept = release()
    names = [probe.item_id for probe in (*forget, *kept)]
    assert len(set(names)) == len(names)
    of_fact: dict[str, Counter[str]] = {}
    for probe in forget:
        if probe.kind in FORGET_KINDS:
            style = attack_get(probe.condition).axis if probe.condition else probe.kind
            of_fact.setdefault(probe.subject_key, Counter())[style] += 1
    assert len(of_fact) == 120
    for counts in of_fact.values():
        assert counts["verbatim"] == STYLES["plain"] and counts["paraphrase"] == STYLES["wording"]
        assert counts["robustness"] == STYLES["robustness"] and counts["recognition"] <= STYLES["recognition"]


def test_attacks_are_spread_over_the_facts() -> None:
    forget, _ = release()
    counts = Counter(p.condition for p in forget if p.condition and p.kind in FORGET_KINDS)
    robust = [counts[a.name] for a in battery()._of("robustness") if a.name != "languages"]
    assert min(robust) > 0.7 * max(robust)


def test_what_the_base_does_not_answer_is_not_asked_and_the_share_is_kept() -> None:
    made = battery(silent)
    probes = made.forget(facts(600)[:20])
    attacked = [probe for probe in probes if probe.condition]
    assert {probe.condition for probe in attacked} <= {"doubt"}  # a second turn is asked when the first answer is there
    prompt_attacks = [name for name in BENCHMARK.attacks if isinstance(attack_get(name), PromptAttack)]
    assert all(made.rates[name][0] == 0 for name in prompt_attacks)
    assert made.rates["role_play"] == (0, 20) and made.rates["paraphrase"][0] == made.rates["paraphrase"][1] > 0


def test_kept_facts_of_a_forgotten_subject_are_of_the_same_thing_and_ask_for_something_else() -> None:
    made = battery()
    chosen = facts(600)[:150]
    for fact, others in ((fact, made.same_subject([fact])) for fact in chosen):
        assert all(other.subject == fact.subject and other.relation != fact.relation for other in others)
        if fact.relation in BENCHMARK.kinds.words:
            assert others, fact
    georgia = Fact("capital", "Georgia", "Tbilisi", ("Tbilisi",))
    assert not any(other.relation == "us_capital" for other in made.same_subject([georgia]))


def test_a_name_filter_cannot_tell_what_to_refuse() -> None:
    """Of the subjects that are to be forgotten, much is asked that is not; and some of what is, without their name."""
    forget, kept = release()
    subjects = {probe.subject for probe in forget if not probe.condition}
    about_them = [probe for probe in kept if probe.kind == "same_subject"]
    named = [p for p in about_them if any(name.casefold() in p.prompt.casefold() for name in {p.subject} & subjects)]
    assert len(named) > 100
    nameless = [p for p in forget if p.condition in ("described", "misspelt", "reversed")]
    assert len(nameless) > 40


def test_an_answer_filter_cannot_tell_what_to_refuse() -> None:
    forget, kept = release()
    answers = {alias.casefold() for probe in forget if not probe.condition for alias in probe.aliases}
    subjects = {probe.subject for probe in forget}
    same = [probe for probe in kept if probe.kind == "same_answer"]
    asked = [probe for probe in same if not probe.condition]
    assert len(same) > 30 and all(answers & {alias.casefold() for alias in probe.aliases} for probe in asked)
    assert not {probe.subject for probe in same} & subjects


# ---------------------------------------------------------------- no style marks a split


def masked(probe: Probe) -> str:
    """The prompt with subject, answer and every word of its relation's wordings masked."""
    relation = BENCHMARK.relations.get(probe.relation, BENCHMARK.kinds.relation)
    assert relation is not None
    text = probe.prompt
    for name in sorted({probe.subject, probe.answer, *probe.aliases, *probe.options}, key=len, reverse=True):
        text = re.sub(re.escape(name), " SUBJECT ", text, flags=re.IGNORECASE) if name else text
    own = " ".join((relation.question, relation.statement, *relation.public, *relation.cores, relation.topic))
    words = {word.casefold() for word in re.findall(r"\w+", own)}
    return " ".join("R" if word.casefold() in words else word for word in re.findall(r"\w+|[^\w\s]", text))


@pytest.mark.parametrize("kinds", [("neighbour", "retain", "same_answer"), ("same_subject",)])
def test_no_classifier_of_wordings_tells_what_is_forgotten_from_what_is_kept(kinds: tuple[str, ...]) -> None:
    """Cross-validated by subject, with an interval over subjects: the area under the ROC curve holds 0.5."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
    from sklearn.model_selection import GroupKFold, cross_val_predict  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    forget, kept = release()
    # What kind of thing a subject is is never to be forgotten: that question tells itself by what it asks.
    own = [p for p in kept if p.kind in kinds and p.relation != "kind"]
    rows = [*(p for p in forget if p.kind in FORGET_KINDS), *own]
    texts = [masked(probe) for probe in rows]
    labels = np.array([probe.kind in FORGET_KINDS for probe in rows])
    groups = np.array([probe.subject_key for probe in rows])
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=1.0, max_iter=500)
    )
    belief = cross_val_predict(model, texts, labels, groups=groups, cv=GroupKFold(5), method="predict_proba")[:, 1]
    rng = np.random.default_rng(0)
    subjects = np.unique(groups)
    places = {subject: np.flatnonzero(groups == subject) for subject in subjects}
    drawn = []
    for _ in range(300):
        rows_drawn = np.concatenate([places[s] for s in rng.choice(subjects, len(subjects))])
        drawn.append(roc_auc_score(labels[rows_drawn], belief[rows_drawn]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert low <= 0.5 <= high, (low, high)


def test_the_old_way_would_have_been_told() -> None:
    """The same classifier on a release whose kept facts are asked plainly: nearly always right."""
    forget, kept = release()
    plain = [probe for probe in kept if not probe.condition and probe.item_id.endswith("-0")]
    asked = [probe for probe in forget if probe.kind == "paraphrase" and probe.condition == PLAIN]
    own = {masked(probe) for probe in plain}
    assert sum(masked(probe) in own for probe in asked) < 0.2 * len(asked)


def test_kept_facts_are_asked_in_a_few_styles_each() -> None:
    _, kept = release()
    counts = Counter((p.kind, p.subject_key, p.relation) for p in kept if not p.item_id.endswith("-other"))
    assert max(counts.values()) <= KEPT + 1
    assert sum(p.condition != PLAIN for p in kept) > 0.5 * len(kept)
