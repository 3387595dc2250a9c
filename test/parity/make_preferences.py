"""Writes losses and gradients of preference pairs and of distillation, by TRL's formulas with torch and PEFT, for parity tests.

usage: python make_preferences.py BASE_DIR PARITY_DIR SEED      (PARITY_DIR holds lora_qv_r8 and lora_all_rs)
needs: torch, transformers, peft, safetensors

PARITY_DIR/preferences/expected.safetensors
    ids.<row>, prompt [rows]            rows 2p and 2p + 1 are the chosen and the rejected answer of pair p; tokens from prompt[row] on are learned
    reference [rows]                    sums of the base's log-probabilities
    <case>.loss, <case>.grad.<key>      of lora_qv_r8; for preferences also <case>.margins: the rewards' margin of each pair

Formulas: trl/trainer/dpo_trainer.py (loss_type sigmoid, ipo), trl/trainer/cpo_trainer.py (simpo); KL as torch.nn.functional.kl_div, times T squared.
"""
import sys, torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel, get_peft_model_state_dict
base_dir, parity, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(2)
g = torch.Generator().manual_seed(seed)
load = lambda: AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32, attn_implementation="eager")
vocab = load().config.vocab_size
rows, prompts = [], []
for prompt_length, lengths in [(5, (4, 7)), (8, (3, 3)), (4, (9, 2))]:
    prompt = torch.randint(3, vocab, (prompt_length,), generator=g)
    for length in lengths:
        rows.append(torch.cat([prompt, torch.randint(3, vocab, (length,), generator=g)])); prompts.append(prompt_length)
model = PeftModel.from_pretrained(load(), f"{parity}/lora_qv_r8", is_trainable=True); model.eval()
teacher = PeftModel.from_pretrained(load(), f"{parity}/lora_all_rs"); teacher.eval()

def scored(m, row, prompt):
    """Logits of the positions before the learned tokens, and those tokens."""
    return m(input_ids=row[None]).logits[0, prompt - 1 : -1], row[prompt:]
def logps(m):
    out = []
    for row, prompt in zip(rows, prompts):
        logits, labels = scored(m, row, prompt)
        out.append(logits.log_softmax(-1).gather(-1, labels[:, None])[:, 0])
    return out
with torch.no_grad(), model.disable_adapter(): reference = logps(model)
sums = lambda parts: torch.stack([p.sum() for p in parts])
means = lambda parts: torch.stack([p.mean() for p in parts])
def sigmoid(beta, smoothing=0.0, free=False):
    policy, ref = sums(logps(model)), sums(reference)
    logits = (policy[0::2] - policy[1::2]) - (0 if free else ref[0::2] - ref[1::2])
    losses = -F.logsigmoid(beta * logits) * (1 - smoothing) - F.logsigmoid(-beta * logits) * smoothing
    return losses.mean(), beta * logits
def ipo(beta):
    policy, ref = means(logps(model)), means(reference)
    logits = (policy[0::2] - policy[1::2]) - (ref[0::2] - ref[1::2])
    return ((logits - 1 / (2 * beta)) ** 2).mean(), beta * logits
def simpo(beta, gamma):
    policy = means(logps(model))
    logits = policy[0::2] - policy[1::2]
    return -F.logsigmoid(beta * (logits - gamma / beta)).mean(), beta * logits
def distilled(T, share, top=0):
    """Mean over all learned tokens; with `top` the teacher's likeliest tokens and one bucket for the rest."""
    parts = []
    for row, prompt in zip(rows, prompts):
        logits, labels = scored(model, row, prompt)
        with torch.no_grad(): p = (scored(teacher, row, prompt)[0] / T).softmax(-1)
        q = (logits / T).softmax(-1)
        if top:
            values, ids = p.topk(top)
            p = torch.cat([values, 1 - values.sum(-1, keepdim=True)], -1)
            chosen = q.gather(-1, ids)
            q = torch.cat([chosen, 1 - chosen.sum(-1, keepdim=True)], -1)
        kl = F.kl_div(q.log(), p, reduction="none").sum(-1)
        parts.append(share * T * T * kl + (1 - share) * F.cross_entropy(logits, labels, reduction="none"))
    return torch.cat(parts).mean(), None
cases = {
    "dpo": lambda: sigmoid(0.3),
    "dpo-smoothed": lambda: sigmoid(0.5, smoothing=0.1),
    "dpo-free": lambda: sigmoid(0.2, free=True),
    "ipo": lambda: ipo(0.2),
    "simpo": lambda: simpo(2.0, 1.0),
    "distillation": lambda: distilled(2.0, 0.7),
    "distillation-top": lambda: distilled(1.5, 1.0, top=6),
}
names = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
e = {f"ids.{i}": row for i, row in enumerate(rows)}
e |= {"prompt": torch.tensor(prompts), "reference": sums(reference)}
for name, make in cases.items():
    model.zero_grad()
    loss, margins = make(); loss.backward()
    e[f"{name}.loss"] = loss.detach().reshape(1)
    if margins is not None: e[f"{name}.margins"] = margins.detach()
    for key, p in names.items(): e[f"{name}.grad.{key}"] = p.grad.clone()
    print(name, "loss %.6f" % loss.item(), [round(x, 4) for x in margins.tolist()] if margins is not None else "")
save_file({k: v.contiguous() for k, v in e.items()}, f"{parity}/preferences/expected.safetensors")
