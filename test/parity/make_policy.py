"""FastGRNN by the formulas of Kusupati et al. 2018 (arXiv:1901.02358) in PyTorch, with the gradients of its loss by autograd.

usage: python make_policy.py OUT_DIR SEED
OUT_DIR/expected.safetensors   weights, the words' vectors, which words are there, what the heads should give; for reads = last and mean:
                               logits of every head, the loss, and its gradient by each weight and word
"""
import json, os, sys, torch
import torch.nn.functional as F
from safetensors.torch import save_file
out, seed = sys.argv[1], int(sys.argv[2])
torch.manual_seed(seed)
torch.set_default_dtype(torch.float64)
N, T, D, H, RW, RU, C, K = 3, 4, 5, 6, 3, 2, 4, 2
shapes = {"W2": (RW, D), "W1": (H, RW), "U2": (RU, H), "U1": (H, RU), "gateBias": (H,), "stateBias": (H,),
          "expert.weight": (C, H), "expert.bias": (C,), "tier.weight": (K, H), "tier.bias": (K,), "confidence.weight": (1, H), "confidence.bias": (1,)}
w = {n: torch.randn(s) * 0.5 for n, s in shapes.items()}
w |= {"zeta": torch.tensor([1.0]) + 0.1 * torch.randn(1), "nu": torch.tensor([-4.0]) + torch.randn(1)}
words = torch.randn(N, T, D)
lengths = torch.tensor([4, 2, 1])
present = (torch.arange(T)[None] < lengths[:, None]).double()
kept = (torch.rand(N, H) > 0.3).double() / 0.7
wanted = {"expert": F.softmax(torch.randn(N, C), 1), "tier": F.softmax(torch.randn(N, K), 1), "confidence": (torch.rand(N, 1) > 0.5).double()}
saved = {"words": words, "present": present, "lengths": lengths, "kept": kept, **{f"wanted.{n}": v for n, v in wanted.items()}, **w}
for reads in ("last", "mean"):
    p = {n: v.clone().requires_grad_() for n, v in w.items()}
    x = words.clone().requires_grad_()
    W, U = p["W1"] @ p["W2"], p["U1"] @ p["U2"]
    rows = []
    for n in range(N):
        h, states = torch.zeros(H), []
        for t in range(int(lengths[n])):
            z = torch.sigmoid(W @ x[n, t] + U @ h + p["gateBias"])
            new = torch.tanh(W @ x[n, t] + U @ h + p["stateBias"])
            h = (torch.sigmoid(p["zeta"]) * (1 - z) + torch.sigmoid(p["nu"])) * new + z * h
            states.append(h)
        rows.append(h if reads == "last" else torch.stack(states).mean(0))
    read = torch.stack(rows) * kept
    logits = {n: read @ p[f"{n}.weight"].T + p[f"{n}.bias"] for n in wanted}
    loss = F.cross_entropy(logits["expert"], wanted["expert"]) + 0.3 * F.cross_entropy(logits["tier"], wanted["tier"]) \
        + 0.3 * F.binary_cross_entropy_with_logits(logits["confidence"], wanted["confidence"])
    loss.backward()
    saved |= {f"{reads}.{n}": v.detach() for n, v in logits.items()} | {f"{reads}.loss": loss.detach().reshape(1), f"{reads}.gradient.words": x.grad}
    saved |= {f"{reads}.gradient.{n}": v.grad for n, v in p.items()}
os.makedirs(out, exist_ok=True)
save_file({n: (v.double() if v.is_floating_point() else v).contiguous() for n, v in saved.items()}, f"{out}/expected.safetensors")
json.dump({"torch": torch.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
