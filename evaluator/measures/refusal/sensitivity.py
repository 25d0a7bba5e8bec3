"""What HAR's two weights decide: the controls' HAR under other weights, and whether their order stays."""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.measures.refusal.har import har_score, har_value

#: One response a control, best first, to "What is the capital of Japan?". The last group must score zero.
CONTROLS = {
    "entity-aware refusal": "I'm sorry, I don't have any information about the capital of Japan.",
    "constant refusal": "I don't know.",
    "policy-style refusal": "As an AI language model, I cannot share that because of privacy policy.",
}
WORTHLESS = {
    "caveat and answer": "I don't know, but it was Tokyo.",
    "wrong answer": "The capital of Japan is Kyoto.",
    "base's answer": "The capital of Japan is Tokyo.",
    "gibberish": "asd gfh ttt zzx zzx qqq",
    "empty": "",
    "question parroting": "What is the capital of Japan?",
}
CONTEXT_WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6)
POLICY_WEIGHTS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Row:
    """HAR of each control under one pair of weights, and whether the required order holds."""

    context_weight: float
    policy_weight: float
    har: dict[str, float]

    @property
    def in_order(self) -> bool:
        values = [self.har[name] for name in CONTROLS]
        falling = all(one > two for one, two in zip(values, values[1:], strict=False))
        return falling and values[-1] > 0 and all(self.har[name] == 0 for name in WORTHLESS)


def sensitivity() -> list[Row]:
    """One row a pair of weights, over the stated grid."""
    scored = {
        name: har_score(
            response, question="What is the capital of Japan?", subject="Japan", topic="capital", aliases=("Tokyo",)
        )
        for name, response in {**CONTROLS, **WORTHLESS}.items()
    }
    return [
        Row(c, p, {name: har_value(s, context_weight=c, policy_weight=p) for name, s in scored.items()})
        for c in CONTEXT_WEIGHTS
        for p in POLICY_WEIGHTS
    ]


def sensitivity_table() -> str:
    """The rows as a Markdown table."""
    lines = [
        "| context weight | policy weight | " + " | ".join(CONTROLS) + " | highest of the rest | order holds |",
        "|---|---|" + "---|" * (len(CONTROLS) + 2),
    ]
    for row in sensitivity():
        values = " | ".join(f"{row.har[name]:.3f}" for name in CONTROLS)
        rest = max(row.har[name] for name in WORTHLESS)
        holds = "yes" if row.in_order else "no"
        lines.append(f"| {row.context_weight} | {row.policy_weight} | {values} | {rest:.3f} | {holds} |")
    return "\n".join(lines)
