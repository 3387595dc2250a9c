"""Greedy answers of PEFT by adapters that change the embedding or the head, each alone, and by others beside them.

usage: python make_batch.py STORIES260K_DIR PARITY_DIR OUT_JSON
needs: torch, transformers, peft (the versions used are written to OUT_JSON)

PARITY_DIR/<name> are the adapters that other scripts here made; "" is the base. OUT_JSON holds for each the prompt,
the ids of the answer, and the logarithms of their probabilities.
"""

import json
import sys
import warnings

import peft
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")
stories, parity, out = sys.argv[1:]
torch.set_num_threads(1)
NAMES = ["tied/kind", "", "tied/kind_head", "tied/tokens_two", "tied/tokens_same", "tied/targets"]
NAMES += ["tied/targets_regex", "found/tokens", "found/embedding_beside", "found/saved_both"]
NAMES += ["found/saved_embedding", "lora_qv_r8", "dora_r6", "ia3", "prompt_8"]
PROMPTS = [[1, 403, 407, 7, 261], [1, 3, 378, 432, 309, 410, 509], [1, 266, 7, 310, 425, 3, 20, 403]]


def load():
    return AutoModelForCausalLM.from_pretrained(
        stories, dtype=torch.float32, attn_implementation="eager"
    )


answers = []
for i, name in enumerate(NAMES):
    model = load() if name == "" else PeftModel.from_pretrained(load(), f"{parity}/{name}")
    model.eval()
    prompt = PROMPTS[i % len(PROMPTS)]
    ids, logprobs = list(prompt), []
    for _ in range(8):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        scores = logits.double().log_softmax(-1)
        ids.append(int(scores.argmax()))
        logprobs.append(round(float(scores.max()), 6))
        if ids[-1] == 2:
            break
    answer = ids[len(prompt) :]
    answers.append({"name": name, "prompt": prompt, "ids": answer, "logprobs": logprobs})
    print(name, answer, logprobs[:3])
versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
json.dump({"versions": versions, "answers": answers}, open(out, "w"), indent=1)
