"""Makes the golden files: runs the public tools' own functions and keeps their answers beside the primitives.

Needs checkouts of the tools at the commits in `COMMITS` and a base model; needed only to make the files anew:

    python tests/evaluator/measures/metrics/golden/make.py \\
        --open-unlearning DIR --tofu DIR --muse DIR --easyedit DIR --base DIR

The tools' files are imported as they are. Packages that their imports name but these functions do not use are empty
stand-ins. The model runs in double precision, so that a difference is one of definition and not of rounding.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

COMMITS = {
    "open-unlearning": "locuslab/open-unlearning d3d7cf9e6b3c125d16687d4232680d8d83548f1a",
    "tofu": "locuslab/tofu bdc209ea7c6cc2e7079ea1afb6468d3ddcc65f8e",
    "muse": "swj0419/muse_bench fcd6651da8bcf34744fb9a1cc69bb856ab3eb277",
    "easyedit": "zjunlp/EasyEdit 14cea8245f06715684592ab55184939b99d70784",
}
HERE = Path(__file__).parent
#: What the tools are asked: questions, their answers in two wordings, wrong answers; pairs of texts for ROUGE.
ROWS = json.loads((HERE / "rows.json").read_text(encoding="utf-8"))
FORGET = [(row["question"], row["answer"], row["paraphrase"], row["wrong"]) for row in ROWS["forget"]]
HOLDOUT = [(row["question"], row["answer"]) for row in ROWS["holdout"]]
PAIRS = [(pair["response"], pair["reference"]) for pair in ROWS["pairs"]]


def stand_in(name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update({"__path__": [], **attributes})
    sys.modules[name] = module


def package(name: str, folder: Path, **attributes: Any) -> None:
    """A package whose modules are found but whose own `__init__` is not run: it would import trainers."""
    stand_in(name, **attributes)
    sys.modules[name].__path__ = [str(folder)]


def module_at(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def plain(value: Any) -> Any:
    """JSON with ten significant digits."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.10g}") if math.isfinite(value) else None
    return value


def write(name: str, tools: tuple[str, ...], note: str, body: dict[str, Any]) -> None:
    head = {"tools": [COMMITS[tool] for tool in tools], "made_by": "golden/make.py", "note": note}
    text = json.dumps(plain({"provenance": head, **body}), ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text.replace('},{"', '},\n{"') + "\n", encoding="utf-8")


