// Writes models and adapters in another form. Weights pass through one tensor at a time.

import { UnsupportedError } from '../base/errors.ts'
import { fromFloat32, toFloat32 } from '../formats/convert.ts'
import type { FloatChoice } from '../graph/hugging-face-folder.ts'
import { loadAdapter, saveAdapter } from '../node/adapters.ts'
import { readExpertNotes, writeExpertNotes } from '../node/expert-notes.ts'
import { fileSink } from '../node/file-sink.ts'
import { huggingFaceCopy } from '../node/hugging-face-copy.ts'
import { resolveModel } from '../node/resolve.ts'
import { bytes } from './ui/format.ts'
import type { Progress } from './ui/progress.ts'
import type { Terminal } from './ui/terminal.ts'

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
  let progress: Progress | undefined
  const { tensors, sizeBytes } = await huggingFaceCopy(resolved.gguf, to, dtype, (name, done, total) => {
    progress ??= terminal.progress('writing', total)
    progress.update(done, name)
  })
  progress?.end()
  terminal.print(`${to}: ${tensors} tensors in ${dtype}, ${bytes(sizeBytes)}`)
  return { type: 'model', from, to, dtype, tensors, sizeBytes }
}
