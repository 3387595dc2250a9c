// The first step of every kind that learns from examples: number the experts, check the examples,
// hold out a part for calibration.

import { DataError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { number, share } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteText } from '../calibration/make-decision.ts'
import { checkExpertNames, type RouterFile } from '../router-file.ts'
import type { RoutedExpert, RouteExample, RouterTraining } from '../router.ts'

/** Options of every kind that is calibrated. */
export const calibrationOptionFields = {
  refusals: number({
    from: 0,
    below: 1,
    default: 0.03,
    about: 'The share of prompts in scope that may be refused; sets the threshold.',
  }),
  outOfScope: number({
    above: 0,
    below: 1,
    default: 0.1,
    about: 'The share of requests that is expected to be out of scope.',
  }),
  threshold: number({
    from: 0,
    to: 1,
    about: 'The confidence below which the base answers, instead of the one from `refusals`.',
  }),
  escalateBelow: number({
    from: 0,
    to: 1,
    about: 'The confidence below which a server with an upstream asks that.',
  }),
  holdOut: share,
}

/** An example with its expert by number; −1: none. */
export interface NumberedPrompt {
  readonly text: string
  readonly expert: number
}

export interface TrainingSet {
  readonly experts: readonly RoutedExpert[]
  readonly names: readonly string[]
  readonly fitted: readonly NumberedPrompt[]
  readonly held: readonly NumberedPrompt[]
  /** Whether `held` is a part of the examples, which the last fit may take in again. */
  readonly isSplit: boolean
}

/** The share of examples that is held out where none are given. */
const usualHoldOut = 0.2

/**
 * Experts and their examples, those of manifests too. Throws OptionError for two experts with one
 * name, DataError for an example of an unknown expert and for an expert without an example.
 */
export function prepareTraining(
  training: RouterTraining,
  kind: string,
  holdOut = usualHoldOut,
): TrainingSet {
  const what = `Router "${kind}"`
  const { experts } = training
  const names = experts.map(({ name }) => name)
  checkExpertNames(names, what)
  const index = new Map(names.map((name, i) => [name, i]))
  const toNumbered = (examples: readonly RouteExample[]): NumberedPrompt[] =>
    examples.map((example) => ({
      text: example.text,
      expert: findNumber(example, index, names, what),
    }))
  const own = experts.flatMap(({ examples = [] }, expert) =>
    examples.map((text) => ({ text, expert })),
  )
  const all = removeBlank(removeDoubles([...toNumbered(training.examples), ...own]))
  const given = removeBlank(toNumbered(training.held))
  checkEveryExpert(all, names, what)
  if (given.length > 0) return { experts, names, fitted: all, held: given, isSplit: false }
  const { fitted, held } = splitExamples(all, holdOut, training.seed)
  return { experts, names, fitted, held, isSplit: true }
}

function findNumber(
  { expert, text }: RouteExample,
  index: ReadonlyMap<string, number>,
  names: readonly string[],
  what: string,
): number {
  if (expert === undefined) return -1
  const found = index.get(expert)
  if (found !== undefined) return found
  const meant = findNearestName(expert, names)
  throw new DataError(
    `${what}: the example ${quoteText(text)} is of the expert "${expert}", which is not among ${names.slice(0, 10).join(', ')}${names.length > 10 ? ' …' : ''}.${meant === undefined ? '' : ` Did you mean "${meant}"?`}`,
  )
}

function removeDoubles(examples: readonly NumberedPrompt[]): NumberedPrompt[] {
  const seen = new Map(examples.map((one) => [`${one.expert} ${one.text}`, one]))
  return [...seen.values()]
}

const removeBlank = (examples: readonly NumberedPrompt[]): NumberedPrompt[] =>
  examples.filter(({ text }) => text.trim() !== '')

function checkEveryExpert(
  examples: readonly NumberedPrompt[],
  names: readonly string[],
  what: string,
): void {
  const counts = new Set(examples.map(({ expert }) => expert))
  const missing = names.filter((_, i) => !counts.has(i))
  if (missing.length === 0) return
  const shown = missing.slice(0, 10).map((name) => `"${name}"`)
  throw new DataError(
    `${what}: there are no examples of ${shown.join(', ')}${missing.length > 10 ? ` and ${missing.length - 10} more` : ''}. Give rows { "text", "expert" }, or routing.examples in the expert's manifest.`,
  )
}

/** Of every expert the same share is held out, and at least one example stays. */
function splitExamples(
  examples: readonly NumberedPrompt[],
  holdOut: number,
  seed: number,
): Pick<TrainingSet, 'fitted' | 'held'> {
  const { shuffle } = random(seed)
  const groups = new Map<number, NumberedPrompt[]>()
  for (const one of examples) {
    const group = groups.get(one.expert)
    if (group) group.push(one)
    else groups.set(one.expert, [one])
  }
  const fitted: NumberedPrompt[] = []
  const held: NumberedPrompt[] = []
  for (const [, group] of [...groups].toSorted(([a], [b]) => a - b)) {
    const order = shuffle(group)
    const count = Math.min(Math.round(order.length * holdOut), order.length - 1)
    held.push(...order.slice(0, count))
    fitted.push(...order.slice(count))
  }
  return { fitted, held }
}

/** Names and hashes, as a file keeps them. */
export const describeExperts = (experts: readonly RoutedExpert[]): RouterFile['experts'] =>
  experts.map(({ name, sha256 }) => ({ name, ...(sha256 !== undefined && { sha256 }) }))
