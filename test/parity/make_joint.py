"""Writes what PEFT computes with experts of several kinds: their parts, as Graft saves them, put on one model.

usage: python make_joint.py STORIES260K_DIR JOINT_DIR
needs: torch, transformers, peft, safetensors (the versions used are written to JOINT_DIR/versions.json)

JOINT_DIR/<case>/                       a folder that Graft has saved: adapter_config.json and one folder for each part
JOINT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key> of what is trained, part.<kind>.logits of each part alone

Behind a soft prompt the other part acts in its own modules. PEFT has no IA3 on layers that have a LoRA: there the LoRA is
merged first, and the gradients are IA3's alone.
"""
import json, os, sys, torch, transformers, peft
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel
stories, out = sys.argv[1], sys.argv[2]
torch.set_num_threads(2)
load = lambda: AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32, attn_implementation="eager")
g = torch.Generator().manual_seed(5)
ids = torch.randint(3, 512, (1, 10), generator=g)
labels = ids.clone(); labels[:, :3] = -100
prompts = ("prompt-tuning", "prefix-tuning")
for case in sorted(os.listdir(out)):
    d = f"{out}/{case}"
    if not os.path.isdir(d): continue
    parts = json.load(open(f"{d}/adapter_config.json"))["graft_parts"]
    try: PeftModel.from_pretrained(load(), d); raise SystemExit(f"{d}: PEFT has loaded the folder of all parts")
    except (KeyError, ValueError, TypeError) as refused: print(case, "refused as a whole:", type(refused).__name__)
    expected = {"input_ids": ids, "labels": labels}
    for part in parts:
        m = PeftModel.from_pretrained(load(), f"{d}/{part}"); m.eval()
        with torch.no_grad(): expected[f"part.{part}.logits"] = m(input_ids=ids).logits[:, -ids.shape[1]:]
    first, second = parts
    m = PeftModel.from_pretrained(load(), f"{d}/{first}", is_trainable=True)
    inner = m.base_model.model if second in prompts else m.merge_and_unload()
    own = {n: p for n, p in m.named_parameters() if p.requires_grad} if second in prompts else {}
    both = PeftModel.from_pretrained(inner, f"{d}/{second}", is_trainable=second not in prompts); both.eval()
    # PEFT loads soft prompts for use only, and freezes what they are put on
    for n, p in both.named_parameters():
        if "prompt_encoder" in n: p.requires_grad_(True)
    for p in own.values(): p.requires_grad_(True)
    o = both(input_ids=ids, labels=labels)
    o.loss.backward()
    expected["logits"], expected["loss"] = o.logits[:, -ids.shape[1]:], o.loss.reshape(1)
    trained = {**own, **{n: p for n, p in both.named_parameters() if p.requires_grad and not any(p is q for q in own.values())}}
    for n, p in trained.items():
        key = "prompt_embeddings" if "prompt_encoder" in n else n.replace(".default", "")
        expected["grad." + key] = p.grad
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()}, f"{d}/expected.safetensors")
    print(case, "loss %.5f" % o.loss.item(), len(trained), "gradients")
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}, open(f"{out}/versions.json", "w"), indent=1)
