"""The grids of ggml's IQ blocks as gguf-py has them, for src/formats/quants/iq-grids.ts.

usage: python make_quant_grids.py > src/formats/quants/iq-grids.ts      (pip install gguf numpy)
"""
import base64
import gguf.quants as q
print("""// The grids of ggml's IQ blocks: each row holds the values of neighbouring weights, packed lowest bits
// first as numbers of the row's list of levels. Written by scripts/make_quant_grids.py from llama.cpp's
// tables (MIT License, see NOTICE). Independent of block layouts.

export interface PackedGrid {
  /** Base64 of the packed level numbers. */
  readonly packed: string
  /** Bits of a level number. */
  readonly bits: number
  /** Values of a row. */
  readonly width: number
  readonly levels: readonly number[]
}
""")
for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
    kind = getattr(q, name)
    bits = 2 if len(kind.grid_map) == 3 else 4
    text = base64.b64encode(bytes.fromhex(kind.grid_hex.decode())).decode()
    lines = [text[i : i + 90] for i in range(0, len(text), 90)]
    print(f"export const {name.lower()}: PackedGrid = {{")
    print(f"  bits: {bits},\n  width: {kind.grid_shape[1]},\n  levels: [{', '.join(map(str, kind.grid_map))}],")
    print("  packed: [\n" + "\n".join(f"    '{line}'," for line in lines) + "\n  ].join(''),\n}\n")
