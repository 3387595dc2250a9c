// One adapter in every format that adapters are found in: PEFT, llama.cpp, mlx-lm, a Modelfile.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../src/adapters/adapter.ts'
import { encodeGgufAdapter } from '../../src/adapters/files/gguf.ts'
import { joinBytes } from '../../src/base/concat.ts'
import { f32 } from '../../src/base/tensor.ts'
import { encodeSafetensors } from '../../src/formats/safetensors/writer.ts'
import type { ModelGraph } from '../../src/graph/model-graph.ts'
import { saveAdapter } from '../../src/node/adapters.ts'

/** A in mlx-lm's order: [in, R] and [R, out]. */
function transposeAll({ tensors }: Adapter) {
  return new Map(
    [...tensors].map(([key, { shape, data }]) => {
      const [rows, columns] = shape as [number, number]
      const name = key.slice('base_model.model.'.length).toLowerCase().replace('.weight', '')
      const transposed = Array.from(
        { length: rows * columns },
        (_, i) => (data as Float32Array)[(i % rows) * columns + Math.floor(i / rows)]!,
      )
      return [name, f32([columns, rows], transposed)] as const
    }),
  )
}

/** Writes `peft`, `x.gguf`, `mlx` and `Modelfile` into a folder; a LoRA of rank 2 and scale 2. */
export async function writeAdapterFormats(
  folder: string,
  adapter: Adapter,
  graph: ModelGraph,
): Promise<void> {
  await saveAdapter(adapter, join(folder, 'peft'))
  await writeFile(join(folder, 'x.gguf'), joinBytes(encodeGgufAdapter(adapter, graph)))
  await mkdir(join(folder, 'mlx'))
  const matrices = encodeSafetensors(transposeAll(adapter))
  await writeFile(join(folder, 'mlx', 'adapters.safetensors'), joinBytes(matrices))
  await writeFile(
    join(folder, 'mlx', 'adapter_config.json'),
    JSON.stringify({ fine_tune_type: 'lora', lora_parameters: { rank: 2, scale: 2, dropout: 0 } }),
  )
  const lines = ['# mine', 'FROM stories260k', 'adapter ./x.gguf', 'PARAMETER temperature 0']
  await writeFile(join(folder, 'Modelfile'), [...lines, 'SYSTEM """two', 'FROM here"""'].join('\n'))
}
