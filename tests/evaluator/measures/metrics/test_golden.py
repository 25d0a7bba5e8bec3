"""Our numbers are the public tools' own: their answers, stored beside the primitives, agree to 1e-5.

`golden/make.py` says how the files were made, from which commits.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from evaluator.measures.metrics import easyedit, membership
from evaluator.measures.metrics import open_unlearning as ou
from evaluator.measures.metrics.text import rouge
from evaluator.measures.metrics.tokens import (
    exact_memorization,
    extraction_strength,
    mean_token_logprob,
    sequence_probability,
)

TOLERANCE = 1e-5


def golden(name: str) -> Any:
    return json.loads((Path(__file__).parent / "golden" / f"{name}.json").read_text(encoding="utf-8"))


def near(value: float | None, told: float) -> bool:
    return value is not None and math.isclose(value, told, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def mean(primitives: dict[str, Any]) -> float:
    found = mean_token_logprob(primitives["logprobs"])
    assert found is not None
    return found


OU = golden("open_unlearning")


def told(metric: str, index: int, key: str = "score") -> Any:
    return OU["told"][metric]["value_by_index"][str(index)][key]


@pytest.mark.parametrize("index", range(len(OU["forget"])))
def test_every_item_scores_as_open_unlearning_scores_it(index: int) -> None:
    item = OU["forget"][index]
    answer = item["answer"]
    assert near(sequence_probability(answer["logprobs"]), told("probability", index, "prob"))
    assert near(-mean(answer), told("probability", index, "avg_loss"))
    em = exact_memorization(answer["hits"], compat="open-unlearning")
    assert near(em, told("exact_memorization", index))
    es = extraction_strength(answer["hits"], compat="open-unlearning")
    assert near(es, told("extraction_strength", index))
    right, wrong = mean(item["paraphrase"]), [mean(one) for one in item["wrong"]]
    options = ou.probability_w_options(right, wrong, compat="open-unlearning")
    assert near(options, told("probability_w_options", index, "prob"))
    ratios = OU["told"]["truth_ratio"]
    ratio = ou.truth_ratio([right], wrong, compat="open-unlearning")
    assert near(ratio, ratios["true_better"]["value_by_index"][str(index)]["score"])
    share = ou.truth_share([right], wrong, compat="open-unlearning")
    assert near(share, ratios["prob_mean"]["value_by_index"][str(index)]["score"])


@pytest.mark.parametrize("name", ["closer_to_1_better", "true_better", "prob_mean"])
def test_the_truth_ratio_of_a_set_is_open_unlearnings(name: ou.Aggregator) -> None:
    of_item = ou.truth_share if name == "prob_mean" else ou.truth_ratio
    values = [
        of_item([mean(item["paraphrase"])], [mean(one) for one in item["wrong"]], compat="open-unlearning")
        for item in OU["forget"]
    ]
    found = ou.truth_ratio_mean(values, name, compat="open-unlearning")
    assert near(found, OU["told"]["truth_ratio"][name]["agg_value"])


def attack(metric: str, item: dict[str, Any]) -> float | None:
    logprobs = item["logprobs"]
    match metric:
        case "mia_loss":
            return membership.loss_score(logprobs)
        case "mia_zlib":
            return membership.zlib_score(logprobs, item["text"])
        case "mia_min_k":
            return membership.min_k_score(logprobs, compat="open-unlearning")
    return membership.min_k_plus_plus_score(logprobs, item["means"], item["variances"], compat="open-unlearning")


@pytest.mark.parametrize("metric", ["mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus"])
def test_attacks_score_every_item_and_set_as_open_unlearning_does(metric: str) -> None:
    said = OU["told"][metric]
    scores: dict[str, list[float]] = {"forget": [], "holdout": []}
    for side, items in (("forget", [item["answer"] for item in OU["forget"]]), ("holdout", OU["holdout"])):
        for index, item in enumerate(items):
            score = attack(metric, item)
            assert score is not None and near(score, said[side]["value_by_index"][str(index)]["score"])
            scores[side].append(score)
    assert near(membership.membership_auc(scores["forget"], scores["holdout"]), said["auc"])


@pytest.mark.parametrize("sample", OU["ks"], ids=lambda sample: f"{len(sample['a'])}v{len(sample['b'])}")
def test_forget_quality_has_scipys_exact_p_value_ties_included(sample: dict[str, Any]) -> None:
    p = ou.forget_quality(sample["a"], sample["b"]).p_value
    assert math.isclose(p, sample["p_value"], rel_tol=1e-9)


def test_model_utility_is_scipys_harmonic_mean_of_the_nine_parts() -> None:
    for case in OU["model_utility"]:
        assert near(ou.model_utility(dict(zip(ou.UTILITY_PARTS, case["parts"], strict=True))), case["value"])


def test_leak_against_the_retrained_model_is_open_unlearnings_with_its_assumed_half_where_none_is_given() -> None:
    for case in OU["relative"]:
        assert near(membership.privleak(case["auc"], case["retain"], compat="open-unlearning"), case["privleak"])
        assert near(membership.rel_diff(case["auc"], case["retain"], compat="open-unlearning"), case["rel_diff"])


@pytest.mark.parametrize("pair", golden("rouge")["pairs"], ids=lambda pair: pair["response"][:12] or "empty")
def test_rouge_is_open_unlearnings_with_a_stemmer_and_muses_without(pair: dict[str, Any]) -> None:
    stemmed, plain = (rouge(pair["response"], pair["reference"], stemmer=stemmer) for stemmer in (True, False))
    said, muse = pair["open_unlearning"], pair["muse"]
    assert near(stemmed.rouge1_recall, said["rouge1_recall"])
    assert near(stemmed.rouge_l_recall, said["rougeL_recall"]) and near(stemmed.rouge_l_f1, said["rougeL_f1"])
    assert near(plain.rouge1_f1, muse["rouge1"]) and near(plain.rouge1_recall, muse["rouge1_recall"])
    assert near(plain.rouge_l_f1, muse["rougeL"]) and near(plain.rouge_l_recall, muse["rougeL_recall"])


def test_muse_scores_and_aucs_are_muses_own_its_auc_turned_round() -> None:
    muse = golden("muse")
    scores: dict[str, dict[str, list[float]]] = {"forget": {}, "holdout": {}}
    for side, found in scores.items():
        for item in muse[side]:
            ours = {
                "PPL": membership.loss_score(item["logprobs"]),
                "PPL/lower": membership.lower_case_score(item["logprobs"], item["lowered"]),
                "PPL/zlib": membership.zlib_score(item["logprobs"], item["text"]),
            }
            for percent in (5, 10, 20, 30, 40, 50, 60):
                ours[f"Min-{percent}%"] = membership.min_k_score(item["logprobs"], share=percent / 100, compat="muse")
            for name, score in ours.items():
                # The tool's mean of no token is NaN, kept as null: ours is "not run".
                assert (score is None and item["told"][name] is None) or near(score, item["told"][name]), name
                if score is not None:
                    found.setdefault(name, []).append(score)
    for name, auc in muse["auc"].items():
        assert near(1 - membership.membership_auc(scores["forget"][name], scores["holdout"][name]), auc)


def test_tofus_own_script_gives_these_truth_ratios_utility_and_forget_quality() -> None:
    tofu = golden("tofu")
    names = {"retain": "eval_log", "real_authors": "eval_real_author_wo_options"}
    names |= {"world_facts": "eval_real_world_wo_options", "forget": "eval_log_forget"}
    labels = {"retain": "Retain", "real_authors": "Real Authors", "world_facts": "Real World", "forget": "Forget"}
    parts: dict[str, float | None] = {}
    for data, file in names.items():
        log = tofu["result"][f"{file}.json"]
        items = log["avg_gt_loss"].keys()
        wrong = {i: [-loss for loss in log["average_perturb_loss"][i]] for i in items}
        ratios = [ou.truth_ratio([-log["avg_paraphrased_loss"][i]], wrong[i], compat="tofu") for i in items]
        ratio = ou.truth_ratio_mean(ratios, "closer_to_1_better" if data == "forget" else "true_better")
        assert near(ratio, tofu["told"][f"{labels[data]} Truth Ratio"])
        if data == "retain":
            probabilities: list[float | None] = [math.exp(-log["avg_gt_loss"][i]) for i in items]
        else:
            probabilities = [ou.probability_w_options(-log["avg_gt_loss"][i], wrong[i], compat="tofu") for i in items]
        if data != "forget":
            parts[f"{data}_truth_ratio"] = ratio
            parts[f"{data}_probability"] = ou.item_mean("probability", probabilities)
            parts[f"{data}_rouge"] = ou.item_mean("rouge", list(log["rougeL_recall"].values()))
    assert near(ou.model_utility(parts), tofu["told"]["Model Utility"])

    def geometric(log: dict[str, Any]) -> list[float | None]:
        wrong = {i: [-loss for loss in losses] for i, losses in log["average_perturb_loss"].items()}
        return [ou.truth_ratio([-loss], wrong[i]) for i, loss in log["avg_paraphrased_loss"].items()]

    quality = ou.forget_quality(geometric(tofu["result"]["eval_log_forget.json"]), geometric(tofu["retrained_forget"]))
    assert near(quality.p_value, tofu["told"]["Forget Quality"])
    assert near(quality.statistic, tofu["told"]["KS Test Forget"])


def test_easyedits_token_accuracy_locality_and_fluency_are_ours() -> None:
    said = golden("easyedit")
    assert any(case["told"] not in (0, 1) for case in said["accuracy"])
    assert any(case["told"] not in (0, 1) for case in said["locality"])
    for case in said["accuracy"]:
        assert near(easyedit.token_accuracy(case["hits"]), case["told"])
    for case in said["locality"]:
        assert near(easyedit.locality(case["before"], case["after"]), case["told"])
    for case in said["entropy"]:
        assert near(easyedit.n_gram_entropy(case["words"]), case["told"])
    assert near(easyedit.fluency([case["words"] for case in said["entropy"]]), said["fluency"])
