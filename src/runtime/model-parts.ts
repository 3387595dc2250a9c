// Everything a model's methods share: weights, programs, the two paths of the forward pass, heads
// and gradient programs. Nothing is read or compiled before the first call that needs it.

import type { Accuracy } from '../compute/pack-linears.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { computeContextLimit } from '../graph/rope.ts'
import type { GenerateParts } from './engine/generate.ts'
import { createExactResults, type ExactResults } from './exact-results.ts'
import { createDifferentiator, type Differentiator } from './gradients.ts'
import { createHead, type DisposableHead } from './head.ts'
import type { ModelOptions } from './model-options.ts'
import { createBaseWeights } from './programs/base-weights.ts'
import { createForward, type Forward } from './programs/forward.ts'
import { createProgramCache, type ProgramCache } from './programs/program-cache.ts'
import { createPromptEncoder, type PromptEncoder } from './prompt.ts'

export interface ModelParts {
  readonly base: BaseModel
  readonly encode: PromptEncoder
  readonly programs: ProgramCache
  readonly forwards: Readonly<Record<Accuracy, Forward>>
  readonly heads: Readonly<Record<Accuracy, DisposableHead>>
  readonly differentiator: Differentiator
  readonly exactResults: ExactResults
  /** What generation needs, on the fast path or the exact one. */
  generateParts(exact: boolean | undefined): GenerateParts
}

export function createModelParts({
  base,
  backend,
  weights: choice,
  date,
  now = () => performance.now(),
}: ModelOptions): ModelParts {
  const { config, graph, tokenizer } = base
  const weights = createBaseWeights(graph, base.weights, choice)
  const programs = createProgramCache(base, backend, weights)
  const openForward = (accuracy: Accuracy): Forward =>
    createForward({
      config,
      weights,
      program: (served, states) => programs.get(served, accuracy, states),
    })
  const openHead = (accuracy: Accuracy): DisposableHead =>
    createHead({ model: graph, weights, backend, accuracy })
  const forwards = { fast: openForward('fast'), exact: openForward('exact') }
  const shared = {
    grouping: programs,
    tokenizer,
    eosIds: collectEosIds(base),
    contextTokens: computeContextLimit(config),
    now,
  }
  return {
    base,
    encode: createPromptEncoder(base, date),
    programs,
    forwards,
    heads: { fast: openHead('fast'), exact: openHead('exact') },
    differentiator: createDifferentiator({ graph, backend, weights: () => weights.floats() }),
    exactResults: createExactResults(config, forwards.exact, programs),
    generateParts: (exact) => ({ ...shared, forward: forwards[exact ? 'exact' : 'fast'] }),
  }
}

/** Ids that end a text, of the config and of the tokenizer. */
const collectEosIds = ({ config, tokenizer }: BaseModel): ReadonlySet<number> =>
  new Set([...config.eosTokenIds, ...(tokenizer?.eosId === undefined ? [] : [tokenizer.eosId])])

/** Releases programs and closes the base's weights. */
export async function closeModelParts(parts: ModelParts): Promise<void> {
  await Promise.all([
    parts.programs.dispose(),
    parts.differentiator.dispose(),
    parts.heads.fast.dispose(),
    parts.heads.exact.dispose(),
  ])
  await parts.base.weights.close()
}
