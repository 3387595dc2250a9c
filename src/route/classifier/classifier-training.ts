// A LoRA that makes a base answer with the token of the right expert, trained by `train`.

import type { Adapter } from '../../adapters/adapter.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { readWeights } from '../../graph/read-weights.ts'
import type { Model } from '../../runtime/model.ts'
import { getModelParts } from '../../runtime/model-parts.ts'
import type { EncodedData } from '../../train/data/encode.ts'
import { train } from '../../train/run/train.ts'
import type { NumberedPrompt } from '../training/training-set.ts'
import { encodePrompt } from './label-tokens.ts'

export interface ClassifierSettings {
  readonly rank: number
  readonly epochs: number
  readonly learningRate: number
  readonly maxTokens: number
  readonly seed: number
}

/** Prompts whose one scored token is that of their expert. */
export function encodeExamples(
  model: Model,
  examples: readonly NumberedPrompt[],
  labels: Int32Array,
  maxTokens: number,
): EncodedData {
  const rows = examples.map(({ text, expert }) => {
    const ids = encodePrompt(model.base.tokenizer!, text, maxTokens)
    const weights = new Float32Array(ids.length + 1)
    weights[ids.length] = 1
    return { ids: Int32Array.from([...ids, labels[expert]!]), weights }
  })
  const { length } = rows
  return { name: 'prompts', format: 'experts', rows, examples: length, cut: 0, dropped: 0 }
}

/** Tensors in 16 bits, as a router's file keeps them. */
const roundToHalf = (adapter: Adapter): Adapter => ({
  ...adapter,
  tensors: new Map(
    [...adapter.tensors].map(([key, tensor]): [string, F32Tensor] => [
      key,
      f32(tensor.shape, Float32Array.from(Float16Array.from(toFloat32(tensor)))),
    ]),
  ),
})

export async function trainClassifier(
  model: Model,
  data: EncodedData,
  { rank, epochs, learningRate, seed }: ClassifierSettings,
): Promise<Adapter> {
  const { backend } = getModelParts(model)
  const longest = Math.max(...data.rows.map(({ ids }) => ids.length))
  const run = train({
    model: { base: model.base, backend, weights: () => readWeights(model.base) },
    adapter: { kind: 'lora', config: { rank, alpha: 2 * rank, targets: 'all-linear' } },
    data,
    epochs,
    learningRate,
    seed,
    batch: { rows: 4, tokens: Math.max(128, longest) },
  })
  return roundToHalf((await run.done).adapter)
}
