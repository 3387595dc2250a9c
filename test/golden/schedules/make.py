"""Writes the factors that reference schedulers multiply the learning rate by, at each step of short runs.

usage: python make.py OUT.json
needs: torch, transformers. Exponential, step and one-cycle are torch's, the others transformers'. Behind a warm-up torch's are chained by
SequentialLR to LinearLR, whose rise begins at a sixtieth here and not at 0: those steps are left out (null).

[{ schedule, options, steps, warmupSteps, factors: [steps] }]
"""
import json, sys, torch
import transformers.optimization as t
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, OneCycleLR, SequentialLR, StepLR
out, rate = sys.argv[1], 0.5
def run(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = make(optimizer)
    factors = []
    for step in range(steps):
        factors.append(optimizer.param_groups[0]["lr"] / rate)
        optimizer.step()
        if step < steps - 1: scheduler.step()
    return factors
def behind(make, warmup, steps):
    chain = lambda o: SequentialLR(o, [LinearLR(o, 1 / 60, total_iters=warmup), make(o)], milestones=[warmup])
    return [None] * warmup + run(chain, steps)[warmup:]
cases = []
def case(schedule, options, steps, warmup, factors): cases.append(dict(schedule=schedule, options=options, steps=steps, warmupSteps=warmup, factors=factors))
case("constant", {}, 10, 3, run(lambda o: t.get_constant_schedule_with_warmup(o, 3), 10))
case("linear", {}, 10, 3, run(lambda o: t.get_linear_schedule_with_warmup(o, 3, 10), 10))
case("cosine", {}, 10, 3, run(lambda o: t.get_cosine_schedule_with_warmup(o, 3, 10), 10))
case("cosine", dict(minimum=0.1), 10, 3, run(lambda o: t.get_cosine_with_min_lr_schedule_with_warmup(o, 3, 10, min_lr_rate=0.1), 10))
case("cosine-restarts", {}, 14, 2, run(lambda o: t.get_cosine_with_hard_restarts_schedule_with_warmup(o, 2, 14, 3), 14))
case("cosine-restarts", dict(cycles=2), 11, 0, run(lambda o: t.get_cosine_with_hard_restarts_schedule_with_warmup(o, 0, 11, 2), 11))
case("polynomial", dict(power=1, minimum=0.02), 10, 3, run(lambda o: t.get_polynomial_decay_schedule_with_warmup(o, 3, 10, lr_end=0.01, power=1), 10))
case("polynomial", dict(power=2.5, minimum=0.1), 9, 0, run(lambda o: t.get_polynomial_decay_schedule_with_warmup(o, 0, 9, lr_end=0.05, power=2.5), 9))
case("exponential", dict(gamma=0.8), 8, 0, run(lambda o: ExponentialLR(o, 0.8), 8))
case("exponential", dict(gamma=0.9), 10, 3, behind(lambda o: ExponentialLR(o, 0.9), 3, 10))
case("step", dict(everySteps=3), 10, 0, run(lambda o: StepLR(o, 3), 10))
case("step", dict(everySteps=2, gamma=0.5), 10, 3, behind(lambda o: StepLR(o, 2, 0.5), 3, 10))
one_cycle = lambda steps, **o: run(lambda optimizer: OneCycleLR(optimizer, rate, total_steps=steps, cycle_momentum=False, **o), steps)
case("one-cycle", {}, 10, 3, one_cycle(10, pct_start=0.3))
case("one-cycle", dict(startDivisor=10, endDivisor=100), 20, 10, one_cycle(20, pct_start=0.5, div_factor=10, final_div_factor=100))
json.dump(cases, open(out, "w"), separators=(",", ":"))
