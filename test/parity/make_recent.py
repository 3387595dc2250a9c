"""Tiny random models of newer architectures with transformers' results, and adapters on them with PEFT's.

usage: python make_recent.py OUT_DIR SEED [ARCHITECTURE …]
OUT_DIR/architectures_recent/<case>/            files as make_arch.py writes them
OUT_DIR/recent/<case>_<kind>/                   an adapter as PEFT saves it, and expected.safetensors: input_ids, labels, logits, loss,
                                                gradients (grad.<key>), three AdamW steps (after3.<key>), merged logits
"""
import json, os, sys, torch, transformers, peft
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from peft import LoraConfig, IA3Config, LoHaConfig, LoKrConfig, PromptTuningConfig, PeftModel, TaskType, VeraConfig, get_peft_model, get_peft_model_state_dict
out, seed, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
torch.set_num_threads(2)
V = 96
base = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, vocab_size=V, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LFM2 = ["q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"]
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QWEN35 = ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj", *LLAMA]
DELTA = dict(head_dim=16, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=6, linear_conv_kernel_dim=4, layer_types=["linear_attention", "linear_attention", "full_attention", "linear_attention", "full_attention"],
    rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25, mrope_section=[1, 1, 0], mrope_interleaved=True))
CASES = {
    "lfm2": ("lfm2", dict(base, layer_types=["conv", "full_attention", "conv", "conv", "full_attention"], block_multiple_of=8)),
    "lfm2_bias": ("lfm2", dict(base, full_attn_idxs=[2], conv_bias=True, conv_L_cache=4, block_auto_adjust_ff_dim=False, tie_word_embeddings=False)),
    "granite": ("granite", dict(base, embedding_multiplier=6.0, residual_multiplier=0.22, attention_multiplier=0.2, logits_scaling=0.5, tie_word_embeddings=True)),
    "granite_bias": ("granite", dict(base, embedding_multiplier=3.0, residual_multiplier=0.5, attention_multiplier=0.3, logits_scaling=2.0, attention_bias=True, mlp_bias=True)),
    "granitemoehybrid": ("granitemoehybrid", dict(base, num_local_experts=0, shared_intermediate_size=40, position_embedding_type="rope", layer_types=["full_attention"] * 5, mamba_n_heads=4, embedding_multiplier=6.0, residual_multiplier=0.22, attention_multiplier=0.2, logits_scaling=0.5, tie_word_embeddings=True)),
    "granitemoehybrid_nope": ("granitemoehybrid", dict(base, num_local_experts=0, shared_intermediate_size=40, layer_types=["full_attention"] * 5, mamba_n_heads=4, residual_multiplier=0.5)),
    "ministral": ("ministral", dict(base, head_dim=12, sliding_window=10, layer_types=["full_attention", "sliding_attention", "sliding_attention", "sliding_attention", "full_attention"])),
    "ministral3": ("ministral3", dict(base, head_dim=12, rope_parameters=dict(type="yarn", rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, max_position_embeddings=128, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1))),
    "phi3_mini4": ("phi3", dict(base, hidden_size=64, tie_word_embeddings=True, max_position_embeddings=96, original_max_position_embeddings=96, partial_rotary_factor=0.75, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=[1.0 + 0.2 * i for i in range(6)], long_factor=[1.5 + i for i in range(6)], original_max_position_embeddings=96))),
    "qwen3_5_text": ("qwen3_5_text", dict(base, **DELTA, linear_num_value_heads=4)),
    "qwen3_5_text_equal": ("qwen3_5_text", dict(base, **DELTA, linear_num_value_heads=2, tie_word_embeddings=True, attention_bias=True)),
}
T_ = TaskType.CAUSAL_LM
def adapters(targets, value, last):
    return {
        "lora": LoraConfig(task_type=T_, r=4, lora_alpha=8, target_modules=targets),
        "dora": LoraConfig(task_type=T_, r=3, lora_alpha=6, use_dora=True, target_modules=targets),
        "ia3": IA3Config(task_type=T_, target_modules=value + [last], feedforward_modules=[last]),
        "loha": LoHaConfig(task_type=T_, r=2, alpha=4, target_modules=targets),
        "lokr": LoKrConfig(task_type=T_, r=2, alpha=4, target_modules=targets, decompose_factor=-1),
        "vera": VeraConfig(task_type=T_, r=4, target_modules=[targets[3]]),
        "prompt": PromptTuningConfig(task_type=T_, num_virtual_tokens=3),
    }
def some(targets, value, last, *kinds):
    made = adapters(targets, value, last)
    return {kind: made[kind] for kind in kinds}
