"""Writes four steps of the reference optimisers on three small parameters, computed in double precision from single-precision numbers.

usage: python make.py OUT.json SEED
needs: torch, transformers, numpy. SGD and AdamW are torch's, Adafactor is transformers'; Lion is algorithm 2 of arXiv:2302.06675 in numpy.

{ versions, parameters: [{ shape, start, gradients: [4][n] }], cases: [{ optimizer, options, learningRate, after: [parameter][4][n] }] }
"""
import json, sys, numpy as np, torch, transformers
from transformers.optimization import Adafactor
out, seed = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(seed)
rate, steps = 0.03, 4
single = lambda *shape: rng.standard_normal(shape).astype(np.float32)
parameters = []
for shape in ([5], [3, 4], [2, 2, 3]):
    start, gradients = single(*shape), [single(*shape) * np.float32(10.0 ** e) for e in (0, -1, 0.5, -2)]
    gradients[1].reshape(-1)[0] = 0
    parameters.append(dict(shape=shape, start=start, gradients=gradients))

def torch_run(make):
    after = []
    for p in parameters:
        w = torch.nn.Parameter(torch.tensor(p["start"], dtype=torch.float64))
        optimizer = make([w])
        rows = []
        for g in p["gradients"]:
            w.grad = torch.tensor(g, dtype=torch.float64)
            optimizer.step()
            rows.append(w.detach().numpy().reshape(-1).tolist())
        after.append(rows)
    return after

def lion_run(beta1, beta2, decay):
    after = []
    for p in parameters:
        w, m = p["start"].astype(np.float64), np.zeros(p["shape"])
        rows = []
        for g in p["gradients"]:
            g = g.astype(np.float64)
            c = beta1 * m + (1 - beta1) * g
            w = w - rate * (np.sign(c) + decay * w)
            m = beta2 * m + (1 - beta2) * g
            rows.append(w.reshape(-1).tolist())
        after.append(rows)
    return after

sgd = lambda **o: torch_run(lambda w: torch.optim.SGD(w, lr=rate, **o))
adamw = lambda **o: torch_run(lambda w: torch.optim.AdamW(w, lr=rate, **o))
def adafactor(lr=rate, **o):
    given = dict(lr=lr, scale_parameter=False, relative_step=False, warmup_init=False) | o
    return torch_run(lambda w: Adafactor(w, **given))
cases = [
    ("adamw", {}, adamw(weight_decay=0)),
    ("adamw", dict(beta1=0.8, beta2=0.99, epsilon=1e-6, weightDecay=0.1), adamw(betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
    ("sgd", {}, sgd(momentum=0.9)),
    ("sgd", dict(momentum=0), sgd()),
    ("sgd", dict(momentum=0, weightDecay=0.1), sgd(weight_decay=0.1)),
    ("sgd", dict(momentum=0.8, nesterov=True, weightDecay=0.05), sgd(momentum=0.8, nesterov=True, weight_decay=0.05)),
    ("lion", {}, lion_run(0.9, 0.99, 0)),
    ("lion", dict(beta1=0.95, beta2=0.98, weightDecay=0.1), lion_run(0.95, 0.98, 0.1)),
    ("adafactor", {}, adafactor()),
    ("adafactor", dict(weightDecay=0.1, beta1=0.9), adafactor(weight_decay=0.1, beta1=0.9)),
    ("adafactor", dict(decayRate=0.6, clipThreshold=0.5, scaleParameter=True), adafactor(decay_rate=-0.6, clip_threshold=0.5, scale_parameter=True)),
    ("adafactor", dict(relativeStep=True, scaleParameter=True, rate=1), adafactor(lr=None, relative_step=True, scale_parameter=True)),
]
flat = lambda p: dict(shape=p["shape"], start=p["start"].reshape(-1).tolist(), gradients=[g.reshape(-1).tolist() for g in p["gradients"]])
document = dict(
    versions=dict(torch=torch.__version__, transformers=transformers.__version__, numpy=np.__version__),
    parameters=[flat(p) for p in parameters],
    cases=[dict(optimizer=n, options={k: v for k, v in o.items() if k != "rate"}, learningRate=o.get("rate", rate), after=a) for n, o, a in cases],
)
json.dump(document, open(out, "w"), separators=(",", ":"))
