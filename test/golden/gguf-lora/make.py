"""Writes a PEFT LoRA for a Llama as llama.cpp's convert_lora_to_gguf.py does, by the names, keys and writer of the Python package gguf.

usage: python make.py PEFT_FOLDER BASE_FOLDER OUT.gguf      (needs gguf, numpy, safetensors)
lora_qv_r8.gguf: python make.py ../../parity/lora_qv_r8 ../../../src/experts/models/stories260k lora_qv_r8.gguf
"""
import json, sys, gguf
from safetensors.numpy import load_file
folder, base, out = sys.argv[1:]
adapter, model = json.load(open(f"{folder}/adapter_config.json")), json.load(open(f"{base}/config.json"))
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model["num_hidden_layers"])
heads = {"q_proj": model["num_attention_heads"], "k_proj": model["num_key_value_heads"]}
writer = gguf.GGUFWriter(out, "llama")
writer.add_type(gguf.GGUFType.ADAPTER)
writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(adapter["lora_alpha"]))
def permute(weights, n):                                               # LlamaModel.permute of convert_hf_to_gguf.py
    return weights.reshape(n, 2, weights.shape[0] // n // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)
for key, tensor in load_file(f"{folder}/adapter_model.safetensors").items():
    path, side = key.removeprefix("base_model.model.").removesuffix(".weight").split(".lora_")
    n = heads.get(path.split(".")[-1])
    if side == "B" and n: tensor = permute(tensor, n)
    writer.add_tensor(names.get_name(path + ".weight", try_suffixes=(".weight",)) + f".lora_{side.lower()}", tensor)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
