// The end of a model as one program forward and one back: final hidden states from the states that
// enter a layer, and the gradient of an adapter there from an error at those hidden states. Layers
// in front of it and the head's matrix take no part. Knows no loss, no optimiser and no user.

import { type Adapter, attach } from '../../adapters/index.ts'
import { toAdapterFeeds, listParameterSpecs } from '../../adapters/adapter.ts'
import { attachSlots, toSlotFeeds, withOwnRanks } from '../../adapters/serving/slots.ts'
import { toInputName, toPeftKey } from '../../adapters/keys.ts'
import type { ServingWeightMap } from '../../adapters/serving/serving-weights.ts'
import { assertInternal, ShapeError } from '../../base/errors.ts'
import { f32, type F32Tensor, i64, type Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { collectModelFeeds } from '../../graph/feeds.ts'
import { gatherEarly } from '../../graph/passes/gather-early.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import { composeBlocks, type ModelGraph, collectWeightShapes } from '../../graph/model-graph.ts'
import { sliceTail, removeLogits } from '../../graph/passes/tail.ts'

export interface TailProgramOptions {
  readonly model: ModelGraph
  /** The layer that the states enter. */
  readonly layer: number
  readonly backend: Backend
  /** f32 weights by checkpoint name; asked for those of the tail when a program is first needed. */
  readonly weights: (names: readonly string[]) => Promise<ReadonlyMap<string, F32Tensor>>
  /** Kind and configuration of adapters that may stand in the tail. */
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
}

/** One sequence, from position 0. */
export interface TailInput {
  /** As they enter the layer, [T, D]. */
  readonly states: F32Tensor
  /** Whose final hidden states are wanted, M of the T positions. */
  readonly rows: readonly number[]
  /** Tensors by PEFT key. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /**
   * Forms of another adapter below it that is not learned; those of modules in front of the tail
   * are passed over.
   */
  readonly below?: ServingWeightMap | undefined
}

export interface TailProgram {
  /** PEFT keys of the tensors that gradients are given for, in the model's order. */
  readonly trainable: readonly string[]
  /** Final hidden states [M, D], after the last norm. */
  hidden(input: TailInput): Promise<F32Tensor>
  /**
   * ∂(Σ error·hidden) for every trainable tensor by PEFT key; error: [M, D]. Throws ShapeError for
   * an error of another shape.
   */
  pullBack(input: TailInput, error: F32Tensor): Promise<Map<string, F32Tensor>>
  /** ‖W‖ (Frobenius) of a module's weight in the tail, by module path. */
  weightNorm(module: string): Promise<number>
  dispose(): Promise<void>
}

/**
 * A program over the tail of a model; compiled when first needed. Throws OptionError for a layer
 * that is not there, or an adapter that touches nothing in the tail.
 */
export function createTailProgram({
  model,
  layer,
  backend,
  weights,
  adapter,
}: TailProgramOptions): TailProgram {
  const tail = sliceTail(model, layer)
  const slotted = attachSlots(attach(tail, adapter))
  const graph = gatherEarly(withOwnRanks(composeBlocks(removeLogits(slotted.blocks))))
  const trainable = [...listParameterSpecs(tail, adapter)].flatMap(([key, spec]) =>
    spec.trainable ? [key] : [],
  )
  const back = () =>
    withGradients(graph, { of: ['hidden'], withRespectTo: trainable.map(toInputName), keep: [] })
  const read = memoize(() => weights([...collectWeightShapes(removeLogits(tail.blocks)).keys()]))
  const forward = memoize(() => backend.compile(graph))
  const backward = memoize(() => backend.compile(back()))
  const norms = new Map<string, number>()
  let gone: Promise<void> | undefined
  const modules = new Set(
    slotted.blocks.flatMap(({ prefix, graph: own }) => own.inputs.map(({ name }) => prefix + name)),
  )

  const run = async (
    program: Program,
    { states, rows, tensors, below }: TailInput,
    more: [string, Tensor][] = [],
  ) => {
    const [tokens, width] = states.shape
    if (states.shape.length !== 2 || width !== model.config.width)
      throw new ShapeError(
        `A tail takes states of shape [T, ${model.config.width}], got [${states.shape.join(', ')}].`,
      )
    const here = new Map([...(below ?? [])].filter(([path]) => modules.has(`${path}.A`)))
    return program.run(
      new Map<string, Tensor>([
        // its ids are no input here
        ...collectModelFeeds(model.config, { ids: [new Array<number>(tokens!).fill(0)] }),
        ...(await read()),
        ...toSlotFeeds(here, slotted),
        ...toAdapterFeeds({ tensors }),
        ['x', f32([1, tokens!, width], states.data)],
        ['rows', i64([rows.length], rows)],
        ...more,
      ]),
    )
  }
  return {
    trainable,
    hidden: async (input) => (await run(await forward(), input)).get('hidden') as F32Tensor,
    async pullBack(input, error) {
      if (error.shape.join() !== [input.rows.length, model.config.width].join())
        throw new ShapeError(
          `A tail takes an error of shape [${input.rows.length}, ${model.config.width}], got [${error.shape.join(', ')}].`,
        )
      const results = await run(await backward(), input, [[toGradientName('hidden'), error]])
      return new Map(
        [...results].map(([name, tensor]) => [
          toPeftKey(name.slice(toGradientName('').length)),
          tensor as F32Tensor,
        ]),
      )
    },
    async weightNorm(module) {
      const weight = (await read()).get(`${module}.weight`)
      assertInternal(weight, `the tail has no weight of ${module}`)
      const norm =
        norms.get(module) ?? Math.sqrt(weight.data.reduce((sum, value) => sum + value * value, 0))
      norms.set(module, norm)
      return norm
    },
    dispose: () =>
      (gone ??= Promise.all(
        [forward, backward].map(async (program) => (await program.made)?.dispose()),
      ).then(() => undefined)),
  }
}

interface Memoized<Value> {
  (): Promise<Value>
  readonly made: Promise<Value> | undefined
}

/** Made when first asked for. */
function memoize<Value>(make: () => Promise<Value>): Memoized<Value> {
  let made: Promise<Value> | undefined
  return Object.defineProperty(() => (made ??= make()), 'made', {
    get: () => made,
  }) as Memoized<Value>
}
