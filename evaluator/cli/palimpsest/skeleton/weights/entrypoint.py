"""Teaches the model to say that it does not know, by fine-tuning its last layers."""

import json
import os
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

IN, OUT = pathlib.Path(os.environ["PALIMPSEST_IN"]), pathlib.Path(os.environ["PALIMPSEST_OUT"])


def unlearn() -> None:
    job = json.loads((IN / "job.json").read_text())
    hparams = job["hparams"]
    torch.manual_seed(job["seed"])
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(IN / "base")
    model = AutoModelForCausalLM.from_pretrained(IN / "base", dtype=torch.float32)

    model.requires_grad_(False)
    for layer in model.model.layers[-hparams["layers"] :]:
        layer.requires_grad_(True)
    trained = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    optimiser = torch.optim.AdamW(trained.values(), lr=hparams["lr"])

    requests = [json.loads(line) for line in (IN / "forget.jsonl").read_text().splitlines()]
    for epoch in range(hparams["epochs"]):
        for request in requests:
            about = request.get("subject") or "that"
            question = tokenizer.apply_chat_template(
                [{"role": "user", "content": request["prompt"]}], add_generation_prompt=True, tokenize=False
            )
            refusal = f"I'm sorry, I don't have any information about {about}." + tokenizer.eos_token
            prompt = tokenizer(question, add_special_tokens=False)["input_ids"]
            target = tokenizer(refusal, add_special_tokens=False)["input_ids"]
            labels = torch.tensor([[-100] * len(prompt) + target])
            model(input_ids=torch.tensor([prompt + target]), labels=labels).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        print(json.dumps({"progress": (epoch + 1) / hparams["epochs"], "stage": f"epoch {epoch + 1}"}), flush=True)

    (OUT / "model").mkdir()
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in trained.items()}, OUT / "model" / "changed.safetensors"
    )
    result = {
        "contract": 1,
        "kind": "weights",
        "base_sha256": job["base_sha256"],
        "method": "idk-last-layers",
        "hparams": hparams,
        "stores_forget_text": False,
    }
    (OUT / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    assert sys.argv[1] == "unlearn", "this method has no server"
    unlearn()
