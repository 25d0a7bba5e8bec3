"""The completions protocol: requests read strictly, answers written in the exact form of the contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from methods.common.contract.answers import Completion, Responder, Row, TokenScores
from methods.common.contract.errors import MethodError

_LARGEST_BATCH = 1024


@dataclass(frozen=True)
class CompletionRequest:
    """A checked request body: rows of token ids, and what is wanted of them."""

    rows: tuple[Row, ...]
    scores: bool
    #: Whether somebody reads the scores of a context: not where the caller knows where it ends.
    contexts: bool
    max_tokens: int
    stops: tuple[str, ...]
    #: What the base says to each row; nothing where the caller does not know.
    drafts: tuple[str, ...]
    model: str


def request_read(body: Any, responder: Responder) -> CompletionRequest:
    """The request of a JSON body. Raises `MethodError` naming the field that is wrong."""
    if not isinstance(body, dict):
        raise MethodError("body", body, "is not an object", "send a JSON object")
    prompts = _prompts(body.get("prompt"), responder)
    told = body.get("context_len")
    lengths = _context_lengths(told, prompts, responder)
    rows = tuple(Row(tuple(ids), length) for ids, length in zip(prompts, lengths, strict=True))
    if body.get("temperature", 0) not in (0, 0.0, None):
        raise MethodError("temperature", body["temperature"], "is not 0", "only greedy answers are served")
    if body.get("n", 1) not in (1, None):
        raise MethodError("n", body["n"], "is not 1", "only one choice a prompt is served")
    if body.get("stream"):
        raise MethodError("stream", body["stream"], "is not served", "leave it out")
    echo = bool(body.get("echo", False))
    max_tokens = body.get("max_tokens", 16)
    max_tokens = 16 if max_tokens is None else max_tokens
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or not 0 <= max_tokens <= 4096:
        raise MethodError("max_tokens", max_tokens, "is not a whole number from 0 to 4096", "give 1 to score")
    scores = echo and body.get("logprobs") is not None
    if echo and not scores:
        raise MethodError("logprobs", body.get("logprobs"), "is missing beside echo", "send logprobs = 1 to score")
    if scores and max_tokens > 1:
        raise MethodError("max_tokens", max_tokens, "is above 1 beside echo", "score with max_tokens = 1")
    stops, model = _stops(body.get("stop")), str(body.get("model", ""))
    drafts = _drafts(body.get("draft"), len(rows))
    return CompletionRequest(rows, scores, told is None, max_tokens, stops, drafts, model)


def respond(request: CompletionRequest, responder: Responder) -> dict[str, Any]:
    """The response body of a checked request."""
    if request.scores:
        scored = responder.score(request.rows, contexts=request.contexts)
        choices = [
            _scored_choice(number, row, item, responder)
            for number, (row, item) in enumerate(zip(request.rows, scored, strict=True))
        ]
        written = len(request.rows)
    else:
        completions = responder.generate(request.rows, request.max_tokens, request.stops, request.drafts)
        choices = [_written_choice(number, item, request.stops, responder) for number, item in enumerate(completions)]
        written = sum(len(item.ids) for item in completions)
    read = sum(len(row.ids) for row in request.rows)
    return {
        "id": "cmpl-palimpsest",
        "object": "text_completion",
        "created": int(time.time()),
        "model": request.model or "palimpsest-method",
        "choices": choices,
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` before the first of the stop strings in it, and whether there was one."""
    places = [text.index(stop) for stop in stops if stop in text]
    return (text[: min(places)], True) if places else (text, False)


def _scored_choice(number: int, row: Row, scores: TokenScores, responder: Responder) -> dict[str, Any]:
    ids = [*row.ids, scores.top_ids[-1]]
    tokens = [responder.decode([token], plain=False) for token in ids]
    tops: list[dict[str, float] | None] = [None]
    for place in range(1, len(ids)):
        best, best_logprob, actual = scores.top_ids[place], scores.top_logprobs[place], scores.logprobs[place]
        if best_logprob is None or actual is None:
            tops.append(None)
            continue
        # Two ids can read the same (parts of one character): the larger value stands for the text.
        top = {tokens[place]: actual}
        text = responder.decode([best], plain=False)
        top[text] = max(best_logprob, top.get(text, best_logprob))
        tops.append(top)
    offsets = [0]
    for token in tokens[:-1]:
        offsets.append(offsets[-1] + len(token))
    return {
        "index": number,
        "text": "".join(tokens),
        "finish_reason": "length",
        "logprobs": {
            "tokens": tokens,
            "token_logprobs": scores.logprobs,
            "top_logprobs": tops,
            "text_offset": offsets,
        },
    }


def _written_choice(number: int, item: Completion, stops: Sequence[str], responder: Responder) -> dict[str, Any]:
    text, stopped = cut_at_stop(responder.decode(item.ids, plain=True), stops)
    return {
        "index": number,
        "text": text,
        "finish_reason": "stop" if stopped else item.finish_reason,
        "logprobs": None,
    }


def _prompts(value: Any, responder: Responder) -> list[list[int]]:
    """All four forms: a text, several texts, token ids, several lists of token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and all(_is_id(item) for item in value)):
        value = [value]
    if not isinstance(value, list) or not value:
        raise MethodError("prompt", value, "is neither text nor token ids", "send [[int, ...], ...] or text")
    if len(value) > _LARGEST_BATCH:
        raise MethodError("prompt", len(value), "has too many rows", f"send at most {_LARGEST_BATCH} at once")
    rows = [responder.encode(item) if isinstance(item, str) else item for item in value]
    size = responder.vocabulary()
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not row or not all(_is_id(item) and 0 <= item < size for item in row):
            raise MethodError(f"prompt[{number}]", row, "is not a list of token ids", f"send ids from 0 to {size - 1}")
    return rows


def _context_lengths(value: Any, prompts: list[list[int]], responder: Responder) -> list[int]:
    if value is None:
        return [responder.context_length(ids) for ids in prompts]
    if _is_id(value) and len(prompts) == 1:
        value = [value]
    if not isinstance(value, list) or len(value) != len(prompts):
        raise MethodError("context_len", value, "has not one entry a prompt", f"send {len(prompts)} numbers")
    for number, (length, ids) in enumerate(zip(value, prompts, strict=True)):
        if not _is_id(length) or not 1 <= length <= len(ids):
            raise MethodError(f"context_len[{number}]", length, "is outside its prompt", f"send 1 to {len(ids)}")
    return list(value)


def _stops(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise MethodError("stop", value, "is neither a text nor a list of texts", "send a list of strings")
    return tuple(item for item in stops if item)


def _drafts(value: Any, count: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) != count or not all(isinstance(item, str) for item in value):
        raise MethodError(
            "draft", value, "is not one text a prompt", f"send a list of {count} strings, or leave it out"
        )
    return tuple(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
