"""The engine on small real models: the numbers of lm-eval's `hf`, the text of `generate`, in any layout."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from evaluator.model.engine.lm import EvaluatorLM  # noqa: E402
from evaluator.model.engine.parity import parity  # noqa: E402
from evaluator.model.engine.primitives import PrimitiveStore  # noqa: E402
from evaluator.model.local import LocalModel, weights_sha256  # noqa: E402

VOCABULARY = 300


class Letters:
    """A tokenizer of single characters: enough for `LocalModel`, and its text shows the tokens."""

    eos_token_id = 0
    pad_token_id = 0
    name_or_path = "letters"

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [1 + ord(c) % (VOCABULARY - 1) for c in text]

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(0x100 + t) for t in tokens if t or not skip_special_tokens)


LETTERS: Any = Letters()


def llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=0,
        bos_token_id=None,
        **changes,
    )
    return LlamaForCausalLM(config).eval()


def others() -> dict[str, Any]:
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "bos_token_id": None,
        "eos_token_id": 0,
        "initializer_range": 0.3,
    }
    return {
        "gpt2": GPT2LMHeadModel(GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=512, **small)).eval(),
        "gpt-neox": GPTNeoXForCausalLM(
            GPTNeoXConfig(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, **small)
        ).eval(),
        "mistral with a window": MistralForCausalLM(
            MistralConfig(
                hidden_size=48,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                sliding_window=16,
                **small,
            )
        ).eval(),
    }


def pairs_of(count: int, seed: int = 1) -> list[tuple[list[int], list[int]]]:
    rng = random.Random(seed)
    system = [rng.randrange(1, VOCABULARY) for _ in range(8)]
    prompts = [system + [rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(2, 30))] for _ in range(6)]
    return [
        (list(rng.choice(prompts)), [rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(1, 25))])
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox", "mistral with a window"])
def test_packed_and_plain_scores_agree_on_every_family(name: str) -> None:
    model = llama() if name == "llama" else others()[name]
    under_test = LocalModel(model, LETTERS)
    pairs = pairs_of(40)
    found = parity(under_test.score, under_test.score_plain, pairs)
    assert found.worst <= 1e-4 and found.same_greedy
    assert under_test.shares == (name != "mistral with a window"), "a window of attention must not be packed"


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox", "mistral with a window"])
def test_greedy_text_is_that_of_generate_one_prompt_at_a_time(name: str) -> None:
    model = llama() if name == "llama" else others()[name]
    under_test = LocalModel(model, LETTERS)
    prompts = [context for context, _ in pairs_of(12, seed=4)]
    texts = under_test.generate(prompts, max_tokens=20, stop=[])
    for prompt, text in zip(prompts, texts, strict=True):
        out = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=20, pad_token_id=0)
        assert text == LETTERS.decode(out[0, len(prompt) :].tolist(), skip_special_tokens=True)


def test_logits_that_a_family_caps_or_scales_are_the_models_own() -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        initializer_range=0.5,
        final_logit_softcapping=3.0,
        attn_logit_softcapping=None,
        eos_token_id=0,
    )
    model = Gemma2ForCausalLM(config).eval()
    context, continuation = pairs_of(1)[0]
    scored = LocalModel(model, LETTERS).score([(context, continuation)])[0]
    with torch.no_grad():
        row = model(torch.tensor([context])).logits[0, -1].log_softmax(-1)
    assert scored.logprobs[0] == pytest.approx(float(row[continuation[0]]), abs=1e-4)


def test_a_model_whose_head_is_not_understood_is_refused_by_name() -> None:
    class Doubled(LlamaForCausalLM):
        def forward(self, *arguments: Any, **named: Any) -> Any:
            out = super().forward(*arguments, **named)
            out.logits = out.logits * 2
            return out

    model = Doubled(llama().config).eval()
    with pytest.raises(ValueError, match="model: llama changes its logits"):
        LocalModel(model, LETTERS).score(pairs_of(2))


def test_a_row_that_ends_early_does_not_change_the_others() -> None:
    under_test = LocalModel(llama(), LETTERS)
    prompts = [context for context, _ in pairs_of(10, seed=5)]
    free = under_test.generate(prompts, max_tokens=24, stop=[])
    stop = [free[0][2]]
    cut = under_test.generate(prompts, max_tokens=24, stop=stop)
    assert cut == [text.split(stop[0])[0] for text in free]
    assert len(set(map(len, cut))) > 1


def test_scores_equal_those_of_lm_evals_hf_model(toy_home: Path) -> None:
    base = toy_home / "models" / "toy-llama"
    from evaluator.model.local import model_load

    tokenizer, model = AutoTokenizer.from_pretrained(base), model_load(base)
    lm = EvaluatorLM(LocalModel(model, tokenizer), tokenizer)
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu")
    words = [w for w in tokenizer.get_vocab() if w.isalpha()][:40]
    rng = random.Random(0)

    def sentence(size: int) -> str:
        return " ".join(rng.choice(words) for _ in range(size))

    prompts = [sentence(n) for n in (3, 9, 5, 14)]
    asked = [(prompt, " " + sentence(n)) for prompt in prompts for n in (1, 2, 7)]
    requests = [Instance("loglikelihood", {}, one, n) for n, one in enumerate(asked)]
    for (ours, greedy), (theirs, theirs_greedy) in zip(
        lm.loglikelihood(requests), reference.loglikelihood(requests), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-4) and greedy == theirs_greedy
    rolling = [Instance("loglikelihood_rolling", {}, (sentence(30),), 0)]
    assert lm.loglikelihood_rolling(rolling) == pytest.approx(reference.loglikelihood_rolling(rolling), abs=1e-3)
    options = {"until": [words[0]], "max_gen_toks": 12, "do_sample": False}
    wanted = [Instance("generate_until", {}, (prompt, dict(options)), n) for n, prompt in enumerate(prompts)]
    assert lm.generate_until(wanted) == reference.generate_until(wanted)


def test_a_line_break_of_the_chat_template_is_no_token_of_the_answer(toy_home: Path) -> None:
    from evaluator.model.local import model_load

    base = toy_home / "models" / "toy-llama"
    tokenizer, model = AutoTokenizer.from_pretrained(base), model_load(base)
    lm = EvaluatorLM(LocalModel(model, tokenizer), tokenizer)
    words = sorted(w for w in tokenizer.get_vocab() if w.isalpha())
    prompt, answer = f"{words[0]} {words[1]}\n", f"{words[2]} {words[3]}"
    lm.loglikelihood([Instance("loglikelihood", {}, (prompt, answer), 0)])
    own = lm.tok_encode(answer)
    whole = lm.tok_encode(prompt) + own
    with torch.no_grad():
        log_probs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    expected = [float(log_probs[len(whole) - len(own) + n - 1, token]) for n, token in enumerate(own)]
    assert lm.answered(prompt, answer).logprobs == pytest.approx(expected, abs=1e-4)
    assert len(lm.scored[(prompt, answer)].logprobs) > len(own), "lm-eval counts the line break with the answer"


def test_texts_longer_than_the_model_are_cut_as_lm_evals_hf_model_cuts_them(toy_home: Path) -> None:
    from evaluator.model.local import model_load

    base = toy_home / "models" / "toy-llama"
    tokenizer, model = AutoTokenizer.from_pretrained(base), model_load(base)
    model.config.max_position_embeddings = 24
    lm = EvaluatorLM(LocalModel(model, tokenizer), tokenizer)
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu")
    words = sorted(w for w in tokenizer.get_vocab() if w.isalpha())[:40]
    long = " ".join(words)
    assert lm.max_length == reference.max_length == 24 < len(lm.tok_encode(long))
    scored = [Instance("loglikelihood", {}, (long, f" {words[3]} {words[5]}"), 0)]
    assert lm.loglikelihood(scored)[0][0] == pytest.approx(reference.loglikelihood(scored)[0][0], abs=1e-4)
    rolling = [Instance("loglikelihood_rolling", {}, (long,), 0)]
    assert lm.loglikelihood_rolling(rolling) == pytest.approx(reference.loglikelihood_rolling(rolling), abs=1e-3)
    wanted = [Instance("generate_until", {}, (long, {"until": [], "max_gen_toks": 8, "do_sample": False}), 0)]
    assert lm.generate_until(wanted) == reference.generate_until(wanted)


def test_what_leaves_no_room_for_a_prompt_is_refused_by_name() -> None:
    lm = EvaluatorLM(LocalModel(llama(), LETTERS), LETTERS)
    with pytest.raises(ValueError, match=f"max_tokens: is {lm.max_length}"):
        lm.generate(["abc"], max_tokens=lm.max_length)
    with pytest.raises(ValueError, match="continuation: 'bbb"):
        lm.loglikelihood([Instance("loglikelihood", {}, ("a", "b" * (lm.max_length + 1)), 0)])


def test_scores_repeat_bit_for_bit_and_do_not_depend_on_the_order_of_requests() -> None:
    pairs = pairs_of(60)
    first = LocalModel(llama(), LETTERS).score(pairs)
    again = LocalModel(llama(), LETTERS).score(list(reversed(pairs)))[::-1]
    assert first == again


def test_primitives_follow_from_the_models_own_distribution() -> None:
    model = llama()
    context, continuation = pairs_of(1)[0]
    scored = LocalModel(model, LETTERS).score([(context, continuation)])[0]
    with torch.no_grad():
        log_probs = model(torch.tensor([context + continuation])).logits[0].log_softmax(-1)
    for t, token in enumerate(continuation):
        row = log_probs[len(context) + t - 1]
        assert scored.logprobs[t] == pytest.approx(float(row[token]), abs=1e-5)
        assert scored.ranks[t] == int((row > row[token]).sum()) + 1
        assert scored.hits[t] == (int(row.argmax()) == token)
        assert scored.means[t] == pytest.approx(float((row.exp() * row).sum()), abs=1e-4)
        spread = float((row.exp() * row.square()).sum() - (row.exp() * row).sum().square())
        assert scored.variances[t] == pytest.approx(spread, abs=1e-3)


class Counting:
    """A subject that counts what it is asked, around a real one; it can be stopped after some calls."""

    def __init__(self, inner: LocalModel, *, calls: int = 10**9) -> None:
        self.inner, self.calls, self.pairs = inner, calls, 0
        self.max_tokens = inner.max_tokens

    def score(self, pairs: Any) -> Any:
        if self.calls <= 0:
            raise KeyboardInterrupt
        self.calls -= 1
        self.pairs += len(pairs)
        return self.inner.score(pairs)

    def generate(self, prompts: Any, *, max_tokens: int, stop: Any, drafts: Any = ()) -> Any:
        return self.inner.generate(prompts, max_tokens=max_tokens, stop=stop, drafts=drafts)


def test_a_stopped_measurement_goes_on_where_it_was_and_ends_bit_for_bit_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluator.model.engine.lm.SCORED_CHUNK", 16)
    model, pairs = llama(), pairs_of(60)
    fingerprint = weights_sha256(model)
    whole = EvaluatorLM(LocalModel(model, LETTERS), LETTERS).score(pairs)
    stopped = Counting(LocalModel(model, LETTERS), calls=2)
    store = PrimitiveStore(tmp_path / "own.sqlite")
    with pytest.raises(KeyboardInterrupt):
        EvaluatorLM(stopped, LETTERS, store=store, fingerprint=fingerprint).score(pairs)
    store.close()
    resumed = Counting(LocalModel(model, LETTERS))
    lm = EvaluatorLM(
        resumed,
        LETTERS,
        store=PrimitiveStore(tmp_path / "own.sqlite"),
        fingerprint=fingerprint,
    )
    assert lm.score(pairs) == whole
    assert resumed.pairs == len({(tuple(c), tuple(a)) for c, a in pairs}) - 2 * 16


def test_the_bases_own_answers_are_shared_and_those_of_other_weights_are_not(tmp_path: Path) -> None:
    base, pairs = llama(), pairs_of(20)
    store = PrimitiveStore(tmp_path / "release.sqlite")
    first = EvaluatorLM(LocalModel(base, LETTERS), LETTERS, store=store, fingerprint=weights_sha256(base))
    scored, texts = first.score(pairs), first.generate(["abc", "xyz"], max_tokens=5)
    store.close()
    shared = tmp_path / "release.sqlite"

    def ask(model: Any, name: str) -> tuple[int, Any, Any]:
        counting = Counting(LocalModel(model, LETTERS))
        own = PrimitiveStore(tmp_path / name, shared=shared)
        lm = EvaluatorLM(counting, LETTERS, store=own, fingerprint=weights_sha256(model))
        return counting.pairs, lm.score(pairs), lm.generate(["abc", "xyz"], max_tokens=5)

    counting = Counting(LocalModel(base, LETTERS))
    own = PrimitiveStore(tmp_path / "same.sqlite", shared=shared)
    lm = EvaluatorLM(counting, LETTERS, store=own, fingerprint=weights_sha256(base))
    assert (lm.score(pairs), lm.generate(["abc", "xyz"], max_tokens=5)) == (scored, texts)
    assert counting.pairs == 0
    changed = llama()
    with torch.no_grad():
        next(changed.parameters()).add_(0.05)
    assert ask(changed, "other.sqlite")[1] != scored


def test_a_store_without_a_fingerprint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fingerprint: is empty"):
        EvaluatorLM(LocalModel(llama(), LETTERS), LETTERS, store=PrimitiveStore(tmp_path / "s.sqlite"))


def test_a_task_that_samples_is_refused_by_name() -> None:
    lm = EvaluatorLM(LocalModel(llama(), LETTERS), LETTERS)
    request = Instance("generate_until", {}, ("abc", {"do_sample": True, "temperature": 0.7}), 0)
    with pytest.raises(ValueError, match="do_sample"):
        lm.generate_until([request])


def test_the_same_prompt_with_other_limits_is_another_request() -> None:
    lm = EvaluatorLM(LocalModel(llama(), LETTERS), LETTERS)
    long, short = lm.generate(["abcdef"], max_tokens=9)[0], lm.generate(["abcdef"], max_tokens=3)[0]
    assert len(long) > len(short) and long.startswith(short)


def test_weights_that_give_nan_are_scored_as_nan_and_never_as_a_number() -> None:
    model = llama()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    under_test = LocalModel(model, LETTERS)
    assert not under_test.shares, "a model that fails the parity check goes the plain way"
    scored = under_test.score(pairs_of(3))
    assert all(value != value for one in scored for value in one.logprobs)
    assert not any(hit for one in scored for hit in one.hits)
