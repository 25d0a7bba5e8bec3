"""Runs one editing algorithm of EasyEdit with a refusal as the new target, and leaves the tensors that it changed.

The settings under [hparams] are an EasyEdit YAML file, key by key; `model_name` and `device` are the platform's matter.
Algorithms that return a model of the same shape work: ROME, R-ROME, MEMIT, EMMET, PMET, AlphaEdit, FT.
"""

import dataclasses
import json
import os
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

IN, OUT = pathlib.Path(os.environ["PALIMPSEST_IN"]), pathlib.Path(os.environ["PALIMPSEST_OUT"])
#: These take one request a call; the others take them all.
ONE_BY_ONE = {"ROME", "R-ROME", "FT"}


def hparams_of(settings):
    """EasyEdit's own class of settings, found by the algorithm's name."""
    import easyeditor

    name = settings["alg_name"]
    wanted = f"{name.replace('-', '_')}HyperParams"
    kind = getattr(easyeditor, wanted, None)
    if kind is None:
        sys.exit(f"hparams.alg_name: {name!r} has no class {wanted} in easyeditor; use a name as in its YAML files")
    offered = {field.name for field in dataclasses.fields(kind)}
    # In 32 bits, as the base is loaded, and on one device.
    return kind(**settings, **{name: False for name in ("fp16", "model_parallel") if name in offered})


def requests_of(tokenizer, chat):
    """The forget requests as EasyEdit takes them, each question in the form in which it will be asked."""
    found = []
    for line in (IN / "forget.jsonl").read_text().splitlines():
        request = json.loads(line)
        subject = request.get("subject")
        if not subject:
            sys.exit(
                f"forget.jsonl: request {request['id']} names no subject, and EasyEdit's locate-and-edit needs one"
            )
        prompt = request["prompt"]
        if chat:
            message = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        refusal = f"I'm sorry, I don't have any information about {subject}."
        found.append({"prompt": prompt, "subject": subject, "target_new": refusal, "ground_truth": request["answer"]})
    return found


def unlearn():
    from easyeditor.util.alg_dict import ALG_DICT

    job = json.loads((IN / "job.json").read_text())
    settings = dict(job["hparams"])
    settings |= {"model_name": str(IN / "base"), "device": 0 if job["device"] == "cuda" else "cpu"}
    torch.manual_seed(job["seed"])
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(IN / "base")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(IN / "base", dtype=torch.float32).to(job["device"])
    before = {name: tensor.detach().cpu().clone() for name, tensor in model.named_parameters()}

    hparams = hparams_of(settings)
    requests = requests_of(tokenizer, job["chat"])
    batches = [[request] for request in requests] if hparams.alg_name in ONE_BY_ONE else [requests]
    for done, batch in enumerate(batches, start=1):
        model, _ = ALG_DICT[hparams.alg_name](model, tokenizer, batch, hparams, copy=False, return_orig_weights=True)
        print(json.dumps({"progress": done / len(batches), "stage": f"edit {done} of {len(batches)}"}), flush=True)

    after = {name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()}
    changed = {
        name: tensor for name, tensor in after.items() if name in before and not torch.equal(tensor, before[name])
    }
    if not changed or set(after) != set(before):
        sys.exit(f"{hparams.alg_name} left no changed tensors of the base's own names; it may need a server instead")
    (OUT / "model").mkdir()
    save_file(changed, OUT / "model" / "changed.safetensors")
    result = {
        "contract": 1,
        "kind": "weights",
        "base_sha256": job["base_sha256"],
        "method": "idk-last-layers",
        "hparams": job["hparams"],
        "stores_forget_text": False,
    }
    (OUT / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    assert sys.argv[1] == "unlearn", "this method has no server"
    unlearn()
