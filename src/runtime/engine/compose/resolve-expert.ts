// Resolves a request's expert: an adapter or a mixture, a fade, a name or a string such as
// 'coder:0.7+security:0.3'. Everything is checked here, before a request is queued.

import type { Expert } from '../../../adapters/index.ts'
import {
  type ExpertSpec,
  parseExpertSpec,
  type SpecPart,
} from '../../../adapters/serving/expert-spec.ts'
import { type AnswerExpert, isFade, simplifyStages } from '../../../adapters/serving/fade.ts'
import { type MixturePart, isMixture, simplifyExpert } from '../../../adapters/serving/mixture.ts'
import { findWeightProblems } from '../../../adapters/serving/part-weight.ts'
import { NotFoundError, OptionError, UnsupportedError } from '../../../base/errors.ts'
import { isRecord, joinProblems } from '../../../base/schema.ts'
import type { AdapterPool, ExpertHandle } from '../pool/adapter-pool.ts'
import type { StageSpan } from './fade-plan.ts'
import { joinStack } from './join-experts.ts'

/** What a request may be answered with. A string names registered experts. */
export type GivenExpert = AnswerExpert | ExpertSpec | string

export const isExpertSpec = (value: unknown): value is ExpertSpec =>
  isRecord(value) && Array.isArray(value['parts'])

/** A stage of an answer; undefined is the base. */
export interface PlannedStage extends StageSpan {
  readonly handle: ExpertHandle | undefined
}

/** The expert that answers. */
export interface ExpertPlan {
  /** The expert that reads the prompt, and writes the answer if there is no fade. */
  readonly handle: ExpertHandle | undefined
  /** The stages of a fade, the first one among them. */
  readonly stages: readonly PlannedStage[] | undefined
  /** All its experts without tensors: their tokenizers and templates. */
  readonly described: Expert | undefined
}

export interface ExpertLookup {
  readonly pool: AdapterPool
  /** The base model's name: 'base:coder' is coder. */
  readonly baseName?: string | undefined
}

/**
 * Throws NotFoundError for names that are not registered, OptionError for a string that cannot be
 * parsed, UnsupportedError for experts that cannot be summed or follow each other, and the errors
 * of AdapterPool.find.
 */
export async function resolveExpert(
  choice: GivenExpert | undefined,
  names: ExpertLookup,
): Promise<ExpertPlan> {
  if (choice === undefined) return createPlan([{ handle: undefined, from: 0, to: 0 }])
  const { pool } = names
  if (typeof choice === 'string') {
    if (isRegistered(pool, choice))
      return createPlan([{ handle: await pool.find(choice), from: 0, to: 0 }])
    return resolveSpec(parseExpertSpec(choice, { base: names.baseName }), pool)
  }
  if (isExpertSpec(choice)) return resolveSpec(choice, pool)
  const stages = isFade(choice)
    ? simplifyStages(choice)
    : [{ expert: simplifyExpert(choice), from: 0, to: 0 }]
  const planned: PlannedStage[] = []
  for (const { expert, from, to } of stages)
    planned.push({ handle: expert && (await pool.find(expert)), from, to })
  return createPlan(planned)
}

/** Whether the whole string is a registered name, so that names may contain any character. */
const isRegistered = (pool: AdapterPool, text: string): boolean =>
  pool.list().some(({ name }) => name === text)

async function resolveSpec({ parts, later = [] }: ExpertSpec, pool: AdapterPool) {
  const stages = [{ from: 0, to: 0, parts }, ...later]
  // checked as a fade of no experts is
  simplifyStages({ fade: stages.map(({ from, to }) => ({ expert: undefined, from, to })) })
  const found = await findNamed(
    stages.flatMap((stage) => stage.parts),
    pool,
  )
  const weighted = stages.map((stage) =>
    stage.parts.map(({ name, weight }) => ({ handle: found.get(name)!, weight })),
  )
  const joint = stages.length === 1 ? joinStack(pool, weighted[0]!) : undefined
  if (joint) return createPlan([{ handle: await pool.find(joint), from: 0, to: 0 }])
  return createPlan(stages.map(({ from, to }, i) => ({ from, to, handle: pool.mix(weighted[i]!) })))
}

/** The handles of all names; one error for all that are not registered. */
async function findNamed(
  parts: readonly SpecPart[],
  pool: AdapterPool,
): Promise<Map<string, ExpertHandle>> {
  const problems = parts.flatMap(({ name, weight }) =>
    findWeightProblems(weight, `weight of "${name}"`),
  )
  if (problems.length > 0) throw new OptionError(joinProblems(problems))
  const found = new Map<string, ExpertHandle>()
  const missing = new Map<string, NotFoundError>()
  for (const { name } of parts) {
    try {
      found.set(name, await pool.find(name))
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      missing.set(name, error)
    }
  }
  const [first, ...others] = missing.values()
  if (first && others.length === 0) throw first
  if (first) throw new NotFoundError([...missing.values()].map(({ message }) => message).join('\n'))
  return found
}

function createPlan(stages: readonly PlannedStage[]): ExpertPlan {
  const [{ handle }] = stages as [PlannedStage]
  if (stages.length === 1) return { handle, stages: undefined, described: handle?.described }
  checkStages(stages)
  const mixture = stages.flatMap(({ handle: one }): readonly MixturePart[] =>
    one === undefined
      ? []
      : isMixture(one.described)
        ? one.described.mixture
        : [{ adapter: one.described, weight: 1 }],
  )
  return { handle, stages, described: mixture.length === 0 ? undefined : { mixture } }
}

/**
 * Throws UnsupportedError that lists every stage that cannot follow the one before, or cannot be
 * mixed with it.
 */
function checkStages(stages: readonly PlannedStage[]): void {
  const problems = stages.flatMap(({ handle, from, to }, i) => {
    const name = `stage ${i + 1}${handle?.name === undefined ? '' : `, "${handle.name}"`}`
    const before = stages[i - 1]?.handle
    if (handle && (handle.form === 'attached' || handle.virtualTokens > 0))
      return [`${name}: ${describeAttached(handle)}, so it can only answer alone`]
    if (handle?.invocation)
      return [`${name}: it acts from its invocation tokens on, so it can only answer alone`]
    const paths = from < to && before !== handle ? listProducts([before, handle]) : []
    return paths.length > 0
      ? [
          `${name}: tokens ${from}-${to}: inputs and outputs of ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''} are both multiplied, by it or the stage before, and such products have no exact weights between; switch at one token instead`,
        ]
      : []
  })
  if (problems.length > 0)
    throw new UnsupportedError(
      `These experts cannot follow each other:\n  ${problems.join('\n  ')}`,
    )
}

/**
 * The modules that have factors of both inputs and outputs. A fade between two experts cannot be
 * expressed as factors there, because v·W·u is not linear in both.
 */
function listProducts(handles: readonly (ExpertHandle | undefined)[]): string[] {
  const outputs = new Set(handles.flatMap((one) => [...(one?.factors.outputs ?? [])]))
  const inputs = new Set(handles.flatMap((one) => [...(one?.factors.inputs ?? [])]))
  return [...inputs].filter((path) => outputs.has(path))
}

const describeAttached = ({ virtualTokens }: ExpertHandle): string =>
  virtualTokens > 0
    ? "its virtual tokens stay in a row's keys and values"
    : 'a separate program serves it'
