"""Train the detector: the labelled train part and a penalised linear model, the same every time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluator.home import write_atomically
from evaluator.measures.refusal.detector import UNIT, WEIGHTS, Detector
from evaluator.measures.refusal.features import features
from evaluator.measures.refusal.labelled import Label, Labelled, labelled_read
from evaluator.measures.refusal.rules import CONTENTS, Content

CONTENT_OF: dict[Label, Content] = {
    "refusal_good": "refusal",
    "refusal_generic": "refusal",
    "refusal_policy": "policy",
    "partial": "partial",
    "leak": "answer",
    "hallucination": "answer",
    "aside": "aside",
    "normal": "answer",
    "gibberish": "gibberish",
    "parroting": "parroting",
}
#: Inverse penalty, by cross-validation over subjects on the train part.
STRENGTH = 0.5
#: A feature is kept when this many of the labelled responses have it.
SEEN = 2


def fit(rows: Sequence[Labelled], *, strength: float = STRENGTH) -> Detector:
    """The detector of these rows: softmax regression with an L2 penalty, solved to a tight tolerance, then rounded.

    Made-up training responses (refusals joined to answers, shuffled words, cut tails) were tried; by
    cross-validation over subjects each kind made the detector worse, so there are none.
    """
    from sklearn.feature_extraction import DictVectorizer  # type: ignore[import-untyped]  # noqa: PLC0415 - loads scikit-learn
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # noqa: PLC0415 - loads scikit-learn

    found = [features(row.reading) for row in rows]
    seen = Counter(name for one in found for name in one)
    columns = DictVectorizer(sort=True)
    matrix = columns.fit_transform(
        [{name: value for name, value in one.items() if seen[name] >= SEEN} for one in found]
    )
    model = LogisticRegression(C=strength, tol=1e-7, max_iter=5_000)
    model.fit(matrix, np.array([CONTENTS.index(CONTENT_OF[row.label]) for row in rows]))
    names = ["bias", *columns.get_feature_names_out()]
    weights = np.vstack([model.intercept_, model.coef_.T])
    # Softmax scores keep their meaning when a constant is taken from all seven; so each row is centred.
    weights = np.rint((weights - weights.mean(axis=1, keepdims=True)) * UNIT).astype(np.int32)
    heavy = [row for row in range(len(names)) if row == 0 or np.abs(weights[row]).max() >= UNIT // 50]
    return Detector([names[row] for row in heavy], weights[heavy])


def weights_text(trained: Detector) -> str:
    """The weights as JSON, one feature a line."""
    lines = ",\n".join(
        f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(trained.weights[row].tolist(), separators=(',', ':'))}"
        for name, row in trained.rows.items()
    )
    return f'{{"unit": {UNIT}, "contents": {json.dumps(list(CONTENTS))}, "weights": {{\n{lines}\n}}}}\n'


def refusal_train(path: Path = WEIGHTS) -> Detector:
    """Train on the train part of the labelled set and write the weights; the same bytes every time on one machine;
    on another a weight may differ by a few thousandths.
    """
    trained = fit([row for row in labelled_read() if row.part == "train"])
    write_atomically(path, weights_text(trained))
    return trained
