// A replica's message to the others about batches: losses and the loss's other outputs, by the
// batch's index in its step. It is a safetensors file in memory, because the reader validates every
// byte.

import type { Tensor } from '../../base/tensor.ts'
import { FormatError } from '../../base/errors.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import type { NamedTensors } from '../losses/loss.ts'

/** The measurements of one batch. */
export interface MeasuredBatch {
  /** Its place among the batches of a step, or of a validation. */
  readonly index: number
  readonly loss: number
  readonly outputs?: NamedTensors | undefined
}

const lossesName = 'losses'
const indicesName = 'indices'

const toList = (values: readonly number[]): Tensor => ({
  dtype: 'f64',
  shape: [values.length],
  data: Float64Array.from(values),
})

/** One note of these batches. */
export function encodeNote(batches: readonly MeasuredBatch[]): Uint8Array {
  const tensors = new Map<string, Tensor>([
    [indicesName, toList(batches.map(({ index }) => index))],
    [lossesName, toList(batches.map(({ loss }) => loss))],
  ])
  for (const { index, outputs } of batches)
    for (const [name, tensor] of outputs ?? []) tensors.set(`${index}:${name}`, tensor)
  const chunks = [...encodeSafetensors(tensors)]
  const note = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    note.set(chunk, at)
    at += chunk.length
  }
  return note
}

/** The batches of a note. Throws FormatError for invalid bytes. */
export async function decodeNote(note: Uint8Array, rank: number): Promise<MeasuredBatch[]> {
  const source = createMemorySource(`the note of replica ${rank}`, note)
  const store = await openSafetensors(source)
  const readList = async (name: string): Promise<number[]> => {
    const { data } = await store.read(name)
    if (!(data instanceof Float64Array))
      throw new FormatError(`${source.name}: "${name}" is not a list of f64.`)
    return [...data]
  }
  const indices = await readList(indicesName)
  const losses = await readList(lossesName)
  if (indices.length !== losses.length)
    throw new FormatError(
      `${source.name}: has ${losses.length} losses of ${indices.length} batches.`,
    )
  const outputs = new Map<number, Map<string, Tensor>>()
  for (const key of store.tensors.keys()) {
    const colon = key.indexOf(':')
    if (colon < 0) continue
    const index = Number(key.slice(0, colon))
    const own = outputs.get(index) ?? new Map<string, Tensor>()
    own.set(key.slice(colon + 1), await store.read(key))
    outputs.set(index, own)
  }
  return indices.map((index, i) => ({ index, loss: losses[i]!, outputs: outputs.get(index) }))
}
