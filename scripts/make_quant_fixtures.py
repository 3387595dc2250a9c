"""Block formats and float types as the Python packages gguf and ml_dtypes/torch compute them, for src/formats.

usage: python make_quant_fixtures.py > src/formats/quants/fixtures.json      (pip install gguf numpy torch)
Every case is base64: `blocks`, random bytes whose f16 scales are finite, and `values`, what gguf.quants.dequantize makes of them (f32).
For formats that gguf can quantise, also `source` (f32) and `quantized`.
"""
import base64, json
import numpy as np
import gguf
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

F16_AT = {  # byte positions of the f16 numbers of a block
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0], T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0], T.IQ1_S: [0], T.IQ1_M: [], T.MXFP4: [],
}
rng = np.random.default_rng(20240607)
text = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
out = {}
for kind, positions in F16_AT.items():
    elements, size = GGML_QUANT_SIZES[kind]
    count = 16 if elements == 32 else 4
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in positions:
        bits = rng.integers(0, 0x7C00, count).astype(np.uint16) | (rng.integers(0, 2, count).astype(np.uint16) << 15)
        blocks[:, at : at + 2] = bits.view(np.uint8).reshape(count, 2)
    if kind is T.IQ1_M: blocks[:, 55] &= 0x3F  # the highest bits of d: it is finite
    case = {"blocks": text(blocks), "values": text(dequantize(blocks.reshape(1, -1), kind).astype(np.float32))}
    if kind in (T.Q4_0, T.Q4_1, T.Q8_0):
        source = rng.standard_normal((16, 32)).astype(np.float32) * np.float32(10.0) ** rng.integers(-4, 3, (16, 1)).astype(np.float32)
        source[0] = 0
        source[1] = 2.5
        source[2] = np.linspace(-1, 1, 32, dtype=np.float32)
        source[3] = np.arange(32) - 16
        case |= {"source": text(source), "quantized": text(quantize(source, kind))}
    out[kind.name.lower()] = case
print(json.dumps(out, indent=1))
