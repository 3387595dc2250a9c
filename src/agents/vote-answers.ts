// Consensus by voting: the answer that most agents gave. Independent of models.

import { OptionError } from '../base/errors.ts'

export interface VoteOptions {
  /** Answers with equal results are one. Default: white space and case apart. */
  readonly normalize?: ((text: string) => string) | undefined
  /** What an agent's vote weighs, such as its past score. Default: 1. */
  readonly weights?: Readonly<Record<string, number>> | undefined
}

export interface VoteResult {
  /** As the first agent that voted for it wrote it. */
  readonly text: string
  readonly agents: readonly string[]
  /** Of all votes, by weight. */
  readonly share: number
}

const normalizeText = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').toLowerCase()

/** The answer with the most votes; of equally many the one that was given first. */
export function voteAnswers(
  answers: readonly { readonly agent: string; readonly text: string }[],
  { normalize = normalizeText, weights = {} }: VoteOptions = {},
): VoteResult {
  if (answers.length === 0) throw new OptionError('A vote needs at least one answer.')
  const groups = [...Map.groupBy(answers, ({ text }) => normalize(text)).values()]
  const weigh = (group: typeof answers): number =>
    group.reduce((sum, { agent }) => sum + (weights[agent] ?? 1), 0)
  const all = weigh(answers)
  const best = groups.toSorted((a, b) => weigh(b) - weigh(a))[0]!
  return {
    text: best[0]!.text,
    agents: best.map(({ agent }) => agent),
    share: all > 0 ? weigh(best) / all : 1 / groups.length,
  }
}
