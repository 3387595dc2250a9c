// Everything a model's methods share: weights, programs, the two paths of the forward pass, heads
// and gradient programs. Nothing is read or compiled before the first call that needs it.

import type { Expert } from '../adapters/index.ts'
import { OptionError } from '../base/errors.ts'
import { sizeOf } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import type { PackedFiles } from '../compute/packed-files.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { collectWeightShapes } from '../graph/model-graph.ts'
import { computeServedIdentity } from '../graph/model-identity.ts'
import { computeContextLimit } from '../graph/rope.ts'
import type { AnswerWriting } from './engine/answer.ts'
import { getAnswerTokenizer } from '../adapters/files/expert-text.ts'
import { Engine, type EngineParts } from './engine/engine.ts'
import type { EngineOptions } from './engine/engine-options.ts'
import { createAdapterPool } from './engine/pool/create-pool.ts'
import { createSlotLayout } from './engine/pool/slot-layout.ts'
import { createExactResults, type ExactResults } from './exact-results.ts'
import { createDifferentiator, type Differentiator } from './gradients.ts'
import { createHead, type DisposableHead } from './head.ts'
import type { ModelOptions } from './model-options.ts'
import { type BaseWeights, createBaseWeights } from './programs/base-weights.ts'
import { createForward, type Forward } from './programs/forward.ts'
import { computeModelMemory } from './programs/model-memory.ts'
import {
  type CompilerParts,
  createProgramCompiler,
  type ProgramCompiler,
} from './programs/program-compiler.ts'
import { createProgramCache, type ProgramCache } from './programs/program-cache.ts'
import { stackModel } from './programs/serving-program.ts'
import { createStepPrograms, type StepPrograms } from './programs/step/step-programs.ts'
import { createPromptEncoder, type PromptEncoder } from './prompt.ts'

/** The calibration text of products in 8 bits: words, numbers, code, other scripts. */
const sampleText = `The harbour was quiet when they came back in 1987, and nobody had paid the 42 dollars.
def area(width, height): return round(width * height / 3.5, 2)  # {"unit": "m2"}
<p>Är det möjligt? 今天天气很好。</p> In short: either you write it down, or it is lost; that is why we keep lists.`

export interface ModelParts {
  readonly base: BaseModel
  readonly encode: PromptEncoder
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly programs: ProgramCache
  readonly forwards: Readonly<Record<Accuracy, Forward>>
  readonly heads: Readonly<Record<Accuracy, DisposableHead>>
  readonly differentiator: Differentiator
  readonly exactResults: ExactResults
  /** The engine behind generation; made when it is first used. */
  engine(): Engine
  /** Another engine over the same programs, with its own rows and resident experts. */
  createEngine(options: EngineOptions): Engine
  readonly steps: StepPrograms
  /** Token ids of a representative text, to calibrate products in 8 bits. */
  readonly sample: (() => readonly number[]) | undefined
  /** Where packed weights are kept. */
  readonly files: PackedFiles | undefined
  disposeEngines(): Promise<void>
}

/** Of models made by createModel: the parts for your own engine. */
const partsByModel = new WeakMap<object, ModelParts>()

export const keepModelParts = <Of extends object>(model: Of, parts: ModelParts): Of => {
  partsByModel.set(model, parts)
  return model
}

/** Throws OptionError for an object that createModel did not create. */
export function getModelParts(model: object): ModelParts {
  const parts = partsByModel.get(model)
  if (!parts) throw new OptionError('model: expected a model that createModel or loadModel made.')
  return parts
}

