"""Writes reference results of PEFT for adapters that hold an embedding: whole beside a LoRA, as modules_to_save of a tied model, or single rows of it.

usage: python make_found.py STORIES260K_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them, whole embeddings rounded to f16
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss; of `tokens` also grad.<key>, adamw_losses, after3.<key>, merged_logits
"""
import json, os, sys, torch, transformers, peft
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
stories, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
load = lambda: AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32, attn_implementation="eager")
N, T = 2, 12
few = dict(task_type=TaskType.CAUSAL_LM, r=2, lora_alpha=4, target_modules=["q_proj"], layers_to_transform=[1])
CASES = {
    "embedding_beside": (LoraConfig(**few), dict(save_embedding_layers=True)),
    "saved_both": (LoraConfig(modules_to_save=["lm_head", "embed_tokens"], **few), {}),
    "saved_embedding": (LoraConfig(modules_to_save=["embed_tokens"], **few), {}),
    "tokens": (LoraConfig(trainable_token_indices=[7, 3, 509], **few), {}),
}
flat = lambda d: {k: v.detach().contiguous().clone() for k, v in d.items()}
for name, (config, saving) in CASES.items():
    torch.manual_seed(seed)
    m = get_peft_model(load(), config); m.eval()
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 512, (N, T), generator=g)
    ids[0, 2], ids[0, 7], ids[1, 5], ids[1, 11] = 7, 3, 509, 7
    labels = ids.clone(); labels[:, : T // 3] = -100
    for n, p in m.named_parameters():
        if p.requires_grad or (saving and "embed_tokens" in n): p.data.add_((0.02 if "lora" not in n else 0.2) * torch.randn(p.shape, generator=g))
    d = f"{out}/{name}"
    m.save_pretrained(d, **saving)
    os.path.exists(f"{d}/README.md") and os.remove(f"{d}/README.md")
    cfg = json.load(open(f"{d}/adapter_config.json"))
    cfg["base_model_name_or_path"] = os.path.basename(stories.rstrip("/"))
    json.dump(cfg, open(f"{d}/adapter_config.json", "w"), indent=2, sort_keys=True)
    tensors = load_file(f"{d}/adapter_model.safetensors")
    if saving: tensors.pop("base_model.model.lm_head.weight", None)  # one weight: PEFT reads it into both
    save_file({k: v.half() if v.shape[0] == 512 else v for k, v in tensors.items()}, f"{d}/adapter_model.safetensors", metadata={"format": "pt"})
    m = PeftModel.from_pretrained(load(), d, is_trainable=True); m.eval()
    e = {"input_ids": ids, "labels": labels}
    o = m(input_ids=ids, labels=labels, use_cache=False)
    e["logits"], e["loss"] = o.logits, o.loss.reshape(1)
    if name == "tokens":
        o.loss.backward()
        grads = {n: p.grad for n, p in m.named_parameters() if p.requires_grad}
        for k, v in get_peft_model_state_dict(m, state_dict={**m.state_dict(), **grads}).items(): e["grad." + k] = v
        opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        losses = []
        for _ in range(3):
            opt.zero_grad(); o = m(input_ids=ids, labels=labels, use_cache=False); o.loss.backward(); opt.step(); losses.append(o.loss.detach())
        e["adamw_losses"] = torch.stack(losses)
        for k, v in get_peft_model_state_dict(m).items(): e["after3." + k] = v
        mm = PeftModel.from_pretrained(load(), d).merge_and_unload(); mm.eval()
        with torch.no_grad(): e["merged_logits"] = mm(input_ids=ids, use_cache=False).logits
    save_file(flat(e), f"{d}/expected.safetensors")
    print(name, "loss %.5f" % e["loss"].item(), {k: list(v.shape) for k, v in tensors.items()})
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
