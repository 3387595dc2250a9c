// What the tests of training share: a small tokenizer, a sink in memory, a model without a graph
// program, the embedded stories model.

import { readFile } from 'node:fs/promises'
import * as onnxRuntime from 'onnxruntime-node'
import { f32, type F32Tensor, type Tensor } from '../../src/base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'
import { createMemorySource } from '../../src/formats/memory-source.ts'
import type { ByteFolder } from '../../src/formats/byte-source.ts'
import type { Tokenizer } from '../../src/formats/text/tokenizer.ts'
import { openBaseModel } from '../../src/graph/base-model.ts'
import { readWeights } from '../../src/graph/read-weights.ts'
import type { Batch } from '../../src/train/batches/batch.ts'
import type { GradientProgram } from '../../src/train/programs/gradient-program.ts'
import type { TrainableModel } from '../../src/train/programs/trainable-model.ts'

export { memorySink as memoryFolder } from './adapters.ts'

export const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const specials = ['<s>', '<|im_end|>', '<|im_start|>']

/**
 * One id per character; `merges` and the special tokens are one id each. '<s>' begins a text,
 * '<|im_end|>' ends it.
 */
export function characterTokenizer(merges: readonly string[] = []): Tokenizer {
  const long = [...specials, ...merges]
  const textOf = (id: number): string =>
    id < 100 ? (long[id] ?? '') : String.fromCharCode(id - 100)
  return {
    vocabularySize: 100 + 0x10000,
    bosId: 0,
    eosId: 1,
    encode(text, { addSpecialTokens = false } = {}) {
      const ids = addSpecialTokens ? [0] : []
      for (let at = 0; at < text.length;) {
        const token = long.findIndex((part) => text.startsWith(part, at))
        ids.push(token >= 0 ? token : 100 + text.charCodeAt(at))
        at += token >= 0 ? long[token]!.length : 1
      }
      return ids
    },
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      ids
        .filter((id) => !(skipSpecialTokens && id < specials.length))
        .map(textOf)
        .join(''),
    tokenId: (token) => (long.includes(token) ? long.indexOf(token) : undefined),
  }
}

export const backend = createOnnxRuntimeBackend(
  onnxRuntime as unknown as Parameters<typeof createOnnxRuntimeBackend>[0],
  { threads: 1 },
)

/** The embedded 260k-parameter Llama. */
export async function storiesModel(): Promise<TrainableModel> {
  const directory = new URL('../../src/catalogue/models/stories260k/', import.meta.url)
  const folder: ByteFolder = {
    name: 'stories260k',
    async open(path) {
      const bytes = await readFile(new URL(path, directory)).catch(() => undefined)
      return bytes && createMemorySource(path, bytes)
    },
  }
  const base = await openBaseModel({ name: 'stories260k', folder })
  const weights = await readWeights(base)
  return { base, backend, weights: async () => weights }
}

/**
 * A program without a model: each label's loss is ½·Σ (p − label)²; it depends on tokens, weights
 * and the dropout seed.
 */
export function quadraticProgram(): GradientProgram {
  const run = (batch: Batch, parameters: ReadonlyMap<string, Tensor>, noise: number) => {
    let loss = 0
    const gradients = new Map<string, F32Tensor>()
    for (const [key, { shape, data }] of parameters) {
      const gradient = f32(shape)
      batch.labels.forEach((label, m) => {
        const weight = batch.weights[m]!
        for (let i = 0; i < gradient.data.length; i++) {
          const distance = Number(data[i]) - (label % 7) / 7 - noise
          loss += (weight * distance * distance) / 2 / gradient.data.length
          gradient.data[i]! += (weight * distance) / gradient.data.length
        }
      })
      gradients.set(key, gradient)
    }
    return { loss, gradients }
  }
  return {
    gradients: async (batch, parameters, { dropoutSeed = 0 } = {}) =>
      run(batch, parameters, (dropoutSeed % 1000) * 1e-6),
    loss: async (batch, parameters) => run(batch, parameters, 0).loss,
    measure: async (batch, parameters) => ({
      loss: run(batch, parameters, 0).loss,
      outputs: new Map(),
    }),
    dispose: async () => undefined,
  }
}