class Base:
    """The model in double precision, with the primitives of given tokens."""

    def __init__(self, folder: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        self.model.eval()

    def chat(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        """(prompt ids, label ids) as open-unlearning labels: answer, the template's tail, and an end of sequence."""
        asked = [{"role": "user", "content": question}]
        prompt = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        whole = self.tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": answer}], tokenize=False)
        ids = self.tokenizer(whole, add_special_tokens=False)["input_ids"] + [self.tokenizer.eos_token_id]
        start = len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        return ids[:start], ids[start:]

    def primitives(self, prompt: list[int], labels: list[int]) -> dict[str, Any]:
        with torch.no_grad():
            logits = self.model(torch.tensor([prompt + labels])).logits[0, len(prompt) - 1 : -1]
        every = torch.log_softmax(logits, dim=-1)
        mean = (every.exp() * every).sum(-1)
        return {
            "logprobs": every[range(len(labels)), labels].tolist(),
            "hits": (every.argmax(-1) == torch.tensor(labels)).tolist(),
            "means": mean.tolist(),
            "variances": ((every.exp() * every.square()).sum(-1) - mean.square()).tolist(),
            "argmax": every.argmax(-1).tolist(),
        }


def open_unlearning(folder: Path, base: Base) -> None:
    package("data", folder / "src/data", get_datasets=None, get_collators=None)
    package("evals", folder / "src/evals")
    package("evals.metrics", folder / "src/evals/metrics")
    stand_in("omegaconf", OmegaConf=None)
    memorization = importlib.import_module("evals.metrics.memorization")
    privacy = importlib.import_module("evals.metrics.privacy")
    utility = importlib.import_module("evals.metrics.utility")
    attacks = importlib.import_module("evals.metrics.mia")
    collator = importlib.import_module("data.collators").DataCollatorForSupervisedDataset(base.tokenizer, index="index")
    # Another token than the end of sequence pads, so that no token is masked: masks are the engine's matter.
    base.tokenizer.pad_token = "<|endoftext|>"
    assert base.tokenizer.pad_token_id not in (base.tokenizer.eos_token_id, *base.chat("a", "b")[0])

    def instance(index: int, question: str, answer: str) -> dict[str, Any]:
        prompt, labels = base.chat(question, answer)
        ids = torch.tensor(prompt + labels)
        return {"input_ids": ids, "labels": torch.tensor([-100] * len(prompt) + labels), "index": index}

    def run(metric: Any, data: Any, **more: Any) -> Any:
        return metric._metric_fn(base.model, data=data, collators=collator, batch_size=2, **more)

    right = [instance(i, q, a) for i, (q, a, *_) in enumerate(FORGET)]
    other = [instance(i, q, p) for i, (q, _, p, _) in enumerate(FORGET)]
    wrong = [{str(j): instance(i, q, a) for j, a in enumerate(w)} for i, (q, _, _, w) in enumerate(FORGET)]
    held = [instance(i, q, a) for i, (q, a) in enumerate(HOLDOUT)]
    probability = memorization.probability
    pre = {"correct": run(probability, other), "wrong": run(probability, wrong)}
    ratios = {
        name: memorization.truth_ratio._metric_fn(base.model, pre_compute=pre, aggregator=name)
        for name in ("closer_to_1_better", "true_better", "prob_mean")
    }
    both = {"forget": right, "holdout": held}
    told: dict[str, Any] = {
        "probability": run(probability, right),
        "paraphrase_probability": pre["correct"],
        "probability_w_options": memorization.probability_w_options._metric_fn(base.model, pre_compute=pre),
        "truth_ratio": ratios,
        "exact_memorization": run(memorization.exact_memorization, right),
        "extraction_strength": run(memorization.extraction_strength, right),
        "mia_loss": run(attacks.mia_loss, both),
        "mia_zlib": run(attacks.mia_zlib, both, tokenizer=base.tokenizer),
        "mia_min_k": run(attacks.mia_min_k, both, k=0.4),
        "mia_min_k_plus_plus": run(attacks.mia_min_k_plus_plus, both, k=0.4),
    }

    def primitives(question: str, answer: str) -> dict[str, Any]:
        prompt, labels = base.chat(question, answer)
        found = base.primitives(prompt, labels)
        return found | {"text": base.tokenizer.decode(labels, skip_special_tokens=True)}

    draws = random.Random(7)
    samples = []
    for n, m, shift in ((5, 3, 0.5), (40, 37, 0.0), (40, 40, 0.4), (60, 45, 3.0), (20, 20, 0.0)):
        a = [round(draws.lognormvariate(0, 1), 3 if shift else 0) for _ in range(n)]
        b = [round(draws.lognormvariate(shift, 1), 3 if shift else 0) for _ in range(m)]
        by_index: list[Any] = [{"value_by_index": {i: {"score": x} for i, x in enumerate(side)}} for side in (a, b)]
        logs = {"retain_model_logs": {"retain": by_index[1]}}
        found = privacy.ks_test._metric_fn(None, pre_compute={"forget": by_index[0]}, reference_logs=logs)
        samples.append({"a": a, "b": b, "p_value": found["agg_value"]})
    parts = [[draws.uniform(0.05, 1) for _ in range(9)] for _ in range(3)] + [[0.5] * 8 + [0.0]]
    utilities = [
        {
            "parts": values,
            "value": utility.hm_aggregate._metric_fn(
                None, pre_compute={str(i): {"agg_value": v} for i, v in enumerate(values)}
            )["agg_value"],
        }
        for values in parts
    ]
    relative = []
    for auc, retain in ((0.9, 0.45), (0.2, 0.45), (0.5, None)):
        logs = {"retain_model_logs": {"retain": {"agg_value": retain}}} if retain else {}
        asked: dict[str, Any] = {
            "pre_compute": {"forget": {"agg_value": auc}},
            "reference_logs": logs,
            "ref_value": 0.5,
        }
        names = ("privleak", "rel_diff")
        relative.append(
            {"auc": auc, "retain": retain}
            | {name: getattr(privacy, name)._metric_fn(None, **asked)["agg_value"] for name in names}
        )
    write(
        "open_unlearning",
        ("open-unlearning",),
        "SmolLM2-135M-Instruct in double precision, batch 2, correct attention mask; labels end with the template's "
        "tail and an end of sequence",
        {
            "forget": [
                {
                    "answer": primitives(q, a),
                    "paraphrase": primitives(q, p),
                    "wrong": [primitives(q, x) for x in w],
                }
                for q, a, p, w in FORGET
            ],
            "holdout": [primitives(q, a) for q, a in HOLDOUT],
            "told": told,
            "ks": samples,
            "model_utility": utilities,
            "relative": relative,
        },
    )


def rouges(ou: Path, muse: Path) -> None:
    """open-unlearning's own ROUGE, around a model that says what it is told, and MUSE's logger."""
    utils: Any = importlib.import_module("evals.metrics.utils")
    utils.OmegaConf = types.SimpleNamespace(to_container=lambda value, resolve: dict(value))
    logger = module_at("muse_logger", muse / "metrics/logger.py").RougeEvalLogger()
    found = []
    for response, reference in PAIRS:
        texts = {1: "question ", 2: reference, 3: response, 0: ""}

        class Speller:
            eos_token_id = 9

            def batch_decode(self, rows: Any, _texts: dict[int, str] = texts, **_: Any) -> list[str]:
                return ["".join(_texts[int(i)] for i in row) for row in rows]

            def decode(self, ids: Any) -> str:
                return "<eos>"

        class Speaker:
            device = "cpu"

            def generate(self, ids: Any, **_: Any) -> Any:
                return torch.tensor([[1, 3]])

        batch = {"input_ids": torch.tensor([[1]]), "labels": torch.tensor([[-100, 2]]), "attention_mask": torch.ones(1)}
        ours = utils.eval_text_similarity(Speaker(), Speller(), batch, {})[0]
        logger.log("", reference, response)
        kept = ("rouge1_recall", "rougeL_f1", "rougeL_recall")
        muse_kept = ("rougeL", "rougeL_recall", "rouge1", "rouge1_recall")
        found.append(
            {
                "response": response,
                "reference": reference,
                "open_unlearning": {name: ours[name] for name in kept},
                "muse": {name: logger.history[-1][name] for name in muse_kept},
            }
        )
    write("rouge", ("open-unlearning", "muse"), "rouge_score 0.1.2 with and without its stemmer", {"pairs": found})


def muse(folder: Path, base: Base) -> None:
    privleak = module_at("muse_privleak", folder / "metrics/privleak.py")
    texts = {"forget": [a for _, a, *_ in FORGET], "holdout": [a for _, a in HOLDOUT]}
    # Its `eval` asks a list for its keys and fails; these are the two functions that it calls. A text too short for
    # 40 % of its tokens scores NaN there, which its AUC refuses: such an item is left out.
    log = {side: privleak.eval_data(items, base.model, base.tokenizer) for side, items in texts.items()}
    aucs = {}
    for kind in ("PPL", "PPL/lower", "PPL/zlib", "Min-40%"):
        scores = [np.array([x[kind] for x in log[side] if math.isfinite(x[kind])]) for side in ("forget", "holdout")]
        labels = np.array([0] * len(scores[0]) + [1] * len(scores[1]))
        aucs[kind] = privleak.sweep(np.concatenate(scores), labels)[2]

    def logprobs(text: str) -> list[float]:
        ids = base.tokenizer.encode(text)
        found: list[float] = base.primitives(ids[:1], ids[1:])["logprobs"]
        return found

    items = {
        side: [
            {"text": t, "logprobs": logprobs(t), "lowered": logprobs(t.lower()), "told": told}
            for t, told in zip(texts[side], log[side], strict=True)
        ]
        for side in texts
    }
    write("muse", ("muse",), "SmolLM2-135M-Instruct in double precision; AUC is 1 minus ours", {**items, "auc": aucs})


def tofu(folder: Path) -> None:
    stand_in("natsort", natsorted=sorted)
    utils = module_at("tofu_utils", folder / "utils.py")
    draws = random.Random(11)

    def log(items: int) -> dict[str, Any]:
        return {
            "avg_gt_loss": {str(i): draws.uniform(0.1, 4) for i in range(items)},
            "average_perturb_loss": {str(i): [draws.uniform(0.5, 5) for _ in range(3)] for i in range(items)},
            "avg_paraphrased_loss": {str(i): draws.uniform(0.2, 4) for i in range(items)},
            "rougeL_recall": {str(i): draws.random() for i in range(items)},
        }

    names = ("eval_log_forget", "eval_log", "eval_real_author_wo_options", "eval_real_world_wo_options")
    result, retrained = ({f"{name}.json": log(9) for name in names} for _ in range(2))
    told = utils.get_model_utility(result) | utils.get_forget_quality(result, retrained)
    write(
        "tofu",
        ("tofu",),
        "utils.py on drawn losses; forget quality uses geometric means, truth ratios arithmetic ones",
        {"result": result, "retrained_forget": retrained["eval_log_forget.json"], "told": told},
    )


def easyedit(folder: Path, base: Base) -> None:
    nltk: Any = importlib.import_module("nltk")
    package("easyeditor", folder / "easyeditor")
    package("easyeditor.evaluate", folder / "easyeditor/evaluate")
    stand_in("easyeditor.util")
    stand_in("easyeditor.util.generate", generate_fast=None)
    stand_in("easyeditor.util.device", normalize_device=lambda device: device)
    stand_in("easyeditor.trainer")
    stand_in("openai", OpenAI=None)
    utils = importlib.import_module("easyeditor.evaluate.evaluate_utils")
    hparams = types.SimpleNamespace(max_length=64)
    targets = [(q, a) for q, a, *_ in FORGET]

    def tokens(locality: bool) -> list[Any]:
        call: Callable[..., Any] = utils.test_prediction_acc
        return [call(base.model, base.tokenizer, hparams, q, a, "cpu", locality=locality)[0] for q, a in targets]

    def hits(question: str, answer: str) -> list[bool]:
        start = len(base.tokenizer(question)["input_ids"])
        ids = base.tokenizer(f"{question} {answer}")["input_ids"]
        found: list[bool] = base.primitives(ids[:start], ids[start:])["hits"]
        return found

    accuracy, before = tokens(False), tokens(True)
    kept = [hits(q, a) for q, a in targets]
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in base.model.parameters():
            weight.add_(0.2 * weight.std() * torch.randn_like(weight))
    after = tokens(True)
    agreement = [float(np.mean(np.equal(one, two))) for one, two in zip(before, after, strict=True)]
    nltk.word_tokenize = str.split
    words = [
        "a b c a b c a b d",
        "the cat sat on the mat and the cat sat down",
        "x x x x x x",
        "one two three",
        "one two",
    ]
    entropies = [utils.n_gram_entropy([text]) for text in words]
    write(
        "easyedit",
        ("easyedit",),
        "SmolLM2-135M-Instruct in double precision; `after` is the same with noise in its weights; words are split at "
        "spaces, for want of NLTK's punkt model",
        {
            "accuracy": [{"hits": h, "told": t} for h, t in zip(kept, accuracy, strict=True)],
            "locality": [
                {"before": b, "after": a, "told": t} for b, a, t in zip(before, after, agreement, strict=True)
            ],
            "entropy": [{"words": text.split(), "told": t} for text, t in zip(words, entropies, strict=True)],
            "fluency": utils.n_gram_entropy(words),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("open-unlearning", "tofu", "muse", "easyedit", "base"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    base = Base(str(given.base))
    open_unlearning(given.open_unlearning, base)
    rouges(given.open_unlearning, given.muse)
    muse(given.muse, base)
    tofu(given.tofu)
    easyedit(given.easyedit, base)


if __name__ == "__main__":
    main()
