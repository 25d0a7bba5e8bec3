"""How a question becomes tokens and a response becomes tokens, and how a question is read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.common.contract.errors import MethodError

_USER, _REPLY, _AGAIN = "QUESTIONONE", "RESPONSEONE", "QUESTIONTWO"


def tokenizer_load(base_dir: Path) -> Any:
    """The tokenizer of a base directory, from local files only."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - loads transformers

    try:
        return AutoTokenizer.from_pretrained(base_dir, local_files_only=True, trust_remote_code=False)  # nosec B615 # a local folder
    except (OSError, ValueError) as error:
        raise MethodError(
            "base", str(base_dir), f"holds no readable tokenizer: {error}", "add its tokenizer files"
        ) from None


@dataclass(frozen=True)
class Turn:
    """One earlier exchange that is shown before a question."""

    question: str
    response: str


class ChatForm:
    """The form in which questions are asked: the model's chat template, or plain text.

    With `chat` a question is a user turn after the system prompt (the template's own when
    `system_prompt` is None) and the response starts right behind the assistant header, without a
    space. Without it the question is the raw text, and the response follows one space.
    """

    def __init__(self, tokenizer: Any, *, chat: bool, system_prompt: str | None) -> None:
        if chat and not getattr(tokenizer, "chat_template", None):
            raise MethodError("job.json.chat", chat, "needs a chat template that the base lacks", "set chat to false")
        self.tokenizer = tokenizer
        self.chat = chat
        self.system_prompt = system_prompt
        self.end_ids = self._end_ids()
        if chat:
            self._header, self._footer = self._markers()

    def prompt_text(self, question: str, earlier: Sequence[Turn] = ()) -> str:
        if not self.chat:
            shown = "".join(f"{turn.question} {turn.response}\n\n" for turn in earlier)
            return shown + question
        messages = self._system()
        for turn in earlier:
            messages += [_message("user", turn.question), _message("assistant", turn.response)]
        return self._render([*messages, _message("user", question)], open_turn=True)

    def prompt_ids(self, question: str, earlier: Sequence[Turn] = ()) -> list[int]:
        """Token ids of a question up to where its response starts."""
        return self.encode(self.prompt_text(question, earlier))

    def encode(self, text: str) -> list[int]:
        """A template's text carries its own special tokens; plain text is given those of the tokenizer."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=not self.chat)["input_ids"]
        return ids

    def response_ids(self, response: str, *, closed: bool = True) -> list[int]:
        """Token ids of a response, by default with the token that ends the turn."""
        text = response if self.chat else " " + response
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.end_ids[0]] if closed and self.end_ids else ids

    def decode(self, ids: Sequence[int], *, plain: bool = True) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=plain, clean_up_tokenization_spaces=False)
        return text

    def questions(self, context_ids: Sequence[int]) -> list[str]:
        """The user turns of a conversation, the newest first; the whole text if it has no such form."""
        text = self.decode(context_ids, plain=False)
        if not self.chat or self._header not in text:
            return [self.decode(context_ids).strip()]
        turns = text.split(self._header)[1:]
        ending = self._footer.split("\n")[0] or self._footer
        return [turn.split(ending)[0].strip() for turn in reversed(turns)]

    def question_start(self, context_ids: Sequence[int]) -> int:
        """How many first ids are those that every prompt begins with: the system prompt and a user's header."""
        first, second = self.prompt_ids("One?"), self.prompt_ids("Why not two?")
        shared = 0
        while shared < min(len(first), len(second), len(context_ids)) - 1 and (
            first[shared] == second[shared] == context_ids[shared]
        ):
            shared += 1
        return shared

    def context_length(self, ids: Sequence[int]) -> int:
        """Up to and including the last assistant header, else all: for callers that do not say where."""
        if self.chat:
            footer = self.tokenizer(self._footer, add_special_tokens=False)["input_ids"]
            for start in range(len(ids) - len(footer), -1, -1):
                if list(ids[start : start + len(footer)]) == footer:
                    return start + len(footer)
        return len(ids)

    def _system(self) -> list[dict[str, str]]:
        return [_message("system", self.system_prompt)] if self.system_prompt is not None else []

    def _render(self, messages: list[dict[str, str]], *, open_turn: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_turn)
        return text

    def _end_ids(self) -> tuple[int, ...]:
        """The token that closes an assistant turn first, then the tokenizer's end of sequence."""
        found: list[int] = []
        if self.chat:
            messages = [*self._system(), _message("user", _USER), _message("assistant", _REPLY)]
            tail = self._render(messages, open_turn=False).split(_REPLY)[-1]
            ids = self.tokenizer(tail, add_special_tokens=False)["input_ids"]
            found += ids[:1]
        if self.tokenizer.eos_token_id is not None:
            found.append(int(self.tokenizer.eos_token_id))
        return tuple(dict.fromkeys(found))

    def _markers(self) -> tuple[str, str]:
        """The text right before a user's words, common to a first and a later turn, and right after them."""
        first = self._render([*self._system(), _message("user", _USER)], open_turn=True)
        messages = [*self._system(), _message("user", _USER), _message("assistant", _REPLY), _message("user", _AGAIN)]
        later = self._render(messages, open_turn=True)
        before_first = first.split(_USER)[0]
        before_later = later.split(_REPLY)[1].split(_AGAIN)[0]
        common = 0
        while common < min(len(before_first), len(before_later)) and (
            before_first[-common - 1] == before_later[-common - 1]
        ):
            common += 1
        # A template that writes nothing before a user's words has no header; the empty string would split badly.
        header = before_later[len(before_later) - common :] or before_first or "\n"
        return header, first.split(_USER)[1]


def _message(role: str, content: str | None) -> dict[str, str]:
    return {"role": role, "content": content or ""}
