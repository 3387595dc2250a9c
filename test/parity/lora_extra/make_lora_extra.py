"""Writes reference results of PEFT for what make_parity.py leaves out: embedding and LM head, a bias on B, trained base biases, dropout,
regex targets, excluded modules, whole-path rank patterns.

usage: python make_lora_extra.py STORIES260K_DIR QWEN2_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key>, merged_logits where PEFT can merge, mask.<module> for dropout
"""
import json, os, sys, torch, transformers, peft
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
stories, qwen2, out, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
torch.set_num_threads(2)
load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
N, T = 1, 8
lora = lambda **k: LoraConfig(task_type=TaskType.CAUSAL_LM, r=2, lora_alpha=3, **k)
CASES = {
    "embed_head": (stories, lora(target_modules=["embed_tokens", "lm_head"]), False),
    "bias_regex": (stories, lora(target_modules=r".*\.[0-2]\.(self_attn|mlp)\.(q_proj|up_proj)", exclude_modules=["layers.1.mlp.up_proj"], lora_bias=True,
                                 rank_pattern={r"^model\.layers\.0\.self_attn\.q_proj": 3, "layers.[12].self_attn.q_proj": 1}), False),
    "dropout": (stories, lora(target_modules=["q_proj"], lora_dropout=0.25, layers_to_transform=[1, 3], layers_pattern="layers"), True),
    "biases_all": (qwen2, lora(target_modules=["q_proj"], bias="all"), True),
    "biases_lora_only": (qwen2, lora(target_modules=["q_proj", "o_proj"], bias="lora_only", use_rslora=True), True),
}
class Mask(torch.nn.Module):
    def __init__(self, mask): super().__init__(); self.mask = mask
    def forward(self, x): return x * self.mask
flat = lambda d: {k: v.detach().contiguous().clone() for k, v in d.items()}
for name, (path, config, merges) in CASES.items():
    torch.manual_seed(seed)
    m = get_peft_model(load(path), config); m.eval()
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, m.config.vocab_size, (N, T), generator=g)
    labels = ids.clone(); labels[:, : T // 3] = -100
    for n, p in m.named_parameters():
        if p.requires_grad: p.data.add_(0.2 * torch.randn(p.shape, generator=g))
    m.save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")
    e = {"input_ids": ids, "labels": labels}
    for n, mod in m.named_modules():
        if config.lora_dropout and n.endswith("lora_dropout.default"):
            mask = (torch.rand((N, T, m.config.hidden_size), generator=g) >= config.lora_dropout) / (1 - config.lora_dropout)
            e["mask." + n.removeprefix("base_model.model.").removesuffix(".lora_dropout.default")] = mask
    for n, mask in list(e.items()):
        if n.startswith("mask."): m.get_submodule("base_model.model." + n[5:]).lora_dropout["default"] = Mask(mask)
    o = m(input_ids=ids, labels=labels, use_cache=False)
    e["logits"], e["loss"] = o.logits, o.loss.reshape(1)
    o.loss.backward()
    grads = {n: p.grad for n, p in m.named_parameters() if p.requires_grad}
    saved = get_peft_model_state_dict(m, state_dict={**m.state_dict(), **grads})
    for k, v in saved.items():
        if not k.endswith("base_layer.weight"): e["grad." + k] = v
    if merges:
        mm = PeftModel.from_pretrained(load(path), f"{out}/{name}").merge_and_unload(); mm.eval()
        with torch.no_grad(): e["merged_logits"] = mm(input_ids=ids).logits
    save_file(flat(e), f"{out}/{name}/expected.safetensors")
    cfg = json.load(open(f"{out}/{name}/adapter_config.json"))
    cfg["base_model_name_or_path"] = os.path.basename(path.rstrip("/"))
    json.dump(cfg, open(f"{out}/{name}/adapter_config.json", "w"), indent=2, sort_keys=True)
    print(name, "loss %.5f" % e["loss"].item(), sorted(k for k in e if k.startswith("grad."))[:3])
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
