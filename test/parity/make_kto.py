"""Writes losses and gradients of KTO, by TRL's formula with torch and PEFT, for parity tests.

usage: python make_kto.py BASE_DIR PARITY_DIR      (PARITY_DIR holds lora_qv_r8 and preferences)
needs: torch, transformers, peft, safetensors

PARITY_DIR/kto/expected.safetensors, of the rows in PARITY_DIR/preferences: rows 2p are answers, judged good, bad, good; rows 2p + 1 share
their prompt with another answer
    <case>.loss, <case>.rewards, <case>.divergence, <case>.grad.<key>      of lora_qv_r8; cases "one-batch" and "three-batches" (a divergence for each row)

Formula: trl/trainer/kto_trainer.py (kto_loss, loss_type kto).
"""
import os, sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel
base_dir, parity = sys.argv[1], sys.argv[2]
torch.set_num_threads(1)
data = load_file(f"{parity}/preferences/expected.safetensors")
prompts = [int(x) for x in data["prompt"]]
rows = [data[f"ids.{i}"].long() for i in range(len(prompts))]
base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, f"{parity}/lora_qv_r8", is_trainable=True); model.eval()
def logps(m):
    out = []
    for row, prompt in zip(rows, prompts):
        logits = m(input_ids=row[None]).logits[0, prompt - 1 : -1]
        out.append(logits.log_softmax(-1).gather(-1, row[prompt:][:, None])[:, 0].sum())
    return torch.stack(out)
with torch.no_grad(), model.disable_adapter(): reference = logps(model)
good = torch.tensor([True, False, True])
def kto(beta, desirable, undesirable, batches):
    gains = logps(model) - reference
    losses, rewards, divergences = [], [], []
    for batch in batches:
        own, other = gains[[2 * i for i in batch]], gains[[2 * i + 1 for i in batch]]
        kl = other.mean().detach().clamp(min=0)
        verdicts = good[batch]
        losses += [desirable * (1 - torch.sigmoid(beta * (r - kl))) if v else undesirable * (1 - torch.sigmoid(beta * (kl - r))) for r, v in zip(own, verdicts)]
        rewards += [beta * r.detach() for r in own]; divergences.append(kl)
    return torch.stack(losses).mean(), torch.stack(rewards), torch.stack(divergences)
cases = {
    "one-batch": lambda: kto(0.3, 1.3, 0.6, [[0, 1, 2]]),
    "three-batches": lambda: kto(0.1, 1.0, 1.0, [[0], [1], [2]]),
}
names = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
e = {}
for name, make in cases.items():
    model.zero_grad()
    loss, rewards, divergences = make(); loss.backward()
    e |= {f"{name}.loss": loss.detach().reshape(1), f"{name}.rewards": rewards, f"{name}.divergence": divergences}
    for key, p in names.items(): e[f"{name}.grad.{key}"] = p.grad.clone()
    print(name, "loss %.6f" % loss.item(), rewards.tolist(), divergences.tolist())
os.makedirs(f"{parity}/kto", exist_ok=True)
save_file({k: v.contiguous() for k, v in e.items()}, f"{parity}/kto/expected.safetensors")
