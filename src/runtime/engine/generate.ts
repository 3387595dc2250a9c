// Generation: prompt in, one token after the other out, as text that may be shown at once.
// Independent of weights and graphs.

import type { Expert } from '../../adapters/index.ts'
import { simplifyExpert } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { findActivationStarts } from '../programs/activation.ts'
import type { Forward } from '../programs/forward.ts'
import {
  type AdapterChoice,
  adapterChoiceFields,
  type Grouping,
  resolveExperts,
  runInGroups,
  selectExperts,
} from '../programs/row-groups.ts'
import { Answer, type AnswerWriting, type Generation } from './answer.ts'
import { generateFields, type GenerateOptions } from './generate-options.ts'

export type GenerateEvent =
  | { readonly type: 'text-delta'; readonly text: string }
  | ({ readonly type: 'generation-end' } & Generation)

/** What generation needs of its model. */
export interface GenerateParts {
  readonly contextTokens: number
  /** The tokenizer of an expert's answers, and the ids that end them. */
  readonly writing: (expert: Expert | undefined) => AnswerWriting
  readonly forward: Forward
  readonly grouping: Grouping
  /** Milliseconds. */
  readonly now: () => number
}

const batchFields = { ...generateFields, adapters: adapterChoiceFields.adapters }

const toAnswerParts = ({ contextTokens, writing }: GenerateParts, expert: Expert | undefined) => ({
  ...writing(expert),
  contextTokens,
})

const createAbortCheck = ({ signal }: GenerateOptions) => ({
  throwIfAborted: () => signal?.throwIfAborted(),
})

/**
 * Continues a prompt. Yields text as soon as it is final, then one 'generation-end'. Greedy unless
 * a temperature is given.
 */
export async function* generate(
  prompt: readonly number[],
  options: GenerateOptions,
  parts: GenerateParts,
): AsyncGenerator<GenerateEvent, void> {
  const { forward, now } = parts
  const settings = readOptions('Generation options', options, generateFields)
  const served = simplifyExpert(options.adapter)
  const answer = new Answer(prompt, settings, toAnswerParts(parts, served), 0)
  const each = {
    ...createAbortCheck(options),
    served,
    activeFrom: findActivationStarts(served, [prompt]),
  }
  const cache = forward.cache(1)
  const { head, states } = options
  const logitsAfter = async (tokens: readonly number[]): Promise<Float32Array> => {
    const [[seen]] = (await forward([tokens], cache, {
      ...each,
      states,
      want: head ? 'hidden' : 'logits',
    })) as [[Float32Array]]
    return head ? head(seen) : seen
  }
  const started = now()
  let logits = await logitsAfter(prompt)
  const read = now()
  for (;;) {
    const text = answer.sampleNext(logits)
    if (text !== '') yield { type: 'text-delta', text }
    if (answer.reason !== undefined) break
    logits = await logitsAfter(answer.ids.slice(-1))
  }
  yield { type: 'generation-end', ...answer.toGeneration(read - started, now() - read) }
}

/**
 * Continues several prompts together; row i draws with seed + i. Rows that have ended are removed
 * from the batch when half of it is idle.
 */
export function generateBatch(
  prompts: readonly (readonly number[])[],
  options: GenerateOptions & AdapterChoice,
  parts: GenerateParts,
): Promise<Generation[]> {
  const settings = readOptions('Generation options', options, batchFields)
  if (settings.head || settings.states)
    throw new OptionError('The options head and states take one prompt at a time: use generate.')
  const own = resolveExperts(prompts.length, options)
  const answers = prompts.map(
    (prompt, i) => new Answer(prompt, settings, toAnswerParts(parts, own[i]), i),
  )
  return runInGroups(prompts.length, options, parts.grouping, (rows, experts) =>
    generateRows(rows, { prompts, answers, experts, options, parts }),
  )
}

interface BatchContext {
  readonly prompts: readonly (readonly number[])[]
  readonly answers: readonly Answer[]
  readonly experts: readonly (Expert | undefined)[]
  readonly options: GenerateOptions
  readonly parts: GenerateParts
}

/** The given rows in one batch. */
async function generateRows(
  rows: readonly number[],
  { prompts, answers, experts, options, parts }: BatchContext,
): Promise<Generation[]> {
  const { forward, now } = parts
  let cache = forward.cache(rows.length)
  let live = rows
  const starts = findActivationStarts(
    rows.map((row) => experts[row]),
    rows.map((row) => prompts[row]!),
  )
  const each = () => ({
    ...createAbortCheck(options),
    served: selectExperts(live, experts),
    activeFrom: starts && live.map((row) => starts[rows.indexOf(row)]!),
  })
  const started = now()
  let logits = await forward(
    rows.map((row) => prompts[row]!),
    cache,
    each(),
  )
  const read = now()
  const ended = new Map<number, number>()
  for (;;) {
    live.forEach((row, place) => {
      const answer = answers[row]!
      if (answer.reason !== undefined) return
      answer.sampleNext(logits[place]![0]!)
      if (answer.reason !== undefined) ended.set(row, now() - read)
    })
    const places = [...live.keys()].filter((place) => answers[live[place]!]!.reason === undefined)
    if (places.length === 0) break
    if (places.length <= live.length / 2) {
      cache = cache.fork(places)
      live = places.map((place) => live[place]!)
    }
    logits = await forward(
      live.map((row) => answers[row]!.ids.slice(-1)),
      cache,
      each(),
    )
  }
  return rows.map((row) => answers[row]!.toGeneration(read - started, ended.get(row)!))
}
