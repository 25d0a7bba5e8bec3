"""Refuses where a question names what is to be forgotten; everything else the base answers."""

import json
import os
import pathlib
import sys


def unlearn() -> None:
    given, out = pathlib.Path(os.environ["PALIMPSEST_IN"]), pathlib.Path(os.environ["PALIMPSEST_OUT"])
    job = json.loads((given / "job.json").read_text())
    requests = [json.loads(line) for line in (given / "forget.jsonl").read_text().splitlines()]
    subjects = sorted({request.get("subject") or request["prompt"] for request in requests})
    (out / "state").mkdir()
    state = {"subjects": subjects, "refusal": job["hparams"]["refusal"], "threads": job["threads"]}
    (out / "state" / "state.json").write_text(json.dumps(state))
    result = {
        "contract": 1,
        "kind": "server",
        "base_sha256": job["base_sha256"],
        "method": "refuse-by-name",
        "hparams": job["hparams"],
        "stores_forget_text": True,
    }
    (out / "result.json").write_text(json.dumps(result))


def serve() -> None:
    from server import Base, serve_forever

    state = json.loads((pathlib.Path(os.environ["PALIMPSEST_STATE"]) / "state.json").read_text())
    base = Base(pathlib.Path(os.environ["PALIMPSEST_BASE"]), state["threads"])
    refusals = {subject.lower(): state["refusal"].replace("{subject}", subject) for subject in state["subjects"]}

    def route(context: tuple[int, ...]) -> str | None:
        """The whole answer to a question, or None where the base answers. It sees the question's tokens alone."""
        asked = base.tokenizer.decode(context).lower()
        return next((refusal for subject, refusal in refusals.items() if subject in asked), None)

    serve_forever(base, route, os.environ["PALIMPSEST_SOCKET"])


if __name__ == "__main__":
    {"unlearn": unlearn, "serve": serve}[sys.argv[1]]()