export function createModelParts({
  base,
  backend,
  weights: choice,
  date,
  today,
  grammars,
  files,
  admit,
  now = () => performance.now(),
}: ModelOptions): ModelParts {
  const { config, graph } = base
  const weights = createBaseWeights(graph, base.weights, choice)
  const compiler = openCompiler(base, { weights, backend, files, admit })
  const programs = createProgramCache(base, compiler, weights)
  const openForward = (accuracy: Accuracy): Forward =>
    createForward({
      config,
      weights,
      program: (served, states) => programs.get(served, accuracy, states),
      emptyTensors: backend.emptyTensors,
    })
  const openHead = (accuracy: Accuracy): DisposableHead =>
    createHead({ model: graph, weights, backend, compiler, accuracy })
  const forwards = { fast: openForward('fast'), exact: openForward('exact') }
  const sample = base.tokenizer && (() => base.tokenizer!.encode(sampleText))
  const steps = createStepPrograms({ model: graph, weights, compiler, sample })
  const engines = new Set<Engine>()
  const createEngine = (options: EngineOptions): Engine => {
    const onDisposed = (): void => void engines.delete(made)
    const idleBytes = backend.isMemoryScarce ? scarceIdleBytes : undefined
    const shared = { grammars, weights, steps, programs, now, onDisposed, idleBytes }
    const made: Engine = new Engine(collectEngineParts(base, shared, options), options)
    engines.add(made)
    return made
  }
  let engine: Engine | undefined
  return {
    base,
    encode: createPromptEncoder(base, { date, today }),
    weights,
    backend,
    programs,
    steps,
    sample,
    files,
    forwards,
    heads: { fast: openHead('fast'), exact: openHead('exact') },
    differentiator: createDifferentiator({ graph, backend, weights: () => weights.floats() }),
    exactResults: createExactResults(config, forwards.exact, programs),
    createEngine,
    engine: () => (engine ??= createEngine({})),
    disposeEngines: async () => void (await Promise.all([...engines].map((one) => one.dispose()))),
  }
}

/** A compiler that checks before its first program whether the machine can hold the model. */
function openCompiler(
  { graph, weights: store }: BaseModel,
  { admit, ...parts }: Omit<CompilerParts, 'admit'> & Pick<ModelOptions, 'admit'>,
): ProgramCompiler {
  const { weights, files } = parts
  let weightBytes = 0
  for (const { shape } of store.tensors.values()) weightBytes += 4 * sizeOf(shape)
  return createProgramCompiler({
    ...parts,
    weightBytes,
    admit: admit && (() => admit(computeModelMemory({ graph, store, weights, files }))),
  })
}

/** Slots that idle experts keep where memory is scarce: three of rank 16 on a model of 135M. */
const scarceIdleBytes = 2 ** 26

/** What the engines of a model have in common. */
interface SharedParts extends Pick<
  EngineParts,
  'weights' | 'steps' | 'programs' | 'grammars' | 'now' | 'onDisposed'
> {
  readonly idleBytes: number | undefined
}

function collectEngineParts(
  base: BaseModel,
  shared: SharedParts,
  { expertBytes, cold }: EngineOptions,
): EngineParts {
  const { config, graph } = base
  const { weights, steps, programs, now, onDisposed, idleBytes } = shared
  const pool = createAdapterPool(
    {
      graph,
      layout: createSlotLayout(graph, stackModel(graph, weights).stacks),
      read: (name) => base.weights.read(name),
      readFloat: weights.floatUncached,
    },
    { idleBytes, ...(expertBytes && { budgetBytes: expertBytes }), ...(cold && { cold }) },
  )
  return {
    config,
    weights,
    steps,
    programs,
    pool,
    baseName: base.name,
    grammars: shared.grammars,
    identity: () => computeServedIdentity(base),
    writing: (expert) => describeWriting(base, expert),
    contextTokens: computeContextLimit(config),
    parameters: countParameters(base),
    cores: globalThis.navigator?.hardwareConcurrency ?? 2,
    now,
    onDisposed,
  }
}

/** The number of values in the model's matrices. */
const countParameters = ({ graph }: BaseModel): number =>
  [...collectWeightShapes(graph.blocks).values()].reduce(
    (sum, shape) => sum + shape.reduce<number>((product, dim) => product * Number(dim), 1),
    0,
  )

/** What an expert's answers need: its tokenizer, and the ids that end a text for it or the base. */
export function describeWriting(base: BaseModel, expert: Expert | undefined): AnswerWriting {
  const tokenizer = getAnswerTokenizer(base, expert)
  const ends = [base.tokenizer?.eosId, tokenizer?.eosId].filter((id) => id !== undefined)
  return { tokenizer, eosIds: new Set([...base.config.eosTokenIds, ...ends]) }
}

/** Releases programs and closes the base's weights. */
export async function closeModelParts(parts: ModelParts): Promise<void> {
  await parts.disposeEngines()
  await Promise.all([
    parts.programs.dispose(),
    parts.steps.dispose(),
    parts.differentiator.dispose(),
    parts.heads.fast.dispose(),
    parts.heads.exact.dispose(),
  ])
  await parts.files?.close()
  await parts.base.weights.close()
}
