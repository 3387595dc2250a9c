// Swaps an expert in and out during generation: two answers alternate token by token, one by the
// expert, one by the base.

import type { Adapter, Model, Prompt } from '../../index.ts'

export interface SwapReport {
  readonly expert: string
  readonly base: string
  readonly expertAgain: string
  /** Whether the interleaved texts and the second text of the expert equal those written alone. */
  readonly same: boolean
  /** Swaps made while both were being written. */
  readonly swaps: number
  /** Milliseconds a token took in the middle (median) right after a swap, and without any. */
  readonly swappedTokenMs: number
  readonly plainTokenMs: number
}

interface Settings {
  readonly maxTokens: number
  readonly stop?: readonly string[]
  readonly signal: AbortSignal
  /** Milliseconds. */
  readonly now: () => number
}

const computeMedian = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** Advances a stream by one event, with the time it took. */
async function advance(stream: AsyncGenerator<{ type: string; text: string }>, now: () => number) {
  const started = now()
  const { value, done } = await stream.next()
  return {
    text: !done && value.type === 'text-delta' ? value.text : '',
    done: done === true,
    tookMs: now() - started,
  }
}

async function generateAlone(
  model: Model,
  prompt: Prompt,
  adapter: Adapter | undefined,
  { now, ...settings }: Settings,
) {
  const stream = model.generate(prompt, { ...settings, adapter })
  const tokens: number[] = []
  let text = ''
  for (;;) {
    const step = await advance(stream, now)
    if (step.done) return { text, tokens: tokens.slice(1) } // the first one reads the prompt
    text += step.text
    tokens.push(step.tookMs)
  }
}

/**
 * Whole answers by expert, base and expert; then expert and base alternate after each piece of
 * text.
 */
export async function swapLive(
  model: Model,
  prompt: Prompt,
  adapter: Adapter,
  settings: Settings,
): Promise<SwapReport> {
  const expert = await generateAlone(model, prompt, adapter, settings)
  const base = await generateAlone(model, prompt, undefined, settings)
  const again = await generateAlone(model, prompt, adapter, settings)
  const { now, ...rest } = settings
  const streams = [adapter, undefined].map((each) => ({
    stream: model.generate(prompt, { ...rest, adapter: each }),
    text: '',
    done: false,
    steps: 0,
  }))
  const swapped: number[] = []
  let swaps = 0
  for (let turn = 0; streams.some(({ done }) => !done); turn++) {
    const own = streams[turn % 2]!
    if (own.done) continue
    const step = await advance(own.stream, now)
    own.text += step.text
    own.done = step.done
    const bothGoOn = streams.every(({ done }) => !done)
    if (bothGoOn && turn > 0) swaps++
    if (bothGoOn && own.steps++ > 0) swapped.push(step.tookMs)
  }
  const same =
    expert.text === again.text && streams[0]!.text === expert.text && streams[1]!.text === base.text
  const plainTokenMs = computeMedian([...expert.tokens, ...base.tokens])
  return {
    expert: expert.text,
    base: base.text,
    expertAgain: again.text,
    same,
    swaps,
    swappedTokenMs: computeMedian(swapped),
    plainTokenMs,
  }
}
