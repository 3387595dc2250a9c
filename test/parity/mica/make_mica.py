"""PEFT's LoRA with init_lora_weights="mica": its start, gradients, three steps of AdamW and logits.

usage: python make_mica.py STORIES260K_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them, A with noise
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key>, adamw_losses, after3.<key>, merged_logits
B, which is not trained, is as it started.
"""

import json
import os
import sys
import warnings

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")
stories, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
COMMON = dict(task_type=TaskType.CAUSAL_LM, lora_alpha=6, init_lora_weights="mica")
CASES = {
    "linear": LoraConfig(
        r=3, target_modules=["k_proj", "down_proj", "up_proj"], layers_to_transform=[1], **COMMON
    ),
    "embedding": LoraConfig(r=2, target_modules=["embed_tokens"], **COMMON),
}


def load():
    return AutoModelForCausalLM.from_pretrained(
        stories, dtype=torch.float32, attn_implementation="eager"
    )


def list_own(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def to_keys(model, values):
    names = {key.replace(".default", "") for key in values}
    found = get_peft_model_state_dict(
        model, state_dict={**model.state_dict(), **values}, save_embedding_layers=False
    )
    return {key: value for key, value in found.items() if key in names}


for name, config in CASES.items():
    torch.manual_seed(seed)
    model = get_peft_model(load(), config)
    for parameter in list_own(model).values():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    folder = f"{out}/{name}"
    model.save_pretrained(folder, save_embedding_layers=False)
    if os.path.exists(f"{folder}/README.md"):
        os.remove(f"{folder}/README.md")
    settings = json.load(open(f"{folder}/adapter_config.json"))
    settings["base_model_name_or_path"] = os.path.basename(stories.rstrip("/"))
    json.dump(settings, open(f"{folder}/adapter_config.json", "w"), indent=2, sort_keys=True)
    ids = torch.randint(3, 512, (2, 12), generator=torch.Generator().manual_seed(seed))
    labels = ids.clone()
    labels[:, :4] = -100
    model = PeftModel.from_pretrained(load(), folder, is_trainable=True)
    model.eval()
    own = list_own(model)
    optimizer = torch.optim.AdamW(
        list(own.values()), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    expected = {"input_ids": ids, "labels": labels}
    losses = []
    for step in range(3):
        model.zero_grad()
        seen = model(input_ids=ids, labels=labels, use_cache=False)
        seen.loss.backward()
        if step == 0:
            expected["logits"] = seen.logits
            expected["loss"] = seen.loss.reshape(1)
            grads = to_keys(model, {n: p.grad for n, p in own.items()})
            expected.update({f"grad.{key}": v for key, v in grads.items()})
        losses.append(seen.loss.detach())
        optimizer.step()
    expected["adamw_losses"] = torch.stack(losses)
    expected.update({f"after3.{key}": v for key, v in to_keys(model, own).items()})
    merged = PeftModel.from_pretrained(load(), folder).merge_and_unload().eval()
    with torch.no_grad():
        expected["merged_logits"] = merged(input_ids=ids, use_cache=False).logits
    tensors = {k: v.detach().contiguous().clone() for k, v in expected.items()}
    save_file(tensors, f"{folder}/expected.safetensors")
    print(name, torch.stack(losses).tolist(), sorted(own))
versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
json.dump({**versions, "seed": seed}, open(f"{out}/versions.json", "w"))
