// Bench `learn`, the full step: one Adam step of a LoRA through the whole model on every turn, which
// the tiers' gain and time are compared with.

import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import { buildBatches } from '../../src/train/batches/packing.ts'
import { adamw } from '../../src/train/optimizers/adamw.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'
import type { Stream } from './learn-turns.ts'

export interface FullStepOutcome {
  /** Of each turn before learning from it. */
  readonly losses: readonly number[]
  /** Of each turn's step, in milliseconds. */
  readonly times: readonly number[]
}

const createLora = (model: LoadedModel) =>
  initializeAdapter('lora', { rank: 8, alpha: 16, targets: 'all-linear' }, model.base.graph, {
    seed: 0,
  })

/** Adam's steps on an adapter's tensors. */
function createAdam(tensors: ReturnType<typeof createLora>['tensors']) {
  const settings = adamw.complete({})
  const states = new Map(
    [...tensors].map(([key, { data }]) => [
      key,
      { mean: new Float32Array(data.length), square: new Float32Array(data.length) },
    ]),
  )
  return (
    gradients: ReadonlyMap<string, { data: unknown; shape: readonly number[] }>,
    step: number,
  ) => {
    for (const [key, { data, shape }] of gradients) {
      const parameter = tensors.get(key)!.data as Float32Array
      const gradient = data as Float32Array
      const state = states.get(key)!
      adamw.update({ parameter, gradient, shape, state, step, learningRate: 1e-3 }, settings)
    }
  }
}

/** Gradients of every linear layer's LoRA through all layers, and one step, for each turn. */
export async function trainFullSteps(
  model: LoadedModel,
  turns: Stream['turns'],
  progress: (text: string) => void,
): Promise<FullStepOutcome> {
  const adapter = createLora(model)
  const program = await createGradientProgram({
    graph: model.base.graph,
    weights: await model.weights(),
    backend: model.backend,
    adapter,
    trainable: [...adapter.tensors.keys()],
  })
  const update = createAdam(adapter.tensors)
  const losses: number[] = []
  const times: number[] = []
  try {
    for (const [i, turn] of turns.entries()) {
      const start = performance.now()
      const [batch] = buildBatches({ rows: [turn], shared: 0 }, [[[0]]])
      const { loss, gradients } = await program.gradients(batch!, adapter.tensors)
      update(gradients, i + 1)
      times.push(performance.now() - start)
      losses.push(loss)
      if (i % 20 !== 19) continue
      const lately = losses.slice(-20).reduce((sum, value) => sum + value, 0) / 20
      progress(`full step: turn ${i + 1}, mean loss of the last 20 ${lately.toFixed(3)}`)
    }
  } finally {
    await program.dispose()
  }
  return { losses, times }
}
