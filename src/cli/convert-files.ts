// Writes models and adapters in another form. Weights pass through one tensor at a time.

import { elementBytes } from '../base/dtype.ts'
import { bytesView, sizeOf } from '../base/tensor.ts'
import { UnsupportedError } from '../base/errors.ts'
import { fromFloat32, toFloat32 } from '../formats/convert.ts'
import { openGguf } from '../formats/gguf.ts'
import { readGgufConfig } from '../formats/gguf-config.ts'
import { ggufAsHuggingFace } from '../formats/gguf-names.ts'
import { ggufTokenizer } from '../formats/gguf-tokenizer.ts'
import { safetensorsHeader } from '../formats/safetensors-writer.ts'
import type { TensorStore } from '../formats/tensor-store.ts'
import { finiteFloat32 } from '../graph/read-weights.ts'
import { loadAdapter, saveAdapter } from '../node/adapters.ts'
import { readExpertNotes, writeExpertNotes } from '../node/expert-notes.ts'
import { fileSink } from '../node/file-sink.ts'
import { resolveModel } from '../node/resolve.ts'
import { bytes } from './ui/format.ts'
import type { Terminal } from './ui/terminal.ts'

export type FloatChoice = 'f32' | 'f16' | 'bf16'

/** An adapter in another float type, under the same keys. */
export async function convertAdapter(from: string, to: string, dtype: FloatChoice, terminal: Terminal) {
  const adapter = await loadAdapter(from)
  const notes = await readExpertNotes(from)
  const tensors = new Map(
    [...adapter.tensors].map(([key, tensor]) => [key, { dtype, shape: tensor.shape, data: fromFloat32(toFloat32(tensor), dtype) }]),
  )
  await saveAdapter({ ...adapter, tensors }, to)
  if (notes) await writeExpertNotes(notes, fileSink(to))
  const sizeBytes = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0)
  terminal.print(`${to}: ${tensors.size} tensors in ${dtype}, ${bytes(sizeBytes)}`)
  return { type: 'adapter', from, to, dtype, tensors: tensors.size, sizeBytes }
}

/** A GGUF file as a folder with config.json, tokenizer and model.safetensors, config.json last: a folder that has one is whole. */
export async function convertModel(from: string, to: string, dtype: FloatChoice, terminal: Terminal) {
  const resolved = await resolveModel(from)
  if (!('gguf' in resolved))
    throw new UnsupportedError(`${from}: is a folder in the Hugging Face layout already; only GGUF files are converted.`)
  const file = await openGguf(resolved.gguf)
  try {
    const config = await readGgufConfig(file)
    const store = ggufAsHuggingFace(file)
    const { tokenizerJson, tokenizerConfig } = ggufTokenizer(file.metadata)
    const sink = fileSink(to)
    await sink.write('model.safetensors', modelChunks(store, dtype, terminal))
    const json = (value: unknown): Uint8Array[] => [new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)]
    await sink.write('tokenizer.json', json(tokenizerJson))
    await sink.write('tokenizer_config.json', json(tokenizerConfig))
    await sink.write('config.json', json({ ...config, dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[dtype] }))
    const sizeBytes = [...store.tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape) * elementBytes[dtype], 0)
    terminal.print(`${to}: ${store.tensors.size} tensors in ${dtype}, ${bytes(sizeBytes)}`)
    return { type: 'model', from, to, dtype, tensors: store.tensors.size, sizeBytes }
  } finally {
    await file.close()
  }
}

async function* modelChunks(store: TensorStore, dtype: FloatChoice, terminal: Terminal): AsyncGenerator<Uint8Array> {
  const headers = new Map([...store.tensors].map(([name, { shape }]) => [name, { dtype, shape }]))
  const { bytes: header, order } = safetensorsHeader(headers, { format: 'pt' })
  const progress = terminal.progress('writing', order.length)
  yield header
  for (const [i, name] of order.entries()) {
    progress.update(i)
    const { shape, data } = finiteFloat32(name, await store.read(name))
    yield bytesView({ dtype, shape, data: fromFloat32(data, dtype) })
  }
  progress.end()
}
