"""A small split GGUF, written by llama.cpp's Python package: make_gguf_split.py

Writes split-00001-of-00003.gguf and the two others, whole.gguf and versions.json.
"""

import importlib.metadata
import json
import pathlib

import gguf
import numpy

HERE = pathlib.Path(__file__).parent
RANDOM = numpy.random.default_rng(7)
TENSORS = {
    f"blk.{i}.attn_q.weight": RANDOM.standard_normal((4, 8)).astype(numpy.float32)
    for i in range(5)
}


def write(path, **split):
    writer = gguf.GGUFWriter(path, "llama", **split)
    writer.add_name("small")
    writer.add_block_count(5)
    writer.add_token_list(["a", "b"])
    for name, tensor in TENSORS.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write(HERE / "whole.gguf")
write(HERE / "split.gguf", split_max_tensors=2)
versions = {"gguf": importlib.metadata.version("gguf")}
(HERE / "versions.json").write_text(json.dumps(versions) + "\n")
