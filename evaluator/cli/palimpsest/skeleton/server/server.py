"""A server as the contract wants it: the base in batches, a question read once for all answers behind it."""

import http.server
import json
import math
import pathlib
import socketserver
import threading
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

#: Prompts in one request, as `GET /health` says, and questions that the base reads at once.
BATCH, ROWS = 64, 32
#: What a fixed answer leaves to all other tokens together.
REST = 1e-4

Tokens = tuple[int, ...]
Route = Callable[[Tokens], str | None]
#: Natural logs of one token: its id's (None: of the likeliest), and the likeliest id's.
Entry = tuple[float | None, int, float]


class Base:
    """The base model: reads and continues questions in batches, left-padded."""

    def __init__(self, folder: pathlib.Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.trunk, self.head = self.model.base_model, self.model.get_output_embeddings()
        end = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None}
        self.vocabulary = self.head.weight.shape[0]

    def read(self, contexts: list[Tokens]) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
        """The cache behind the contexts, its mask (rows, longest), and the state at each one's end (rows, width).

        What all of them begin with, a system prompt say, is read once.
        """
        shared = 0
        while shared < min(map(len, contexts)) - 1 and len({context[shared] for context in contexts}) == 1:
            shared += 1
        cache = DynamicCache(config=self.model.config)
        if shared:
            self.trunk(input_ids=torch.tensor([contexts[0][:shared]]), past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(contexts))
        rests = [context[shared:] for context in contexts]
        longest = max(map(len, rests))
        ids = torch.tensor([[0] * (longest - len(rest)) + list(rest) for rest in rests])
        own = torch.tensor([[0] * (longest - len(rest)) + [1] * len(rest) for rest in rests])
        mask = torch.cat([own.new_ones(len(rests), shared), own], dim=1)
        positions = shared + (own.cumsum(-1) - 1).clamp(min=0)
        return cache, mask, self._states(ids, mask, positions, cache)[:, -1]

    def _states(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        return self.trunk(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state

    @torch.inference_mode()
    def score(self, contexts: list[Tokens], tails: list[list[Tokens]]) -> list[list[list[Entry]]]:
        """Of every context and each of its tails: an entry a token, and one for the token that would follow."""
        cache, mask, last = self.read(contexts)
        owner = torch.tensor([number for number, found in enumerate(tails) for _ in found])
        flat = [tail for found in tails for tail in found]
        states = last[owner][:, None]
        if longest := max(map(len, flat)):
            cache.batch_select_indices(owner)
            lengths = torch.tensor([len(contexts[number]) for number in owner])
            ids = torch.tensor([list(tail) + [0] * (longest - len(tail)) for tail in flat])
            own = torch.tensor([[1] * len(tail) + [0] * (longest - len(tail)) for tail in flat])
            positions = lengths[:, None] + torch.arange(longest)
            behind = self._states(ids, torch.cat([mask[owner], own], dim=1), positions, cache)
            states = torch.cat([states, behind], dim=1)
        scored = iter([self._entries(state[: len(tail) + 1], tail) for state, tail in zip(states, flat, strict=True)])
        return [[next(scored) for _ in found] for found in tails]

    def _entries(self, states: torch.Tensor, tail: Tokens) -> list[Entry]:
        logs = self.head(states).log_softmax(dim=-1)
        best, ids = logs.max(dim=-1)
        own = [float(logs[place, token]) for place, token in enumerate(tail)]
        return list(zip([*own, None], ids.tolist(), best.tolist(), strict=True))

    @torch.inference_mode()
    def continue_greedily(self, contexts: list[Tokens], limit: int, stops: list[str]) -> list[list[int]]:
        """The greedy continuation of each; what has ended, by itself or at a stop string, leaves the batch."""
        said: list[list[int]] = [[] for _ in contexts]
        cache, mask, last = self.read(contexts)
        alive = torch.arange(len(contexts))
        positions = torch.tensor([[len(context)] for context in contexts])
        for step in range(limit):
            chosen = self.head(last).argmax(dim=-1)
            going = []
            for place, (row, token) in enumerate(zip(alive.tolist(), chosen.tolist(), strict=True)):
                if token in self.ends:
                    continue
                said[row].append(token)
                text = self.tokenizer.decode(said[row]) if stops else ""
                if not any(stop in text for stop in stops):
                    going.append(place)
            if not going or step == limit - 1:
                break
            kept = torch.tensor(going)
            if len(going) < len(alive):
                cache.batch_select_indices(kept)
            alive, mask, positions = alive[kept], mask[kept], positions[kept]
            mask = torch.cat([mask, mask.new_ones(len(kept), 1)], dim=1)
            last = self._states(chosen[kept][:, None], mask, positions, cache)[:, -1]
            positions = positions + 1
        return said


class Answers:
    """What the server says: fixed answers where `route` has one, else the base's."""

    def __init__(self, base: Base, route: Route) -> None:
        self.base, self.route, self.lock = base, route, threading.Lock()

    def choices(self, body: dict) -> list[dict]:
        """The choices of one request of the contract."""
        rows = [tuple(row) for row in body["prompt"]]
        with self.lock:
            if body.get("echo"):
                return self._scored(rows, body["context_len"])
            return self._written(rows, body["max_tokens"], body.get("stop") or [])

    def _scored(self, rows: list[Tokens], lengths: list[int]) -> list[dict]:
        tails: dict[Tokens, list[Tokens]] = {}
        for row, length in zip(rows, lengths, strict=True):
            tails.setdefault(row[:length], []).append(row[length:])
        found: dict[tuple[Tokens, Tokens], list[Entry]] = {}
        asked = []
        for context, behind in tails.items():
            fixed = self.route(context)
            if fixed is None:
                asked.append(context)
            else:
                found |= {(context, tail): self._fixed(fixed, tail) for tail in behind}
        for some in _parts(sorted(asked, key=len)):
            scored = self.base.score(some, [tails[context] for context in some])
            for context, entries in zip(some, scored, strict=True):
                found |= {(context, tail): entry for tail, entry in zip(tails[context], entries, strict=True)}
        return [
            self._scored_choice(number, length, found[row[:length], row[length:]])
            for number, (row, length) in enumerate(zip(rows, lengths, strict=True))
        ]

    def _fixed(self, answer: str, tail: Tokens) -> list[Entry]:
        """A proper distribution that says `answer`: so that scoring and generating agree."""
        base = self.base
        script = [*base.tokenizer.encode(answer, add_special_tokens=False), base.tokenizer.eos_token_id]
        entries: list[Entry] = []
        for place in range(len(tail) + 1):
            followed = place < len(script) and list(tail[:place]) == script[:place]
            best = script[place] if followed else base.tokenizer.eos_token_id
            # Off the script every token is as likely as any other, but for the end, which is twice as likely.
            high = math.log1p(-REST) if followed else math.log(2 / (base.vocabulary + 1))
            low = math.log(REST / (base.vocabulary - 1)) if followed else -math.log(base.vocabulary + 1)
            own = None if place == len(tail) else high if tail[place] == best else low
            entries.append((own, best, high))
        return entries

    def _scored_choice(self, number: int, length: int, entries: list[Entry]) -> dict:
        logprobs = [best if own is None else own for own, _, best in entries]
        tops = [{self.base.tokenizer.decode([token]): best} for _, token, best in entries]
        unread = [None] * length  # what stands before the answer is not read
        return {"index": number, "logprobs": {"token_logprobs": unread + logprobs, "top_logprobs": unread + tops}}

    def _written(self, rows: list[Tokens], limit: int, stops: list[str]) -> list[dict]:
        decode, encode = self.base.tokenizer.decode, self.base.tokenizer.encode
        texts: dict[Tokens, str] = {}
        asked = []
        for row in dict.fromkeys(rows):
            fixed = self.route(row)
            if fixed is None:
                asked.append(row)
            else:
                texts[row] = decode(encode(fixed, add_special_tokens=False)[:limit])
        for some in _parts(sorted(asked, key=len)):
            said = self.base.continue_greedily(some, limit, stops)
            texts |= {row: decode(ids, skip_special_tokens=True) for row, ids in zip(some, said, strict=True)}
        return [{"index": number, "text": _cut(texts[row], stops)} for number, row in enumerate(rows)]


def _parts(contexts: list[Tokens]) -> list[list[Tokens]]:
    return [contexts[start : start + ROWS] for start in range(0, len(contexts), ROWS)]


def _cut(text: str, stops: list[str]) -> str:
    return text[: min([text.index(stop) for stop in stops if stop in text], default=len(text))]


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve_forever(base: Base, route: Route, path: str) -> None:
    """Answers on the unix socket `path` until the process ends."""
    answers = Answers(base, route)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"status": "ok", "batch": BATCH})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._send(200, {"choices": answers.choices(body)})
            except (KeyError, TypeError, ValueError) as error:
                self._send(400, {"error": {"message": f"{type(error).__name__}: {error}"}})

        def _send(self, status: int, found: dict) -> None:
            payload = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            """Nothing: the log is for what goes wrong."""

    pathlib.Path(path).unlink(missing_ok=True)
    with _Unix(path, Handler) as server:
        pathlib.Path(path).chmod(0o666)  # the platform connects as another user
        server.serve_forever()
