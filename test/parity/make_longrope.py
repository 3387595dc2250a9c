"""Tiny models with LongRoPE, with transformers' results.

usage: python make_longrope.py OUT_DIR SEED
Each in a context beyond the original one, so that sequences longer than that take the long divisors; and, named _short, with sequences
that take the short ones. Files as make_arch.py writes them.
"""
import json, os, sys, torch, transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
out, seed = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(2)
V = 96
base = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, vocab_size=V, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
SHORT, LONG = [1.0, 1.1, 1.3, 1.6], [1.0, 1.9, 3.7, 7.4]
rope = lambda n, **k: {"rope_theta": 10000.0, "rope_type": "longrope", "short_factor": SHORT[:n], "long_factor": LONG[:n], **k}
CASES = {
    "llama_longrope": ("llama", dict(base, rope_parameters=rope(4, original_max_position_embeddings=16))),
    "llama_longrope_short": ("llama", dict(base, rope_parameters=rope(4, original_max_position_embeddings=64, factor=3.0))),
    "phi3_longrope": ("phi3", dict(base, original_max_position_embeddings=16, rope_parameters=rope(3, partial_rotary_factor=0.75))),
    "phi3_longrope_short": ("phi3", dict(base, original_max_position_embeddings=64, rope_parameters=rope(4, attention_factor=1.25))),
}
for name, (model_type, options) in CASES.items():
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    numbers = torch.Generator().manual_seed(seed + 1)
    for n, p in model.named_parameters():
        p.data = torch.randn(p.shape, generator=numbers) * (0.2 if p.dim() > 1 else 0.1) + (1.0 if "norm" in n else 0.0)
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
