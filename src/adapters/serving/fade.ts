// A fade: experts that follow each other within one answer, as a switch at a token or with weights
// that change linearly over some tokens. Independent of sequences and programs.
//
//     token i of the answer    i ≤ from: the expert before    i ≥ to: this one
//                              between: (1 − a)·ΔW_before + a·ΔW_this    a = (i − from)/(to − from)
//
// Where from = to, the token from is the first that this expert writes.

import { OptionError } from '../../base/errors.ts'
import { describeValue, isRecord, joinProblems } from '../../base/schema.ts'
import { type Expert, isMixture, type MixturePart, simplifyExpert } from './mixture.ts'

/** The expert that answers from some token of the answer on; `expert` undefined is the base. */
export interface FadeStage {
  readonly expert: Expert | undefined
  /** The last token of the previous stage alone. Tokens of the answer count from 0. */
  readonly from: number
  /** The first token of this stage alone. Default `from`: a switch. */
  readonly to?: number
}

/**
 * `{ fade: [{ expert: coder, from: 0 }, { expert: poet, from: 20, to: 60 }] }`: the first stage
 * computes the prompt and begins the answer. Earlier keys and values are not recomputed.
 */
export interface Fade {
  readonly fade: readonly FadeStage[]
}

/** What can generate an answer. */
export type AnswerExpert = Expert | Fade

export const isFade = (expert: AnswerExpert): expert is Fade => isRecord(expert) && 'fade' in expert

/**
 * The stages with both ends, and their experts in the simplest form. Throws one OptionError that
 * lists every problem.
 */
export function simplifyStages({ fade }: Fade): readonly Required<FadeStage>[] {
  if (!Array.isArray(fade) || fade.length === 0)
    throw new OptionError(
      `fade: got ${describeValue(fade)}, expected a list of { expert, from, to } with at least one stage.`,
    )
  const problems = fade.flatMap((stage: unknown, i) =>
    findStageProblems(stage, `fade[${i}]`, endOf(fade[i - 1])),
  )
  if (problems.length > 0) throw new OptionError(joinProblems(problems))
  return (fade as readonly FadeStage[]).map(({ expert, from, to = from }) => ({
    expert: simplifyExpert(expert),
    from,
    to,
  }))
}

/** Where a stage has taken over completely; undefined if there is no stage. */
const endOf = (stage: unknown): number | undefined =>
  isRecord(stage) ? Number(stage['to'] ?? stage['from']) : undefined

function findStageProblems(stage: unknown, name: string, before: number | undefined): string[] {
  if (!isRecord(stage))
    return [`${name}: got ${describeValue(stage)}, expected { expert, from, to }`]
  const { expert: _expert, from, to = from, ...others } = stage
  const unknown = Object.keys(others).map(
    (key) => `${name}: there is no "${key}"; expected expert, from and to`,
  )
  const isToken = (value: unknown): value is number =>
    Number.isSafeInteger(value) && (value as number) >= 0
  if (!isToken(from) || !isToken(to) || to < from)
    return [
      ...unknown,
      `${name}: got from ${describeValue(from)} to ${describeValue(to)}, expected tokens of the answer, the smaller one first`,
    ]
  if (before === undefined)
    return from === 0 && to === 0
      ? unknown
      : [...unknown, `${name}.from: got ${from}, expected 0: the first stage reads the prompt`]
  if (to === 0)
    return [...unknown, `${name}.to: got 0, expected at least 1: the stage before writes token 0`]
  return from < before
    ? [
        ...unknown,
        `${name}.from: got ${from}, expected at least ${before}, where the stage before begins`,
      ]
    : unknown
}

/**
 * Every adapter of an answer's experts as one mixture, to find its tokenizer and template, which do
 * not depend on weights.
 */
export function collectFadeAdapters(expert: AnswerExpert | undefined): Expert | undefined {
  if (expert === undefined || !isFade(expert)) return expert
  const mixture = simplifyStages(expert).flatMap(({ expert: one }): readonly MixturePart[] =>
    one === undefined ? [] : isMixture(one) ? one.mixture : [{ adapter: one, weight: 1 }],
  )
  return simplifyExpert(mixture.length === 0 ? undefined : { mixture })
}
