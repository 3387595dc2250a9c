"""What mlx-lm makes of the odd adapters of its own form: logits, or that it refuses the folder.

usage: python make_mlx.py INPUTS_DIR STORIES260K_DIR OUT_JSON
INPUTS_DIR is what write-inputs.ts wrote. needs: mlx (mlx[cpu] on Linux), mlx-lm (versions are written to OUT_JSON)

A result is that of make_folders.py: four projections of the logits of ten tokens, or "error"; null for llama.cpp's files.
"""
import importlib.metadata, json, math, os, sys, mlx.core as mx, numpy as np
from pathlib import Path
from mlx_lm.utils import load_model
from mlx_lm.tuner.utils import load_adapters
inputs, stories, out = sys.argv[1:]
ids = mx.array([[1, 403, 407, 261, 378, 432, 410, 266, 310, 425]])
def read(folder):
    mx.random.seed(0)
    model, _ = load_model(Path(stories))
    model.set_dtype(mx.float32)
    model = load_adapters(model, folder)
    model.eval()
    logits = np.array(model(ids)[0], dtype=np.float64).flatten()
    j = np.arange(logits.size)
    found = [float((logits * np.cos(0.37 * k * j)).sum() / math.sqrt(logits.size)) for k in (1, 2, 3, 4)]
    return "error" if not all(map(math.isfinite, found)) else [round(x, 5) for x in found]
results, details = [], []
for number in range(len(os.listdir(f"{inputs}/foreign"))):
    folder = f"{inputs}/foreign/{number}"
    if os.path.exists(f"{folder}/gguf"):
        results.append(None); details.append(None); continue
    try: results.append(read(folder)); details.append(None)
    except Exception as error: results.append("error"); details.append(f"{type(error).__name__}: {error}"[:300])
versions = {name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")}
json.dump({"versions": versions, "results": results}, open(out, "w"))
json.dump(details, open(f"{inputs}/mlx-details.json", "w"))
print(len(results), "adapters;", results.count("error"), "errors;", results.count(None), "of llama.cpp")
