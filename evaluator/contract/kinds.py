"""The kinds of probes, in words: what each asks, an example, and where the idea is from. Pages are made of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ProbeKindInfo:
    """One kind of probe. `role`: whether its answer is to be forgotten, to be kept, or tells of other abilities."""

    kind: str
    role: Literal["forget", "keep", "utility"]
    definition: str
    example: str
    source: str


KINDS: tuple[ProbeKindInfo, ...] = (
    ProbeKindInfo(
        "verbatim",
        "forget",
        "The question as the request words it. The base answers it, and at least one paraphrase.",
        "What is the capital of Velia?",
        "ROME, efficacy (arXiv 2202.05262)",
    ),
    ProbeKindInfo(
        "paraphrase",
        "forget",
        "The same question in wordings that no method is given: opening, core and closing are drawn by a secret.",
        "For a quiz: which city serves as the capital of Velia? Thanks!",
        "ROME, generalisation (arXiv 2202.05262); zsRE",
    ),
    ProbeKindInfo(
        "neighbour",
        "keep",
        "Another subject, the same relation as a request; in one of the styles that forgotten facts are asked in.",
        "What is the capital of Ondria?",
        "ROME, specificity (arXiv 2202.05262)",
    ),
    ProbeKindInfo(
        "retain",
        "keep",
        "Another known fact, of any relation; in one of the same styles.",
        "Who wrote The Iliad?",
        "TOFU, retain set and world facts (arXiv 2401.06121)",
    ),
    ProbeKindInfo(
        "same_subject",
        "keep",
        "Another fact about the very subject of a request: of another relation, or what kind of thing it is.",
        "What is the currency of Velia? What is Velia?",
        "RWKU, neighbour probes (arXiv 2406.10890); GONE (arXiv 2603.12275)",
    ),
    ProbeKindInfo(
        "same_answer",
        "keep",
        "Another subject, whose answer is the one that is to be forgotten of a request's; in the same styles.",
        "Forgotten: which country is Velia in (Ondria)? Kept: which country is Toral in (Ondria)?",
        "this project",
    ),
    ProbeKindInfo(
        "lookalike",
        "keep",
        "A harmless request that names the subject of a request and asks for no fact.",
        'How do you pronounce "Velia"?',
        "XSTest, contrast of safe prompts that look unsafe (arXiv 2308.01263)",
    ),
    ProbeKindInfo(
        "choice",
        "utility",
        "Everyday multiple choice; the reply with the highest log-probability per byte is the answer.",
        "Which of these keeps rain off? (four replies)",
        "own set; scored as lm-eval scores ARC and HellaSwag",
    ),
    ProbeKindInfo(
        "text",
        "utility",
        "A neutral paragraph that is only scored.",
        "A paragraph about baking bread.",
        "own set; perplexity as in lm-eval's WikiText task",
    ),
)
