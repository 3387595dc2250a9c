"""Writes losses and gradients of texts to embed, by sentence-transformers' MultipleNegativesRankingLoss with torch and PEFT, for parity tests.

usage: python make_contrastive.py BASE_DIR PARITY_DIR      (PARITY_DIR holds lora_qv_r8 and preferences)
needs: torch 2.15, transformers 5.24, peft 0.21, sentence-transformers 6.2, safetensors

PARITY_DIR/contrastive/expected.safetensors, of the rows in PARITY_DIR/preferences, each a text; case "pairs": groups of 2 rows, one after the other,
mean of the last hidden states, temperature 0.4; case "negatives": groups of 3 rows (anchor, positive, negative), last state, temperature 0.2
    <case>.loss, <case>.cosines [anchors, texts], <case>.grad.<key>      of lora_qv_r8; texts: all positives, then all negatives
"""
import os, sys, torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim
from transformers import AutoModelForCausalLM
from peft import PeftModel
base_dir, parity = sys.argv[1], sys.argv[2]
torch.set_num_threads(1)
data = load_file(f"{parity}/preferences/expected.safetensors")
rows = [data[f"ids.{i}"].long() for i in range(len(data["prompt"]))]
base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, f"{parity}/lora_qv_r8", is_trainable=True); model.eval()
states = lambda row: model.get_base_model().model(input_ids=row[None]).last_hidden_state[0]
pools = {"mean": lambda s: s.mean(0), "last": lambda s: s[-1]}
names = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
e = {}
for name, size, pooling, temperature in [("pairs", 2, "mean", 0.4), ("negatives", 3, "last", 0.2)]:
    model.zero_grad()
    vectors = torch.stack([pools[pooling](states(row)) for row in rows])
    columns = [vectors[at::size] for at in range(size)]
    loss = MultipleNegativesRankingLoss(None, scale=1 / temperature).compute_loss_from_embeddings(columns, None)
    loss.backward()
    e |= {f"{name}.loss": loss.detach().reshape(1), f"{name}.cosines": cos_sim(columns[0], torch.cat(columns[1:])).detach()}
    for key, p in names.items(): e[f"{name}.grad.{key}"] = p.grad.clone()
    print(name, "loss %.6f" % loss.item())
os.makedirs(f"{parity}/contrastive", exist_ok=True)
save_file({k: v.contiguous() for k, v in e.items()}, f"{parity}/contrastive/expected.safetensors")
