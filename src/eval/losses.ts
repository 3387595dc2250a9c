// The loss of each row's target tokens under a model, one row per sequence.

import { findTaughtDate, getExpertText } from '../adapters/files/expert-text.ts'
import { OptionError } from '../base/errors.ts'
import type { AdapterChoice, Model } from '../runtime/index.ts'
import { createExampleEncoder } from '../train/data/encode.ts'
import type { MetricInput } from './metric.ts'
import { getAnswered, type Question } from './questions.ts'

export interface ExampleLossOptions {
  readonly model: Model
  readonly adapter: AdapterChoice['adapter']
  readonly system: string | undefined
  /** Longer rows are cut. */
  readonly maxTokens: number
  /** For templates that print the date; else the one that the adapter was taught with. */
  readonly date?: Date | undefined
  /** If neither has a date. */
  readonly today?: Date | undefined
  readonly signal?: AbortSignal | undefined
  readonly onRow?: ((done: number) => void) | undefined
}

export interface ExampleLosses {
  /** By question; undefined if nothing to learn was left within maxTokens. */
  readonly rows: readonly MetricInput['loss'][]
  readonly cut: number
  readonly dropped: number
}

const IGNORED = -100 // PyTorch's mark for labels that are not scored

/**
 * Summed cross-entropy in nats, and tokens, of every question's wanted answer. Throws OptionError
 * for a model without a tokenizer.
 */
export async function computeExampleLosses(
  questions: readonly Question[],
  options: ExampleLossOptions,
): Promise<ExampleLosses> {
  const { model, adapter, system, maxTokens, date, today, signal, onRow } = options
  const { tokenizer, chatTemplate } = getExpertText(model.base, adapter)
  if (!tokenizer)
    throw new OptionError(
      `Model "${model.base.name}" has no tokenizer, so it cannot read rows of text.`,
    )
  const now = date ?? findTaughtDate(adapter) ?? today
  const encode = createExampleEncoder({
    tokenizer,
    maxTokens,
    ...(now && { now }),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(system !== undefined && { system }),
  })
  const rows: MetricInput['loss'][] = []
  let cut = 0
  let dropped = 0
  for (const [i, { example }] of questions.entries()) {
    signal?.throwIfAborted()
    onRow?.(i)
    let sum = 0
    let tokens = 0
    for (const { ids, scored } of encode(getAnswered(example))) {
      const kept = Array.from(ids).slice(0, Math.min(maxTokens, scored.lastIndexOf(true) + 1))
      if (scored.lastIndexOf(true) + 1 > maxTokens) cut++
      const labels = kept.map((id, t) => (t > 0 && scored[t] ? id : IGNORED))
      const count = labels.filter((label) => label !== IGNORED).length
      if (count === 0) continue
      sum += (await model.loss([kept], [labels], { adapter })) * count
      tokens += count
    }
    if (tokens === 0) dropped++
    rows.push(tokens === 0 ? undefined : { sum, tokens })
  }
  return { rows, cut, dropped }
}
