"""Writes reference results of PEFT for the kinds and options that make_parity.py leaves out, on few modules so that the files stay small.

usage: python make_more.py STORIES260K_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key>, adamw_losses, after3.<key>, merged_logits
OUT_DIR/<pissa|olora>/                the adapter after three AdamW steps as PEFT converts it to plain LoRA; expected: also
                                      start.<module> = s·B·A at the start, init.<key> the start's own A and B
"""
import json, os, shutil, sys, torch, transformers, peft
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, LoHaConfig, VeraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
stories, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(2)
os.makedirs(out, exist_ok=True)
load = lambda: AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32, attn_implementation="eager")
N, T = 1, 8
few = dict(task_type=TaskType.CAUSAL_LM, layers_to_transform=[1, 3])
CASES = {
    "loha": LoHaConfig(r=2, alpha=3, target_modules=["q_proj", "down_proj"], **few),
    "loha_dense": LoHaConfig(r=12, alpha=6, target_modules=["v_proj"], **few),
    "vera": VeraConfig(r=5, target_modules=["q_proj", "up_proj", "down_proj"], projection_prng_key=7, save_projection=True, d_initial=0.2, **few),
    "dora_patterns": LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["k_proj"], rank_pattern={"3.self_attn.k_proj": 1}, use_rslora=True, **few),
    "modules_to_save": LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj"], modules_to_save=["1.self_attn.k_proj", "norm"], **few),
}
flat = lambda d: {k: v.detach().contiguous().clone() for k, v in d.items()}
def batch():
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 512, (N, T), generator=g)
    labels = ids.clone(); labels[:, : T // 3] = -100
    return ids, labels, g
def tidy(d):
    os.path.exists(f"{d}/README.md") and os.remove(f"{d}/README.md")
    cfg = json.load(open(f"{d}/adapter_config.json"))
    cfg["base_model_name_or_path"] = os.path.basename(stories.rstrip("/"))
    json.dump(cfg, open(f"{d}/adapter_config.json", "w"), indent=2, sort_keys=True)
def steps(m, ids, labels):
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(3):
        opt.zero_grad(); o = m(input_ids=ids, labels=labels); o.loss.backward(); opt.step(); losses.append(o.loss.detach())
    return torch.stack(losses)
for name, config in CASES.items():
    torch.manual_seed(seed)
    m = get_peft_model(load(), config); m.eval()
    ids, labels, g = batch()
    for n, p in m.named_parameters():
        if p.requires_grad: p.data.add_((0.02 if "modules_to_save" in n else 0.2) * torch.randn(p.shape, generator=g))
    m.save_pretrained(f"{out}/{name}"); tidy(f"{out}/{name}")
    e = {"input_ids": ids, "labels": labels}
    o = m(input_ids=ids, labels=labels, use_cache=False)
    e["logits"], e["loss"] = o.logits, o.loss.reshape(1)
    o.loss.backward()
    grads = {n: p.grad for n, p in m.named_parameters() if p.requires_grad}
    saved = get_peft_model_state_dict(m, state_dict={**m.state_dict(), **grads})
    for k, v in saved.items():
        if k not in ("base_model.vera_A", "base_model.vera_B"): e["grad." + k] = v
    e["adamw_losses"] = steps(m, ids, labels)
    for k, v in get_peft_model_state_dict(m).items():
        if k not in ("base_model.vera_A", "base_model.vera_B"): e["after3." + k] = v
    mm = PeftModel.from_pretrained(load(), f"{out}/{name}").merge_and_unload(); mm.eval()
    with torch.no_grad(): e["merged_logits"] = mm(input_ids=ids).logits
    save_file(flat(e), f"{out}/{name}/expected.safetensors")
    print(name, "loss %.5f" % e["loss"].item(), e["adamw_losses"].tolist(), sorted(k for k in e if k.startswith("grad."))[:3])
for name in ("pissa", "olora"):
    torch.manual_seed(seed)
    m = get_peft_model(load(), LoraConfig(r=3, lora_alpha=6, init_lora_weights=name, target_modules=["q_proj", "up_proj"], **few)); m.eval()
    ids, labels, g = batch()
    d = f"{out}/{name}"
    m.peft_config["default"].init_lora_weights = True
    m.save_pretrained(f"{d}/init")
    m.peft_config["default"].init_lora_weights = name
    e = {"input_ids": ids, "labels": labels}
    for k, v in load_file(f"{d}/init/adapter_model.safetensors").items(): e["init." + k] = v
    for n, mod in m.named_modules():
        if hasattr(mod, "lora_A") and len(getattr(mod, "lora_A", {})): e["start." + n.replace("base_model.model.", "")] = mod.get_delta_weight("default")
    e["adamw_losses"] = steps(m, ids, labels)
    o = m(input_ids=ids, labels=labels, use_cache=False)
    e["logits"] = o.logits
    m.save_pretrained(d, path_initial_model_for_weight_conversion=f"{d}/init"); tidy(d)
    shutil.rmtree(f"{d}/init")
    save_file(flat(e), f"{d}/expected.safetensors")
    print(name, e["adamw_losses"].tolist())
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
