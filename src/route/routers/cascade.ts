// The cascade: cheap routers first, and the first confident one decides. The confidence thresholds
// are fitted on held-out prompts, so that stopping early costs at most a given share of errors.

import { FormatError, OptionError } from '../../base/errors.ts'
import {
  describeValue,
  isRecord,
  listOf,
  number,
  object,
  type OptionValues,
  record,
  string,
} from '../../base/schema.ts'
import { checkRouterFile, type RouterFile, routerFileVersion } from '../router-file.ts'
import type { RouteClue, RouteDecision, Router, RouterKind, RouteRequest } from '../router.ts'
import { decideAll, getTrainer, type HeldDecision, splitTraining } from '../training/train-twice.ts'
import { describeExperts } from '../training/training-set.ts'

const fields = {
  stages: listOf(
    object({
      kind: string({ filled: true }),
      options: record,
      sure: number({ from: 0, to: 1 }),
    }),
    {
      least: 2,
      default: [{ kind: 'keyword' }, { kind: 'embedding' }],
      about: 'Kinds in the order in which they are asked, with their options.',
    },
  ),
  errors: number({
    from: 0,
    below: 1,
    default: 0.01,
    about: 'The share of wrong decisions at which a stage that is not the last may stop.',
  }),
  holdOut: number({ from: 0, below: 1, default: 0.2, about: 'The share held out for that.' }),
}

interface Stage {
  readonly router: Router
  /** It decides from this confidence on. */
  readonly sure: number
}

/** Prompts above a confidence before their errors say anything. */
const leastDecisions = 10

/**
 * The least confidence from which on at most this share of the decisions is wrong; above 1 if there
 * is none, so that the stage never stops.
 */
export function findSureConfidence(decisions: readonly HeldDecision[], errors: number): number {
  const made = decisions
    .filter(({ decision }) => decision.expert !== undefined)
    .toSorted((a, b) => b.decision.confidence - a.decision.confidence)
  let wrong = 0
  let sure = 2
  made.forEach(({ decision, right }, i) => {
    if (decision.expert !== right) wrong++
    const isLastOfItsConfidence = made[i + 1]?.decision.confidence !== decision.confidence
    if (isLastOfItsConfidence && i + 1 >= leastDecisions && wrong <= errors * (i + 1))
      sure = decision.confidence
  })
  return sure
}

class CascadeRouter implements Router {
  readonly kind = 'cascade'
  readonly experts: readonly string[]
  readonly #file: Pick<RouterFile, 'experts' | 'trained'>
  readonly #stages: readonly Stage[]

  constructor(file: Pick<RouterFile, 'experts' | 'trained'>, stages: readonly Stage[]) {
    this.experts = file.experts.map(({ name }) => name)
    this.#file = file
    this.#stages = stages
  }

  async decide(request: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    for (const { router, sure } of this.#stages.slice(0, -1)) {
      const decision = await router.decide(request, signal)
      if (decision.expert !== undefined && decision.confidence >= sure)
        return { ...decision, by: router.kind }
    }
    const { router } = this.#stages.at(-1)!
    return { ...(await router.decide(request, signal)), by: router.kind }
  }

  async explain(request: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    const { by } = await this.decide(request, signal)
    const { router } = this.#stages.find((stage) => stage.router.kind === by)!
    return (await router.explain?.(request, signal)) ?? []
  }

  save(): RouterFile {
    const { experts, trained } = this.#file
    const stages = this.#stages.map(({ router, sure }) => ({ sure, router: router.save() }))
    return {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'cascade',
      experts,
      ...(trained && { trained }),
      state: { stages },
    }
  }
}

function readStages(
  state: Readonly<Record<string, unknown>>,
): { sure: number; file: RouterFile }[] {
  const { stages } = state
  if (!Array.isArray(stages) || stages.length === 0)
    throw new FormatError(`state.stages: got ${describeValue(stages)}, expected a list of routers.`)
  return stages.map((stage: unknown, i) => {
    const { sure, router } = isRecord(stage) ? stage : {}
    if (typeof sure !== 'number')
      throw new FormatError(
        `state.stages[${i}].sure: got ${describeValue(sure)}, expected a number.`,
      )
    checkRouterFile(router, `state.stages[${i}].router`)
    if (router.kind === 'cascade')
      throw new FormatError(`state.stages[${i}].router: is a cascade within a cascade.`)
    return { sure, file: router }
  })
}

export const cascade: RouterKind = {
  kind: 'cascade',
  about: 'cheap routers first; the first one that is sure decides',
  needs: [],
  fields,
  async train(training, given, parts) {
    const { stages, errors, holdOut } = given as OptionValues<typeof fields>
    const train = getTrainer(parts, 'cascade')
    if (stages.some(({ kind }) => kind === undefined || kind === 'cascade'))
      throw new OptionError('Router "cascade": every stage needs a kind other than cascade.')
    const { first, whole, held } = splitTraining(training, 'cascade', holdOut)
    const made: Stage[] = []
    for (const [i, { kind, options = {}, sure }] of stages.entries()) {
      const isLast = i === stages.length - 1
      const trial = isLast || sure !== undefined ? undefined : await train(kind!, first, options)
      const found = trial && findSureConfidence(await decideAll(trial, held), errors)
      const router = await train(kind!, whole, options)
      made.push({ router, sure: sure ?? found ?? 0 })
    }
    const trained = { rows: whole.examples.length, held: held.length, seed: training.seed }
    return new CascadeRouter({ experts: describeExperts(training.experts), trained }, made)
  },
  async load(file, { load }) {
    if (!load) throw new OptionError('Router "cascade" contains others: read it with createRouter.')
    const stages: Stage[] = []
    for (const { sure, file: own } of readStages(file.state))
      stages.push({ sure, router: await load(own) })
    const strange = stages
      .flatMap(({ router }) => router.experts)
      .find((name) => !file.experts.some((expert) => expert.name === name))
    if (strange !== undefined)
      throw new FormatError(
        `Router "cascade": a stage knows an expert "${strange}" that it does not.`,
      )
    return new CascadeRouter(file, stages)
  },
}
