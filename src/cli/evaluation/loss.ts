// The mean loss of a data set's labels under a model, with or without an adapter.

import type { Adapter, Model } from '../../index.ts'
import { type EncodeOptions, encodeData } from '../../train/data/encode.ts'
import type { DataSet } from '../../train/data/jsonl.ts'
import type { Terminal } from '../ui/terminal.ts'
import { OptionError } from '../../base/errors.ts'

export interface EvaluationOptions {
  readonly model: Model
  readonly adapter: Adapter | undefined
  readonly data: DataSet
  readonly system?: string
  readonly maxTokens: number
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

const IGNORED = -100 // PyTorch's mark for labels that are not scored

/** Loss in nats a token, perplexity, and what it was taken over. Throws what encoding the rows throws. */
export async function scoreLoss({ model, adapter, data, system, maxTokens, terminal, signal }: EvaluationOptions) {
  const { tokenizer, chatTemplate, name } = model.base
  if (!tokenizer) throw new OptionError(`Model "${name}" has no tokenizer, so it cannot read rows of text.`)
  const options: EncodeOptions = {
    tokenizer,
    maxTokens,
    now: new Date(),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(system !== undefined && { system }),
  }
  const { rows: all, pairs, cut, dropped } = encodeData(data, options)
  const rows = pairs ? all.filter((_, i) => i % 2 === 0) : all // of preferences the chosen answers
  const progress = terminal.progress('loss', rows.length)
  let [sum, tokens] = [0, 0]
  for (const [i, { ids, weights }] of rows.entries()) {
    signal.throwIfAborted()
    progress.update(i)
    const row = Array.from(ids)
    const labels = row.map((id, t) => (weights[t]! > 0 ? id : IGNORED))
    const scored = labels.filter((label) => label !== IGNORED).length
    sum += (await model.loss([row], [labels], { adapter })) * scored
    tokens += scored
  }
  progress.end()
  const loss = sum / tokens
  return { rows: rows.length, tokens, cut, dropped, loss, perplexity: Math.exp(loss) }
}
