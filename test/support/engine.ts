// What the engine's tests share: the story model, experts whose effect is seen, answers of engines.

import * as ort from 'onnxruntime-node'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { type Adapter, type Expert, loadAdapter } from '../../src/adapters/index.ts'
import { f32 } from '../../src/base/tensor.ts'
import { joinAdapters } from '../../src/adapters/joint/joint-adapters.ts'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'
import { type BaseModel, openBaseModel } from '../../src/graph/index.ts'
import { openDirectory } from '../../src/node/files/folder.ts'
import { createEngine } from '../../src/runtime/create-engine.ts'
import { createModel, type Model } from '../../src/runtime/model.ts'
import type { Generation } from '../../src/runtime/engine/answer.ts'
import type { Engine, EngineRequest } from '../../src/runtime/engine/engine.ts'
import type { EngineOptions } from '../../src/runtime/engine/engine-options.ts'
import { readAnswer } from '../../src/runtime/engine/generate.ts'
import type { WeightChoice } from '../../src/runtime/programs/base-weights.ts'

const stories = new URL('../../src/catalogue/models/stories260k', import.meta.url).pathname

export async function openStories(weights?: WeightChoice): Promise<Model> {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(stories) })
  const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
  return createModel({ base, backend, ...(weights && { weights }) })
}

/** An adapter with random tensors, large enough to change what is written. */
export function createExpert(
  { graph }: Pick<BaseModel, 'graph'>,
  kind: string,
  options: Readonly<Record<string, unknown>>,
  seed: number,
): Adapter {
  const made = initializeAdapter(kind as 'lora', options as never, graph, { seed })
  const scale = kind === 'ia3' ? 1 : 3
  const tensors = [...made.tensors].map(([key, { shape, data }], n) => {
    const values = (data as Float32Array).map((value, i) =>
      kind === 'ia3' ? 1 + 0.3 * Math.sin(i + n + seed) : scale * value,
    )
    return [key, f32(shape, values)] as const
  })
  return { ...made, tensors: new Map(tensors) }
}

const openParity = (name: string) =>
  openDirectory(new URL(`../parity/${name}`, import.meta.url).pathname)

/** One expert of each way of being served, and the base. */
export async function createExperts({ base }: Pick<Model, 'base'>): Promise<{
  readonly [name: string]: Expert | undefined
}> {
  const lora = (rank: number, targets: readonly string[], seed: number) =>
    createExpert(base, 'lora', { rank, targets, start: 'random' }, seed)
  const first = lora(4, ['q_proj', 'v_proj', 'down_proj'], 3)
  const second = lora(2, ['gate_proj'], 4)
  const mixed = [
    { adapter: first, weight: 0.7 },
    { adapter: second, weight: 0.4 },
  ]
  return {
    base: undefined,
    first,
    second,
    wide: lora(64, ['q_proj', 'o_proj'], 5),
    ia3: createExpert(base, 'ia3', {}, 6),
    mixture: { mixture: mixed },
    attached: lora(2, ['embed_tokens', 'q_proj'], 7),
    dora: await loadAdapter(await openParity('dora_r6')),
    prompt: await loadAdapter(await openParity('prompt_8')),
    prefix: await loadAdapter(await openParity('prefix_6')),
    joint: joinAdapters([
      createExpert(base, 'ia3', {}, 8),
      await loadAdapter(await openParity('prompt_8')),
    ]),
    around: joinAdapters([first, await loadAdapter(await openParity('prefix_6'))]),
    scaled: joinAdapters([first, createExpert(base, 'ia3', {}, 9)]),
  }
}

/** A prompt of `length` tokens of the story model; equal seeds begin alike. */
export const createPrompt = (length: number, seed = 0): number[] =>
  Array.from({ length }, (_, i) => (i === 0 ? 1 : 3 + ((i * 97 + seed * 61 + i * i * 7) % 500)))

/** The answer of an engine that serves nothing else. */
export async function answerAlone(
  model: Model,
  request: EngineRequest,
  options: EngineOptions = {},
): Promise<Generation> {
  const engine = createEngine({ model, ...options })
  try {
    return await readAnswer(engine, request)
  } finally {
    await engine.dispose()
  }
}

/** Rows, blocks and leases that an idle engine holds. */
export function countHeld(engine: Engine): readonly number[] {
  const { running, waiting, kv, experts } = engine.stats()
  return [running, waiting, kv.blocks.used, experts.leases]
}
