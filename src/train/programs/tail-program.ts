// The last layers of a model as a forward and a backward program: computes final hidden states from
// the states that enter a layer, and an adapter's gradient from an error at the final hidden
// states. Earlier layers and the head's matrix are not involved. Independent of losses, optimisers
// and users.

import { type Adapter, listParameterSpecs, toAdapterFeeds } from '../../adapters/adapter.ts'
import { attach } from '../../adapters/attach.ts'
import { toInputName, toPeftKey } from '../../adapters/keys.ts'
import type { ServingWeightMap } from '../../adapters/serving/serving-weights.ts'
import { attachSlots, toSlotFeeds, withOwnRanks } from '../../adapters/serving/slots.ts'
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
  /**
   * f32 weights by checkpoint name; called with the names of the tail's weights when a program is
   * first needed.
   */
  readonly weights: (names: readonly string[]) => Promise<ReadonlyMap<string, F32Tensor>>
  /** Kind and configuration of adapters that may be in the tail. */
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
}

/** One sequence, from position 0. */
export interface TailInput {
  /** As they enter the layer, [T, D]. */
  readonly states: F32Tensor
  /** The positions, M of T, whose final hidden states are returned. */
  readonly rows: readonly number[]
  /** Tensors by PEFT key. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /**
   * Serving weights of another adapter below it that is not trained; those of earlier modules are
   * ignored.
   */
  readonly below?: ServingWeightMap | undefined
}

export interface TailProgram {
  /** PEFT keys of the tensors that have gradients, in the model's order. */
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

/** The tail with an adapter attached, and slots for another one below it. */
function attachTail({ model, layer, adapter }: TailProgramOptions) {
  const tail = sliceTail(model, layer)
  const slotted = attachSlots(attach(tail, adapter))
  const inputs = slotted.blocks.flatMap(({ prefix, graph }) =>
    graph.inputs.map(({ name }) => prefix + name),
  )
  const specs = [...listParameterSpecs(tail, adapter)]
  return {
    slotted,
    graph: gatherEarly(withOwnRanks(composeBlocks(removeLogits(slotted.blocks)))),
    trainable: specs.flatMap(([key, { trainable }]) => (trainable ? [key] : [])),
    weightNames: [...collectWeightShapes(removeLogits(tail.blocks)).keys()],
    inputs: new Set(inputs),
  }
}

type AttachedTail = ReturnType<typeof attachTail>

/** All feeds of the tail except the base's weights. Throws ShapeError. */
function collectTailFeeds(
  { slotted, inputs }: AttachedTail,
  { config }: ModelGraph,
  { states, rows, tensors, below }: TailInput,
): [string, Tensor][] {
  const [tokens, width] = states.shape
  if (states.shape.length !== 2 || width !== config.width)
    throw new ShapeError(
      `A tail takes states of shape [T, ${config.width}], got [${states.shape.join(', ')}].`,
    )
  const inTail = new Map([...(below ?? [])].filter(([path]) => inputs.has(`${path}.A`)))
  return [
    // token ids are no input of the tail
    ...collectModelFeeds(config, { ids: [new Array<number>(tokens!).fill(0)] }),
    ...toSlotFeeds(inTail, slotted),
    ...toAdapterFeeds({ tensors }),
    ['x', f32([1, tokens!, width], states.data)],
    ['rows', i64([rows.length], rows)],
  ]
}

/** Throws ShapeError for an error that is not [M, D]. */
function checkErrorShape(
  { shape }: F32Tensor,
  { rows }: TailInput,
  { config: { width } }: ModelGraph,
): void {
  if (shape.join() !== [rows.length, width].join())
    throw new ShapeError(
      `A tail takes an error of shape [${rows.length}, ${width}], got [${shape.join(', ')}].`,
    )
}

const toParameterGradients = (results: ReadonlyMap<string, Tensor>): Map<string, F32Tensor> =>
  new Map(
    [...results].map(([name, tensor]) => [
      toPeftKey(name.slice(toGradientName('').length)),
      tensor as F32Tensor,
    ]),
  )

/**
 * A program over the tail of a model; compiled when first needed. Throws OptionError for a layer
 * that does not exist, or an adapter that changes nothing in the tail.
 */
export function createTailProgram(options: TailProgramOptions): TailProgram {
  const { model, backend, weights } = options
  const tail = attachTail(options)
  const { graph, trainable, weightNames } = tail
  const differentiate = () =>
    withGradients(graph, { of: ['hidden'], withRespectTo: trainable.map(toInputName), keep: [] })
  const read = memoize(() => weights(weightNames))
  const forward = memoize(() => backend.compile(graph))
  const backward = memoize(() => backend.compile(differentiate()))
  const norms = new Map<string, number>()
  let disposed: Promise<void> | undefined
  const run = async (program: Program, input: TailInput, more: [string, Tensor][] = []) => {
    const feeds = collectTailFeeds(tail, model, input)
    return program.run(new Map<string, Tensor>([...(await read()), ...feeds, ...more]))
  }
  return {
    trainable,
    hidden: async (input) => (await run(await forward(), input)).get('hidden') as F32Tensor,
    async pullBack(input, error) {
      checkErrorShape(error, input, model)
      const feeds: [string, Tensor][] = [[toGradientName('hidden'), error]]
      return toParameterGradients(await run(await backward(), input, feeds))
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
      (disposed ??= Promise.all(
        [forward, backward].map(async (program) => (await program.made)?.dispose()),
      ).then(() => undefined)),
  }
}

interface Memoized<Value> {
  (): Promise<Value>
  readonly made: Promise<Value> | undefined
}

/** Created at first use. */
function memoize<Value>(make: () => Promise<Value>): Memoized<Value> {
  let made: Promise<Value> | undefined
  return Object.defineProperty(() => (made ??= make()), 'made', {
    get: () => made,
  }) as Memoized<Value>
}
