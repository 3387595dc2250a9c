"""Writes reference results of PEFT for adapters of an embedding and of the head that may share it.

usage: python make_tied.py STORIES260K_DIR ARCHITECTURES_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key>, adamw_losses, after3.<key>, merged_logits

Rows of tokens have the keys that they have beside a LoRA. A tied head has no gradient of its own: those of its copies are added to the embedding's. PEFT keeps
the LoRA of a tied head in the embedding's memory as parameters of their own; they are one here.
merged_logits are the logits: PEFT merges a tied LoRA twice.
"""

import json
import os
import re
import sys
import warnings

import peft
import torch
import transformers
from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    TrainableTokensConfig,
    get_peft_model,
    get_peft_model_state_dict,
)
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")
stories, architectures, out, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
torch.set_num_threads(1)
TIED, UNTIED = f"{architectures}/llama_tied_headdim", f"{architectures}/llama"
TASK = dict(task_type=TaskType.CAUSAL_LM)
FEW = dict(TASK, r=2, lora_alpha=4, target_modules=["q_proj"], layers_to_transform=[1])
TWO = {"embed_tokens": [7, 3, 309], "lm_head": [7, 20]}
ensure = dict(ensure_weight_tying=True)
# name: base, configuration, whether the head is the embedding's
CASES = {
    "kind": (stories, TrainableTokensConfig(token_indices=[7, 3, 309], **TASK), True),
    "kind_untied": (
        UNTIED,
        TrainableTokensConfig(
            token_indices=[7, 3, 309], target_modules=["embed_tokens", "lm_head"], **TASK
        ),
        False,
    ),
    "kind_head": (
        stories,
        TrainableTokensConfig(token_indices=[7, 309], target_modules=["lm_head"], **TASK),
        False,
    ),
    "tokens_two": (stories, LoraConfig(trainable_token_indices=TWO, **FEW), False),
    "tokens_same": (
        stories,
        LoraConfig(trainable_token_indices={"embed_tokens": [7, 3], "lm_head": [7, 3]}, **FEW),
        True,
    ),
    "tokens_untied": (UNTIED, LoraConfig(trainable_token_indices=TWO, **FEW), False),
    "targets": (
        stories,
        LoraConfig(**{**FEW, "target_modules": ["q_proj", "lm_head"], "r": 3}, **ensure),
        True,
    ),
    "targets_regex": (
        stories,
        LoraConfig(
            **TASK, r=2, lora_alpha=4, target_modules=r".*(1\.self_attn\.q_proj|embed_tokens)", **ensure
        ),
        True,
    ),
    "saved": (TIED, LoraConfig(modules_to_save=["lm_head"], **FEW, **ensure), True),
    "saved_two": (TIED, LoraConfig(modules_to_save=["embed_tokens", "lm_head"], **FEW), False),
}


def load(base):
    return AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager"
    )


def list_own(model, tied):
    """Trained parameters, each once."""
    return {
        name: p
        for name, p in model.named_parameters()
        if p.requires_grad and not (tied and "lm_head" in name)
    }


def add_head(model):
    """Adds the gradients of a tied head's LoRA to the embedding's, whose memory it shares."""
    grads = {name: p.grad for name, p in model.named_parameters() if "lm_head.lora_" in name}
    for name, p in model.named_parameters():
        for mine, head in (("lora_embedding_A", "lora_B"), ("lora_embedding_B", "lora_A")):
            if f"embed_tokens.{mine}." in name:
                p.grad += grads[f"base_model.model.lm_head.{head}.default.weight"].t()


def to_keys(model, values, tied):
    found = get_peft_model_state_dict(
        model, state_dict={**model.state_dict(), **values}, save_embedding_layers=False
    )
    return {
        re.sub(r"(?<!token_adapter)\.(trainable_tokens_delta)$", r".token_adapter.\1", key): v
        for key, v in found.items()
        if not (tied and ".lm_head." in key)
    }


for name, (base, config, tied) in CASES.items():
    torch.manual_seed(seed)
    model = get_peft_model(load(base), config)
    for _, parameter in list_own(model, tied).items():
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    folder = f"{out}/{name}"
    model.save_pretrained(folder, save_embedding_layers=False)
    if os.path.exists(f"{folder}/README.md"):
        os.remove(f"{folder}/README.md")
    settings = json.load(open(f"{folder}/adapter_config.json"))
    settings["base_model_name_or_path"] = os.path.basename(base.rstrip("/"))
    json.dump(settings, open(f"{folder}/adapter_config.json", "w"), indent=2, sort_keys=True)
    ids = torch.randint(3, 320, (2, 12), generator=torch.Generator().manual_seed(seed))
    ids[0, 2], ids[0, 7], ids[1, 5], ids[1, 11] = 7, 3, 309, 7
    labels = ids.clone()
    labels[:, :4] = -100
    model = PeftModel.from_pretrained(load(base), folder, is_trainable=True)
    model.eval()
    own = list_own(model, tied)
    has_lora = any("lm_head.lora_" in n for n, _ in model.named_parameters())
    optimizer = torch.optim.AdamW(
        list(own.values()), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    expected = {"input_ids": ids, "labels": labels}
    losses = []
    for step in range(3):
        model.zero_grad()
        seen = model(input_ids=ids, labels=labels, use_cache=False)
        seen.loss.backward()
        if tied and has_lora:
            add_head(model)
        if step == 0:
            expected["logits"] = expected["merged_logits"] = seen.logits
            expected["loss"] = seen.loss.reshape(1)
            grads = to_keys(model, {n: p.grad for n, p in own.items()}, tied)
            expected.update({f"grad.{key}": v for key, v in grads.items()})
        losses.append(seen.loss.detach())
        if name != "saved_two":
            optimizer.step()
    if name != "saved_two":
        expected["adamw_losses"] = torch.stack(losses)
        expected.update({f"after3.{k}": v for k, v in to_keys(model, {}, tied).items()})
    tensors = {k: v.detach().contiguous().clone() for k, v in expected.items()}
    save_file(tensors, f"{folder}/expected.safetensors")
    print(name, torch.stack(losses).tolist(), sorted(own))
versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
json.dump({**versions, "seed": seed}, open(f"{out}/versions.json", "w"))
