"""Arrow's routing as PEFT computes it, for made-up adapters of one linear layer and made-up states.

usage: python make_arrow.py OUT_DIR SEED
OUT_DIR/expected.safetensors   A and B of each adapter, states [T, D], PEFT's prototypes [E, D], and its coefficients [T, E] at top 2 and temperature 1.5
"""
import json, os, sys, peft, torch
from types import SimpleNamespace
from safetensors.torch import save_file
from peft.tuners.lora.arrow import ArrowLoraLinearLayer
out, seed = sys.argv[1], int(sys.argv[2])
torch.manual_seed(seed)
E, R, D, O, T = 4, 3, 16, 12, 7
names = [f"task_{i}" for i in range(E)]
layer = ArrowLoraLinearLayer(D, SimpleNamespace(top_k=2, router_temperature=1.5, rng_seed=seed, task_adapter_names=names, gks_adapter_names=[], use_gks=False))
linear = lambda rows, columns: SimpleNamespace(weight=torch.randn(rows, columns) * torch.linspace(2.0, 0.3, min(rows, columns)).repeat(8)[: (rows if rows < columns else columns)].reshape((-1, 1) if rows < columns else (1, -1)))
A = {n: linear(R, D) for n in names}
B = {n: linear(O, R) for n in names}
# More turns than PEFT's 15, so that the vectors themselves are compared and not where the iteration was stopped.
turns = layer.top_right_singular_vec_from_BA
layer.top_right_singular_vec_from_BA = lambda a, b: turns(a, b, iters=2000)
layer.build_prototypes(A, B)
states = torch.randn(T, D)
# With A replaced by a constant row and B by the expert's own output, PEFT's weighted sum is its coefficients.
sums = []
for e, name in enumerate(names):
    probe_a = {n: SimpleNamespace(weight=torch.eye(D)) for n in names}
    probe_b = {n: SimpleNamespace(weight=torch.eye(D) if n == name else torch.zeros(D, D)) for n in names}
    delta = layer.forward(states, probe_a, probe_b, torch.nn.Identity(), {n: 1.0 for n in names})
    sums.append((delta * states).sum(1) / (states * states).sum(1))
saved = {"states": states, "prototypes": layer.prototypes, "coefficients": torch.stack(sums, 1)}
saved |= {f"{n}.A": A[n].weight for n in names} | {f"{n}.B": B[n].weight for n in names}
os.makedirs(out, exist_ok=True)
save_file({n: v.float().contiguous() for n, v in saved.items()}, f"{out}/expected.safetensors")
json.dump({"torch": torch.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