LLAMA_ADAPTERS = (LLAMA, ["k_proj", "v_proj"], "down_proj")
ADAPTERS = {"lfm2": adapters(LFM2, ["k_proj", "v_proj", "in_proj"], "w2"), "granite": some(*LLAMA_ADAPTERS, "lora", "dora", "ia3"), "ministral3": some(*LLAMA_ADAPTERS, "lora"), "granitemoehybrid": some(["q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear"], ["k_proj"], "output_linear", "lora"), "qwen3_5_text": some(QWEN35, ["k_proj", "v_proj", "in_proj_qkv"], "down_proj", "lora", "dora", "ia3", "prompt")}
flat = lambda d: {k: v.detach().to(torch.float32 if v.is_floating_point() else v.dtype).contiguous().clone() for k, v in d.items()}

def make_model(name, model_type, options):
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    numbers = torch.Generator().manual_seed(seed + 1)
    for n, p in model.named_parameters():
        p.data = torch.randn(p.shape, generator=numbers) * (0.2 if p.dim() == 2 else 0.5 if p.dim() == 3 else 0.1) + (1.0 if "norm" in n and ("qwen3_5" not in name or "linear_attn" in n) else 0.0)
    ids = torch.randint(3, V, (2, 48), generator=numbers)
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        greedy = model.generate(ids[:1, :20], max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    folder = f"{out}/architectures_recent/{name}"; os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    for f in os.listdir(folder):
        if f not in ("config.json", "model.safetensors"): os.remove(f"{folder}/{f}")
    save_file({"input_ids": ids, "logits": logits.contiguous(), "greedy": greedy.contiguous()}, f"{folder}/expected.safetensors")
    print(name, "logits up to %.2f" % logits.abs().max().item(), greedy[0, 20:].tolist())

def perturb(model, scale):
    numbers = torch.Generator().manual_seed(seed + 7)
    for n, p in model.named_parameters():
        if not p.requires_grad: continue
        s = scale if any(part in n for part in ("lora", "lokr", "hada", "prompt")) else scale * 0.5
        if "magnitude" in n or "ia3" in n: p.data.mul_(1 + s * torch.randn(p.shape, generator=numbers))
        else: p.data.add_(s * torch.randn(p.shape, generator=numbers))

def make_adapter(name, kind, config):
    load = lambda: AutoModelForCausalLM.from_pretrained(f"{out}/architectures_recent/{name}", dtype=torch.float32, attn_implementation="eager")
    torch.manual_seed(seed)
    model = get_peft_model(load(), config); model.eval(); perturb(model, 0.2)
    folder = f"{out}/recent/{name}_{kind}"; model.save_pretrained(folder)
    config_file = f"{folder}/adapter_config.json"
    saved = json.load(open(config_file)); saved["base_model_name_or_path"] = name
    json.dump(saved, open(config_file, "w"), indent=2, sort_keys=True)
    numbers = torch.Generator().manual_seed(seed + 3)
    ids = torch.randint(3, V, (2, 20), generator=numbers)
    labels = ids.clone(); labels[:, :6] = -100
    run = lambda m: m(input_ids=ids, labels=labels, use_cache=False)
    e = {"input_ids": ids, "labels": labels}
    o = run(model); e["logits"], e["loss"] = o.logits, o.loss.reshape(1)
    o.loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    state = {"prompt_embeddings": next(iter(grads.values()))} if kind == "prompt" else get_peft_model_state_dict(model, state_dict={**dict(model.state_dict()), **{n: g for n, g in grads.items() if g is not None}})
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    for k, v in state.items():
        if "vera_A" not in k and "vera_B" not in k: e["grad." + k] = v
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad(); o = run(model); o.loss.backward(); optimizer.step(); losses.append(o.loss.detach())
    e["adamw_losses"] = torch.stack(losses)
    for k, v in get_peft_model_state_dict(model).items():
        if "vera_A" not in k and "vera_B" not in k: e["after3." + k] = v
    if kind != "prompt":
        merged = PeftModel.from_pretrained(load(), folder).merge_and_unload().eval()
        with torch.no_grad(): e["merged_logits"] = merged(input_ids=ids).logits
    save_file(flat(e), f"{folder}/expected.safetensors")
    if os.path.exists(f"{folder}/README.md"): os.remove(f"{folder}/README.md")
    print(name, kind, "loss %.5f" % e["loss"].item(), len(trained), "trained")

for name, (model_type, options) in CASES.items():
    if wanted and model_type not in wanted: continue
    make_model(name, model_type, options)
    for kind, config in ADAPTERS.get(name, {}).items(): make_adapter(name, kind, config)
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": seed}, open(f"{out}/architectures_recent/versions.json", "w"), indent=1)
