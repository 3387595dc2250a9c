"""Further tiny models beside those of make_arch.py: what its cases leave out of the architectures, with transformers' results.

usage: python make_arch_more.py OUT_DIR SEED
Layers without rotation, Gemma's full layers and capped logits, sliding layers of Qwen, heads that turn in part, every option of YaRN,
biases. Files as make_arch.py writes them.
"""
import json, os, sys, torch, transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
out, seed = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(2)
V = 96
base = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, vocab_size=V, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
rope = lambda **k: {"rope_theta": 10000.0, **k}
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
CASES = {
    "smollm3_no_rope": ("smollm3", dict(base)),
    "smollm3_sliding": ("smollm3", dict(base, use_sliding_window=True, sliding_window=10, no_rope_layer_interval=2)),
    "gemma3_text_full": ("gemma3_text", dict(base, num_hidden_layers=7, head_dim=12, query_pre_attn_scalar=16, sliding_window=12, final_logit_softcapping=5.0, attention_bias=True,
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})),
    "qwen2_sliding": ("qwen2", dict(base, use_sliding_window=True, sliding_window=8, max_window_layers=2)),
    "qwen3_yarn": ("qwen3", dict(base, head_dim=16, attention_bias=True, rope_parameters=rope(**YARN, mscale=1.2, mscale_all_dim=0.7, beta_fast=16, beta_slow=2, truncate=False))),
    "phi3_partial": ("phi3", dict(base, sliding_window=12, rope_parameters=rope(rope_type="default", partial_rotary_factor=0.5))),
    "llama_bias": ("llama", dict(base, attention_bias=True, mlp_bias=True, rope_parameters=rope(**YARN, attention_factor=1.1))),
}
for name, (model_type, options) in CASES.items():
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    numbers = torch.Generator().manual_seed(seed + 1)
    for n, p in model.named_parameters():
        p.data = torch.randn(p.shape, generator=numbers) * (0.2 if p.dim() > 1 else 0.1) + (1.0 if "norm" in n and "gemma" not in model_type else 0.0)
    ids = torch.randint(3, V, (2, 48), generator=numbers)
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        greedy = model.generate(ids[:1, :20], max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    folder = f"{out}/{name}"; os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    for f in os.listdir(folder):
        if f not in ("config.json", "model.safetensors"): os.remove(f"{folder}/{f}")
    save_file({"input_ids": ids, "logits": logits.contiguous(), "greedy": greedy.contiguous()}, f"{folder}/expected.safetensors")
    print(name, logits.abs().max().item())
json.dump({"torch": torch.__version__, "transformers": transformers.__version__, "seed": seed}, open(f"{out}/versions.json", "w"), indent=1)
