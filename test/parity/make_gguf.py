"""The tiny models of architectures_recent as GGUF files, by gguf-py's own table of names and keys.

usage: python make_gguf.py PARITY_DIR
PARITY_DIR/gguf-architectures/<case>.gguf       f32, without a tokenizer
"""
import json, os, sys, gguf, numpy, torch
from safetensors.torch import load_file
parity = sys.argv[1]
ARCHITECTURES = {"lfm2": gguf.MODEL_ARCH.LFM2, "granite": gguf.MODEL_ARCH.GRANITE, "ministral3": gguf.MODEL_ARCH.MISTRAL3, "qwen3_5_text": gguf.MODEL_ARCH.QWEN35}

def interleave(w, heads):  # what convert_hf_to_gguf.py calls permute
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)

def write_common(w, c, epsilon):
    w.add_block_count(c["num_hidden_layers"]); w.add_context_length(c["max_position_embeddings"]); w.add_embedding_length(c["hidden_size"])
    w.add_head_count(c["num_attention_heads"]); w.add_layer_norm_rms_eps(c[epsilon]); w.add_vocab_size(c["vocab_size"])
    w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])

def write_lfm2(w, c, tensors):
    write_common(w, c, "norm_eps")
    w.add_head_count_kv([c["num_key_value_heads"] if t != "conv" else 0 for t in c["layer_types"]])
    w.add_shortconv_l_cache(c["conv_L_cache"])
    w.add_feed_forward_length(tensors["model.layers.0.feed_forward.w1.weight"].shape[0])
    return {n: t.squeeze(1) if n.endswith("conv.conv.weight") else t for n, t in tensors.items()}

def permute_heads(c, tensors):
    heads = lambda n: c["num_attention_heads"] if ".q_proj." in n else c["num_key_value_heads"] if ".k_proj." in n else 0
    return {n: interleave(t, heads(n)) if heads(n) else t for n, t in tensors.items()}

def write_ministral3(w, c, tensors):
    write_common(w, c, "rms_norm_eps"); rope = c["rope_parameters"]
    w.add_head_count_kv(c["num_key_value_heads"]); w.add_feed_forward_length(c["intermediate_size"])
    w.add_key_length(c["head_dim"]); w.add_value_length(c["head_dim"]); w.add_rope_dimension_count(c["head_dim"])
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN); w.add_rope_scaling_factor(rope["factor"])
    w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"]); w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    w.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"]); w.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
    return permute_heads(c, tensors)

def write_granite(w, c, tensors):
    write_common(w, c, "rms_norm_eps")
    w.add_head_count_kv(c["num_key_value_heads"]); w.add_feed_forward_length(c["intermediate_size"])
    w.add_attention_scale(c["attention_multiplier"]); w.add_embedding_scale(c["embedding_multiplier"])
    w.add_residual_scale(c["residual_multiplier"]); w.add_logit_scale(c["logits_scaling"])
    return permute_heads(c, tensors)

def write_qwen3_5_text(w, c, tensors):
    write_common(w, c, "rms_norm_eps"); k, v, dk, dv = (c[f"linear_{n}"] for n in ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim"))
    w.add_head_count_kv(c["num_key_value_heads"]); w.add_feed_forward_length(c["intermediate_size"])
    w.add_key_length(c["head_dim"]); w.add_value_length(c["head_dim"])
    w.add_rope_dimension_count(int(c["head_dim"] * c["rope_parameters"]["partial_rotary_factor"]))
    w.add_ssm_conv_kernel(c["linear_conv_kernel_dim"]); w.add_ssm_state_size(dk); w.add_ssm_group_count(k); w.add_ssm_time_step_rank(v); w.add_ssm_inner_size(v * dv)
    def tile(t, axis, width):  # value heads grouped by key head -> tiled over key heads
        lead = t.shape[:axis]
        return t.reshape(*lead, k, v // k, width, *t.shape[axis + 1:]).swapaxes(axis, axis + 1).reshape(t.shape)
    def change(n, t):
        keys = 2 * k * dk
        if n.endswith("in_proj_qkv.weight"): return numpy.concatenate([t[:keys], tile(t[keys:], 0, dv)])
        if n.endswith("conv1d.weight"): t = t.squeeze(1); return numpy.concatenate([t[:keys], tile(t[keys:], 0, dv)])
        if n.endswith("in_proj_z.weight"): return tile(t, 0, dv)
        if n.endswith(("in_proj_a.weight", "in_proj_b.weight", "dt_bias")): return tile(t, 0, 1)
        if n.endswith("A_log"): return -numpy.exp(tile(t, 0, 1))
        if n.endswith("linear_attn.out_proj.weight"): return tile(t, 1, dv)
        return t + 1 if n.endswith("norm.weight") and "linear_attn" not in n else t
    return {n.replace("dt_bias", "dt_proj.bias"): change(n, t) for n, t in tensors.items()}

os.makedirs(f"{parity}/gguf-architectures", exist_ok=True)
for name, write in {"lfm2": write_lfm2, "granite": write_granite, "ministral3": write_ministral3, "qwen3_5_text": write_qwen3_5_text}.items():
    folder = f"{parity}/architectures_recent/{name}"
    config = json.load(open(f"{folder}/config.json"))
    tensors = {n: t.numpy() for n, t in load_file(f"{folder}/model.safetensors").items()}
    arch = ARCHITECTURES[config["model_type"]]
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(f"{parity}/gguf-architectures/{name}.gguf", gguf.MODEL_ARCH_NAMES[arch])
    for n, t in write(writer, config, tensors).items():
        given = names.get_name(n, try_suffixes=(".weight", ".bias"))
        assert given, f"gguf-py has no name for {n}"
        writer.add_tensor(given, numpy.ascontiguousarray(t, numpy.float32))
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
    print(name, len(tensors), "tensors, gguf", __import__("importlib.metadata").metadata.version("gguf"))
