// The router between an expert and its teacher: it learns which calls the expert answered well, and
// the least confidence with which the expert may answer. If no confidence is reliable, the teacher
// answers everything.

import { random } from '../../base/random.ts'
import { computeWilsonInterval } from '../../eval/statistics.ts'
import { createRouter } from '../../route/create-router.ts'
import { createBaseEmbedder } from '../../route/features/base-embedder.ts'
import { createMemoEmbedder } from '../../route/features/memo-embedder.ts'
import type { RouterFile } from '../../route/router-file.ts'
import type { RoutedExpert, RouteExample, Router, TextEmbedder } from '../../route/router.ts'
import type { LoadedModel } from '../model.ts'
import { strangeRequests } from './strange-requests.ts'

export interface Gate {
  readonly file: RouterFile
  /** The confidence below which the teacher answers; undefined: it answers everything. */
  readonly answersFrom: number | undefined
  /** Why the teacher answers everything. */
  readonly doubt: string | undefined
  /** Of the calls that neither expert nor router was trained on, how many the expert answers. */
  readonly replaced: number
  readonly replacedWell: number
}

/** A call, how sure the router is that the expert answers it well, and whether it did. */
export interface CheckedCall {
  readonly confidence: number
  readonly isGood: boolean
}

export interface GateParts {
  readonly model: LoadedModel
  readonly expert: RoutedExpert
  /** The share of the expert's answers that must be good. */
  readonly trust: number
  readonly seed: number
}

const foldCount = 5

/**
 * Trains on `calls`, which name the expert where it answered well, and checks on `unseen`. The
 * threshold is chosen on calls that the routers were not trained on.
 */
export async function trainGate(
  calls: readonly RouteExample[],
  unseen: readonly RouteExample[],
  parts: GateParts,
): Promise<Gate> {
  const { model, expert, trust } = parts
  const base = await createBaseEmbedder(model)
  try {
    const embedder = createMemoEmbedder(base)
    const strange = strangeRequests.map((text): RouteExample => ({ text, expert: undefined }))
    const examples = [...calls, ...strange]
    const checked = await checkInFolds(examples, { ...parts, embedder })
    const answersFrom = chooseAnswersFrom(checked, trust)
    if (answersFrom === undefined)
      return closeGate(expert, describeDoubt(checked.slice(0, calls.length), trust))
    const router = await trainRouter(
      examples,
      { ...parts, embedder },
      { threshold: answersFrom, escalateBelow: answersFrom },
    )
    const found = await checkAll(router, unseen)
    const answered = found.filter(({ confidence }) => confidence >= answersFrom)
    const well = answered.filter(({ isGood }) => isGood).length
    if (computeWilsonInterval(well, answered.length).high < trust) {
      const doubt = `of ${answered.length} unseen calls that the router was sure of only ${well} were answered well`
      return closeGate(expert, doubt)
    }
    const file = router.save()
    return {
      file,
      answersFrom,
      doubt: undefined,
      replaced: answered.length,
      replacedWell: well,
    }
  } finally {
    await base.dispose()
  }
}

interface TrainingParts extends GateParts {
  readonly embedder: TextEmbedder
}

const trainRouter = (
  examples: readonly RouteExample[],
  { model, expert, seed, embedder }: TrainingParts,
  options: Readonly<Record<string, number>> = {},
): Promise<Router> =>
  createRouter({
    kind: 'embedding',
    experts: [expert],
    examples,
    options,
    seed,
    model,
    embedder,
  })

/** Each call by a router that learned the other four fifths; in the order of the calls. */
async function checkInFolds(
  examples: readonly RouteExample[],
  parts: TrainingParts,
): Promise<CheckedCall[]> {
  const order = random(parts.seed).shuffle(examples.map((_, i) => i))
  const foldOf = new Map(order.map((index, i) => [index, i % foldCount]))
  const found: CheckedCall[] = examples.map(({ expert }) => ({
    confidence: 0,
    isGood: expert !== undefined,
  }))
  for (let fold = 0; fold < foldCount; fold++) {
    const learned = examples.filter((_, i) => foldOf.get(i) !== fold)
    if (!learned.some(({ expert }) => expert !== undefined)) continue
    const router = await trainRouter(learned, parts)
    for (const [i, example] of examples.entries())
      if (foldOf.get(i) === fold) found[i] = (await checkAll(router, [example]))[0]!
  }
  return found
}

async function checkAll(router: Router, examples: readonly RouteExample[]): Promise<CheckedCall[]> {
  const found: CheckedCall[] = []
  for (const { text, expert } of examples) {
    const { confidence } = await router.decide({ text })
    found.push({ confidence, isGood: expert !== undefined })
  }
  return found
}

/**
 * The lowest confidence from which on the share of good answers is at least `trust` at the low end
 * of its 95 % interval, and halfway from there to the next call; undefined if there is none,
 * because the calls are too few or the confidence does not separate good answers from bad ones.
 */
export function chooseAnswersFrom(
  calls: readonly CheckedCall[],
  trust: number,
): number | undefined {
  const sorted = calls.toSorted((a, b) => b.confidence - a.confidence)
  let good = 0
  let from: number | undefined
  for (const [i, { confidence, isGood }] of sorted.entries()) {
    if (isGood) good++
    const next = sorted[i + 1]?.confidence ?? confidence
    const isLast = next !== confidence || i + 1 === sorted.length
    if (isLast && confidence > 0 && computeWilsonInterval(good, i + 1).low >= trust)
      from = (confidence + next) / 2
  }
  return from
}

/** The number of good answers, without a bad one, for which Wilson's interval begins at `trust`. */
function computeLeastGood(trust: number): number {
  let rows = 1
  while (computeWilsonInterval(rows, rows).low < trust) rows++
  return rows
}

function describeDoubt(calls: readonly CheckedCall[], trust: number): string {
  const least = computeLeastGood(trust)
  const good = calls.filter(({ isGood }) => isGood).length
  const share = `${Math.round(trust * 100)} %`
  return good < least
    ? `${good} of ${calls.length} calls were answered well, and at least ${least} are needed to be sure of ${share}`
    : `the router does not separate well enough which of ${calls.length} calls the expert answers well: in no part of them are ${share} good beyond the interval`
}

/** A router for which the teacher answers everything. */
async function closeGate(expert: RoutedExpert, doubt: string): Promise<Gate> {
  const router = await createRouter({ kind: 'fixed', experts: [expert] })
  const calibration = { threshold: 1, escalateBelow: 1 }
  const file: RouterFile = Object.assign(router.save(), { calibration })
  return { file, answersFrom: undefined, doubt, replaced: 0, replacedWell: 0 }
}
