// The step programs (decode and prefill), each compiled at first use and kept. Independent of
// caches, adapters and requests.

import { f32, i64, type Tensor } from '../../../base/tensor.ts'
import type { Program } from '../../../compute/backend.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import type { BaseWeights } from '../base-weights.ts'
import { LOGIT_ROWS } from '../cached-graph.ts'
import { collectCallFeeds } from '../call-feeds.ts'
import type { ProgramCompiler, WeightedGraph } from '../program-compiler.ts'
import { chooseSampleIds, collectInt8Inputs, readLargest } from './int8-products.ts'
import {
  buildDecodeGraph,
  buildObservingGraph,
  buildPrefillGraph,
  type StepNeeds,
} from './step-graph.ts'

export interface CompiledStep {
  /**
   * Runs a step. Feeds: those of step-feeds.ts, past.<layer>.k and .v [N, K, C, d], and the
   * adapters' tensors of its form. Outputs: cache.<layer>.k and .v [N, K, T, d], hidden, logits,
   * and states where they were asked for. Weights are added here.
   */
  run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>
}

export interface StepPrograms {
  /** One token of each row. */
  decode(needs: StepNeeds): Promise<CompiledStep>
  /** A piece of one prompt; the form 'grouped' is not for it. */
  prefill(needs: StepNeeds): Promise<CompiledStep>
  /**
   * Announces that experts will be used as well as the base, so that programs that share weights
   * are compiled for both at once.
   */
  expectExperts(): void
  /** How many programs are compiled. */
  readonly count: number
  dispose(): Promise<void>
}

export interface StepProgramParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly compiler: ProgramCompiler
  /**
   * Token ids of a representative text, to calibrate products in 8 bits. Default: ids spread over
   * the vocabulary.
   */
  readonly sample?: (() => readonly number[]) | undefined
}

type StepKind = 'decode' | 'prefill'
type StepProgram = CompiledStep & Pick<Program, 'dispose'>

const builders = { decode: buildDecodeGraph, prefill: buildPrefillGraph } as const

/** A program by what it is for; every need is named, so that equal ones have equal keys. */
interface StepRequest {
  readonly kind: StepKind
  readonly needs: StepNeeds
}

const completeNeeds = ({
  accuracy,
  products = 'same',
  form = 'none',
  sets = 1,
  vectors = false,
  gain = false,
  states,
  past = 'f32',
}: StepNeeds): StepNeeds => ({ accuracy, products, form, sets, vectors, gain, states, past })

/** The programs of one model. Nothing is compiled before the first call that needs it. */
export function createStepPrograms(parts: StepProgramParts): StepPrograms {
  const { compiler } = parts
  const { sharesMemory } = compiler
  let largest: Promise<ReadonlyMap<string, Float32Array>> | undefined
  const readLargestOnce = () => (largest ??= measureInputs(parts))
  const programs = new Map<string, Promise<StepProgram>>()
  let expectsExperts = false
  const getProgram = (kind: StepKind, given: StepNeeds): Promise<StepProgram> => {
    const wanted = { kind, needs: completeNeeds(given) }
    const key = JSON.stringify(wanted)
    const known = programs.get(key)
    if (known) return known
    const isShared = compiler.isShared && wanted.needs.products === 'same'
    const others = isShared ? listCompanions(wanted, { sharesMemory, expectsExperts }) : []
    // decode first, because the programs that are compiled first choose the fastest kernels
    const keys = new Set<string>()
    const requests = [wanted, ...others]
      .filter((one) => {
        const own = JSON.stringify(one)
        return !programs.has(own) && keys.size < keys.add(own).size
      })
      .sort((a, b) => a.kind.localeCompare(b.kind))
    const compiled = Promise.all(
      requests.map((one) => buildStep(parts, one, readLargestOnce)),
    ).then((graphs) => compiler.compile(graphs, wanted.needs.accuracy))
    requests.forEach((one, i) => {
      const program = compiled.then((made) => made[i]!)
      const own = JSON.stringify(one)
      programs.set(own, program)
      // The first caller gets the error; the next call tries again.
      program.catch(() => programs.delete(own))
    })
    return programs.get(key)!
  }
  return {
    expectExperts: () => void (expectsExperts = true),
    decode: (needs) => getProgram('decode', needs),
    prefill: (needs) => getProgram('prefill', needs),
    get count() {
      return programs.size
    },
    async dispose() {
      const running = [...programs.values()]
      programs.clear()
      await Promise.all(running.map(async (program) => (await program).dispose()))
    },
  }
}

/** What decides which programs are compiled together. */
interface CompanionChoice {
  /** Whether programs share weights that are in memory, where compiling again costs most. */
  readonly sharesMemory: boolean
  readonly expectsExperts: boolean
}

/**
 * Programs that will soon be needed together with this one. If all share one copy of the weights,
 * adding a program later packs the weights again.
 */
function listCompanions(
  { needs }: StepRequest,
  { sharesMemory, expectsExperts }: CompanionChoice,
): StepRequest[] {
  const isBase = needs.form === 'none'
  const complete = (changes: Partial<StepNeeds>): StepNeeds =>
    completeNeeds({ ...needs, ...changes })
  const none = isBase ? needs : complete({ form: 'none', sets: 1, vectors: false, gain: false })
  const ofBase: StepRequest[] = [
    { kind: 'prefill', needs: none },
    { kind: 'decode', needs: none },
  ]
  if (isBase && !(sharesMemory && expectsExperts)) return ofBase
  const shared = complete({ form: 'shared', sets: 1 })
  return [
    ...(sharesMemory ? ofBase : []),
    { kind: 'prefill', needs: shared },
    { kind: 'decode', needs: shared },
    { kind: 'decode', needs: complete({ form: 'grouped', sets: 1, gain: false }) },
  ]
}

/** The graph of a program, with the weights that it alone has. */
async function buildStep(
  { model, weights }: StepProgramParts,
  { kind, needs }: StepRequest,
  readLargestInputs: () => Promise<ReadonlyMap<string, Float32Array>>,
): Promise<WeightedGraph> {
  const built: WeightedGraph = builders[kind](model, weights, needs)
  if (needs.products !== 'int8') return built
  const made = await collectInt8Inputs(built, await readLargestInputs(), weights)
  return { ...built, made, isAlone: true }
}

/** The largest inputs of the layers' products on the sample, by weight. */
async function measureInputs(parts: StepProgramParts): Promise<ReadonlyMap<string, Float32Array>> {
  const { model, weights, compiler, sample } = parts
  const { config } = model
  const ids = chooseSampleIds(sample, config.vocabularySize)
  const graph = { ...buildObservingGraph(model, weights), isAlone: true }
  const [program] = (await compiler.compile([graph], 'fast')) as [Program]
  try {
    // One row with one empty slot.
    const past = graph.graph.inputs.flatMap(({ name, shape }) =>
      name.startsWith('past.')
        ? [[name, f32(shape.map((dim) => (typeof dim === 'number' ? dim : 1)))] as const]
        : [],
    )
    const span = { pieces: [ids], lengths: [0], capacity: 1 }
    const feeds = new Map<string, Tensor>([
      ...past,
      ...(await collectCallFeeds({ config, weights }, span)),
    ])
    feeds.set('rows', i64([1], [0])).set(LOGIT_ROWS, i64([1], [0]))
    return readLargest(await program.run(feeds))
  } finally {
    await program.dispose()
  }
}
