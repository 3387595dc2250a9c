"""What PEFT makes of the odd adapter folders of the corpus: logits, or that it refuses the folder.

usage: python make_folders.py INPUTS_DIR STORIES260K_DIR OUT_JSON
INPUTS_DIR is what write-inputs.ts wrote. needs: torch, transformers, peft (versions are written to OUT_JSON)

A result is four projections of the logits of ten tokens, sum_j logits[j] cos(0.37 k j) / sqrt(n) for k = 1..4; "error"; or "incomplete" where
PEFT warns that tensors are missing or left over, and serves the rest with what it initialises at random.
"""
import copy, json, math, os, sys, warnings, torch, transformers, peft
from peft import PeftModel
from transformers import AutoModelForCausalLM
inputs, stories, out = sys.argv[1:]
torch.set_num_threads(1)
base = AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32, attn_implementation="eager")
ids = torch.tensor([[1, 403, 407, 261, 378, 432, 410, 266, 310, 425]])
def read(folder):
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(copy.deepcopy(base), folder).eval()
    if any("missing adapter keys" in str(w.message) or "unexpected keys" in str(w.message).lower() for w in caught): return "incomplete"
    with torch.no_grad(): logits = model(input_ids=ids, use_cache=False).logits[0, -ids.shape[1]:].double().flatten()
    j = torch.arange(logits.numel(), dtype=torch.float64)
    found = [float((logits * torch.cos(0.37 * k * j)).sum() / math.sqrt(logits.numel())) for k in (1, 2, 3, 4)]
    return "error" if not all(map(math.isfinite, found)) else [round(x, 5) for x in found]
results, details = [], []
for number in range(len(os.listdir(f"{inputs}/folders"))):
    try:
        results.append(read(f"{inputs}/folders/{number}")); details.append(None)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt): raise
        results.append("error"); details.append(f"{type(error).__name__}: {error}"[:300])
json.dump({"versions": {"PEFT": peft.__version__, "torch": torch.__version__.split("+")[0]}, "results": results}, open(out, "w"))
json.dump(details, open(f"{inputs}/folders-details.json", "w"))
print(len(results), "folders;", results.count("error"), "errors;", results.count("incomplete"), "incomplete")
