// Everything a model's methods share: weights, programs, the two paths of the forward pass, heads
// and gradient programs. Nothing is read or compiled before the first call that needs it.

import type { Expert } from '../adapters/index.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { computeContextLimit } from '../graph/rope.ts'
import type { AnswerWriting } from './engine/answer.ts'
import type { GenerateParts } from './engine/generate.ts'
import { getAnswerTokenizer } from '../adapters/files/expert-text.ts'
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
  today,
  now = () => performance.now(),
}: ModelOptions): ModelParts {
  const { config, graph } = base
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
    writing: (expert: Expert | undefined) => describeWriting(base, expert),
    contextTokens: computeContextLimit(config),
    now,
  }
  return {
    base,
    encode: createPromptEncoder(base, { date, today }),
    programs,
    forwards,
    heads: { fast: openHead('fast'), exact: openHead('exact') },
    differentiator: createDifferentiator({ graph, backend, weights: () => weights.floats() }),
    exactResults: createExactResults(config, forwards.exact, programs),
    generateParts: (exact) => ({ ...shared, forward: forwards[exact ? 'exact' : 'fast'] }),
  }
}

/** What writes an expert's answers: its tokenizer, and the ids that end a text for it or the base. */
function describeWriting(base: BaseModel, expert: Expert | undefined): AnswerWriting {
  const tokenizer = getAnswerTokenizer(base, expert)
  const ends = [base.tokenizer?.eosId, tokenizer?.eosId].filter((id) => id !== undefined)
  return { tokenizer, eosIds: new Set([...base.config.eosTokenIds, ...ends]) }
}

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
