"""Writes reference results of PEFT for activated LoRA (aLoRA): a LoRA that acts from the last occurrence of its invocation tokens on.

usage: python make_alora.py STORIES260K_DIR OUT_DIR SEED
needs: torch, transformers, peft, safetensors (the versions used are written to OUT_DIR/versions.json)

OUT_DIR/<case>/adapter_config.json, adapter_model.safetensors   as PEFT saves them
OUT_DIR/<case>/expected.safetensors   input_ids, labels, logits, loss, grad.<key>, adamw_losses, after3.<key>; and from generate, greedy:
                                      generated (continuations of input_ids), left_ids, left_lengths, left_generated (prompts padded on the left)
Rows of input_ids: the invocation once; twice, of which the last counts; never; cut off at the end, which is never.
"""
import json, os, sys, torch, transformers, peft
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
stories, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(2)
os.makedirs(out, exist_ok=True)
load = lambda: AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32, attn_implementation="eager").eval()
N, T, NEW = 4, 14, 10
few = dict(task_type=TaskType.CAUSAL_LM, layers_to_transform=[1, 3])
flat = lambda d: {k: v.detach().contiguous().clone() for k, v in d.items()}
greedy = dict(max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)
g = torch.Generator().manual_seed(seed)
random_ids = torch.randint(3, 512, (N, T), generator=g)
# The one invocation is a token that the base itself writes behind row 2: in what is written it activates nothing.
with torch.no_grad(): written = load().generate(input_ids=random_ids[2:3], attention_mask=torch.ones(1, T, dtype=torch.long), **greedy)[0, T:]
own = int(next(t for t in written[1:6] if not (random_ids == t).any()))
CASES = {
    "span": ([17, 44, 17], LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], alora_invocation_tokens=[17, 44, 17], **few)),
    "shift": ([own], LoraConfig(r=3, lora_alpha=6, use_rslora=True, lora_bias=True, target_modules=["o_proj", "lm_head"], alora_invocation_tokens=[own], **few)),
}
def rows(inv):
    ids, k = random_ids.clone(), len(inv)
    put = lambda n, t, tokens: ids[n, t : t + len(tokens)].copy_(torch.tensor(tokens))
    put(0, 5, inv); put(1, 2, inv); put(1, 8, inv)
    if k > 1: put(1, 10, inv); put(3, T - k + 1, inv[:-1])          # the second occurrence of row 1 overlaps a third
    return ids
for name, (inv, config) in CASES.items():
    torch.manual_seed(seed)
    ids = rows(inv); labels = ids.clone(); labels[:, : T // 3] = -100
    m = get_peft_model(load(), config); m.eval()
    for n, p in m.named_parameters():
        if p.requires_grad: p.data.add_(0.06 * torch.randn(p.shape, generator=g))
    d = f"{out}/{name}"; m.save_pretrained(d, save_embedding_layers=False)
    os.path.exists(f"{d}/README.md") and os.remove(f"{d}/README.md")
    cfg = json.load(open(f"{d}/adapter_config.json")); cfg["base_model_name_or_path"] = os.path.basename(stories.rstrip("/"))
    json.dump(cfg, open(f"{d}/adapter_config.json", "w"), indent=2, sort_keys=True)
    e = {"input_ids": ids, "labels": labels}
    with torch.no_grad():
        e["generated"] = m.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **greedy)[:, T:]
        lengths = torch.tensor([T, T - 1, T - 3, T - 4])
        left, mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for n, k in enumerate(lengths): left[n, T - k :], mask[n, T - k :] = ids[n, :k], 1
        e["left_ids"], e["left_lengths"] = left, lengths
        e["left_generated"] = m.generate(input_ids=left, attention_mask=mask, **greedy)[:, T:]
    o = m(input_ids=ids, labels=labels, use_cache=False)
    e["logits"], e["loss"] = o.logits, o.loss.reshape(1)
    o.loss.backward()
    grads = {n: p.grad for n, p in m.named_parameters() if p.requires_grad}
    for k, v in get_peft_model_state_dict(m, state_dict={**m.state_dict(), **grads}, save_embedding_layers=False).items(): e["grad." + k] = v
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(3):
        opt.zero_grad(); o = m(input_ids=ids, labels=labels); o.loss.backward(); opt.step(); losses.append(o.loss.detach())
    e["adamw_losses"] = torch.stack(losses)
    for k, v in get_peft_model_state_dict(m, save_embedding_layers=False).items(): e["after3." + k] = v
    save_file(flat(e), f"{d}/expected.safetensors")
    print(name, inv, "loss %.5f" % e["loss"].item(), e["adamw_losses"].tolist(), e["generated"].tolist(), sorted(k for k in e if k.startswith("grad."))[:4])
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
