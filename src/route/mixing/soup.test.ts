import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createModel, type Model } from '../../runtime/index.ts'
import { learnMixture, type SoupExample } from './learn-mixture.ts'

const folder = new URL('../../catalogue/models/stories260k', import.meta.url).pathname
const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
let model: Model
let experts: Map<string, Adapter>
let examples: SoupExample[]

/** A LoRA with random matrices that changes what the model writes. */
function drawAdapter(seed: number): Adapter {
  const adapter = initializeAdapter('lora', { rank: 4 }, model.base.graph, { seed })
  const draw = random(seed)
  const tensors = new Map(
    [...adapter.tensors].map(([key, tensor]) => {
      const size = tensor.shape.reduce((product, dim) => product * dim, 1)
      return [
        key,
        f32(
          tensor.shape,
          Float32Array.from({ length: size }, () => 0.12 * draw.normal()),
        ),
      ]
    }),
  )
  return { ...adapter, tensors }
}

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend })
  experts = new Map([1, 2, 3].map((seed) => [`expert-${seed}`, drawAdapter(seed)]))
  const [first, second] = [...experts.values()]
  const adapter = {
    mixture: [
      { adapter: first!, weight: 0.6 },
      { adapter: second!, weight: 0.4 },
    ],
  }
  const prompts = ['Once upon a time', 'The big dog', 'Lily and Tom', 'One day a girl']
  examples = await Promise.all(
    prompts.map(async (prompt) => ({
      prompt,
      answer: await model.complete(prompt, { adapter, maxTokens: 24, temperature: 0 }),
    })),
  )
}, 60_000)
afterAll(() => model.dispose())

it('finds weights that answer a task better than any expert, an even mixture and the base', async () => {
  const found = await learnMixture(model, experts, examples, { rounds: 50 })
  expect(found.loss).toBeLessThan(Math.min(found.base, ...Object.values(found.alone)) - 0.05)
  const weights = Object.fromEntries(found.mixture.map(({ name, weight }) => [name, weight]))
  expect(weights['expert-1']).toBeGreaterThan(0.3)
  expect(weights['expert-2']).toBeGreaterThan(0.15)
  expect(Math.abs(weights['expert-3'] ?? 0)).toBeLessThan(0.3)
  const again = await learnMixture(model, experts, examples, { rounds: 50 })
  expect(again).toEqual(found)
}, 60_000)

it('refuses no experts, no examples and unknown options', async () => {
  await expect(learnMixture(model, new Map(), examples)).rejects.toThrow(OptionError)
  await expect(learnMixture(model, experts, [])).rejects.toThrow(OptionError)
  await expect(learnMixture(model, experts, examples, { round: 3 } as object)).rejects.toThrow(
    /rounds/,
  )
})
