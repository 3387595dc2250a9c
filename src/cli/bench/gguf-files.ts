// Files for llama.cpp: the real SmolLM2 as Q4_0 (its own format is Q4_1), and an adapter as GGUF
// LoRA.

import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Adapter, encodeGgufAdapter } from '../../adapters/index.ts'
import type { Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import type { GgufEntry } from '../../formats/gguf/types.ts'
import { encodeGguf } from '../../formats/gguf/writer.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { quants } from '../../formats/quants/quant-table.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { resolveModel } from '../../node/models/resolve.ts'

export interface LlamaFiles {
  readonly q4_1: string
  readonly q4_0: string
  readonly lora: string
}

/** Writes the files into a new temporary folder. `graph` is the model the adapter is for. */
export async function writeLlamaFiles(adapter: Adapter, graph: ModelGraph): Promise<LlamaFiles> {
  const model = await resolveModel('smollm2-135m-instruct:q4_1')
  if (!('gguf' in model)) throw new Error('internal: the catalogue gave a folder for a GGUF')
  const folder = await mkdtemp(join(tmpdir(), 'graft-bench-'))
  const sink = createFileSink(folder)
  const file = await openGguf(model.gguf)
  const metadata = new Map(
    [...file.metadata].map(([key, value]) => [
      key,
      { type: file.metadataTypes.get(key), value } as GgufEntry,
    ]),
  )
  const tensors = new Map<string, Tensor>()
  for (const [name, { type, shape }] of file.tensors) {
    const tensor = await file.read(name)
    if (type === 'f32') tensors.set(name, tensor)
    else {
      const values = toFloat32(tensor)
      const blocks = new Uint8Array((values.length / 32) * 18)
      quants.q4_0.quantize!(values, blocks)
      tensors.set(name, { dtype: 'q4_0', shape, data: blocks })
    }
  }
  await sink.write('q4_0.gguf', encodeGguf({ metadata, tensors }))
  await sink.write('lora.gguf', encodeGgufAdapter(adapter, graph))
  return { q4_1: model.gguf.name, q4_0: join(folder, 'q4_0.gguf'), lora: join(folder, 'lora.gguf') }
}
