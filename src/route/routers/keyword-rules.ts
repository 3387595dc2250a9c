// The rules of a keyword router: terms with weights and patterns, each for one expert. From
// options, from experts' manifests, and learned from examples.

import { FormatError, OptionError } from '../../base/errors.ts'
import {
  describeValue,
  either,
  findOptionProblems,
  isRecord,
  joinProblems,
  listOf,
  mapOf,
  number,
  string,
} from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { compilePattern, type LinearPattern } from '../features/linear-pattern.ts'
import { collectTerms, listWords, normalizeTerm, shortenPrompt } from '../features/terms.ts'
import type { NumberedPrompt } from '../training/training-set.ts'

/** The evidence for one expert, as users write it. */
export interface KeywordRule {
  readonly expert: string
  /** Words and short phrases. Default: with weights, 1 each. Case does not count. */
  readonly terms?: readonly string[] | Readonly<Record<string, number>> | undefined
  /** Regular expressions, matched in linear time. Case does not count. */
  readonly patterns?: readonly string[] | undefined
  /** How much a pattern counts. Default 3. */
  readonly patternWeight?: number | undefined
}

const filled = string({ filled: true })

const ruleFields = {
  expert: filled,
  terms: either(listOf(filled), mapOf(number())),
  patterns: listOf(filled),
  patternWeight: number({ above: 0 }),
}

/** A pattern is stronger evidence than a word. */
const usualPatternWeight = 3
/** Words of a phrase at most. */
const longestTerm = 8

/** A term or a pattern of one expert, by number. */
export interface WeightedTerm {
  readonly term: string
  readonly expert: number
  readonly weight: number
}

export interface WeightedPattern {
  readonly pattern: LinearPattern
  readonly expert: number
  readonly weight: number
}

/** All terms and patterns that a prompt is compared with. */
export interface RuleSet {
  readonly terms: readonly WeightedTerm[]
  readonly patterns: readonly WeightedPattern[]
}

/**
 * Throws OptionError with everything that is wrong: an unknown expert, an unknown key, a bad
 * pattern.
 */
export function readRules(rules: readonly unknown[], names: readonly string[]): RuleSet {
  const problems = rules.flatMap((rule, i) => findRuleProblems(rule, i, names))
  if (problems.length > 0) throw new OptionError(`Rules of a router: ${joinProblems(problems)}`)
  const checked = rules as readonly KeywordRule[]
  return {
    terms: checked.flatMap(({ expert, terms = [] }) =>
      listWeights(terms).map(([term, weight]) => ({
        term: checkTerm(term),
        expert: names.indexOf(expert),
        weight,
      })),
    ),
    patterns: checked.flatMap(({ expert, patterns = [], patternWeight }, i) =>
      patterns.map((source, j) => ({
        pattern: compilePattern(source, `rules[${i}].patterns[${j}]`),
        expert: names.indexOf(expert),
        weight: patternWeight ?? usualPatternWeight,
      })),
    ),
  }
}

function findRuleProblems(rule: unknown, i: number, names: readonly string[]): string[] {
  if (!isRecord(rule)) return [`rules[${i}]: got ${describeValue(rule)}, expected an object`]
  const problems = findOptionProblems(rule, ruleFields, `rules[${i}].`)
  const { expert } = rule
  if (expert === undefined) return [...problems, `rules[${i}].expert: is missing`]
  if (typeof expert !== 'string' || names.includes(expert)) return problems
  const meant = findNearestName(expert, names)
  const hint = meant === undefined ? '' : `. Did you mean "${meant}"?`
  return [...problems, `rules[${i}].expert: there is no expert "${expert}"${hint}`]
}

const listWeights = (terms: NonNullable<KeywordRule['terms']>): (readonly [string, number])[] =>
  Array.isArray(terms)
    ? (terms as readonly string[]).map((term) => [term, 1] as const)
    : Object.entries(terms as Readonly<Record<string, number>>)

function checkTerm(term: string): string {
  const normal = normalizeTerm(term)
  const words = normal.split(' ').length
  if (normal === '' || words > longestTerm)
    throw new OptionError(
      `The keyword ${describeValue(term)} has ${normal === '' ? 'no' : words} words, expected 1 to ${longestTerm}.`,
    )
  return normal
}

/**
 * Keywords of a manifest, with a weight of 1 each; a keyword that no prompt can contain is an
 * error.
 */
export const toManifestTerms = (
  keywords: readonly string[],
  expert: number,
): readonly WeightedTerm[] =>
  keywords.map((keyword) => ({ term: checkTerm(keyword), expert, weight: 1 }))

/** Examples in which a term must come before it is learned: of a handful one is enough. */
const countNeeded = (examples: number): number => (examples < 10 ? 1 : 2)

/** Terms of each expert that an unseen one counts as, in the smoothed rates. */
const smoothing = 0.5

/**
 * The terms by which an expert's examples differ most from the others': the logarithm of how often
 * the term is among the expert's terms, over how often it is among the others' (naive Bayes over
 * the terms that examples hold; an expert of long prompts gains nothing by their length). Keeps the
 * most informative ones: by the weight times the root of the share of examples that contain them.
 */
export function learnTerms(
  examples: readonly NumberedPrompt[],
  count: number,
  each: number,
): WeightedTerm[] {
  const { counts, sizes, totals } = countTerms(examples, count)
  const all = totals.reduce((sum, value) => sum + value, 0)
  const byExpert = Array.from({ length: count }, (): (WeightedTerm & { rank: number })[] => [])
  for (const [term, own] of counts) {
    const everywhere = own.reduce((sum, value) => sum + value, 0)
    own.forEach((hits, expert) => {
      if (hits < countNeeded(sizes[expert]!)) return
      const inside = (hits + smoothing) / (totals[expert]! + smoothing * counts.size)
      const outside =
        (everywhere - hits + smoothing) / (all - totals[expert]! + smoothing * counts.size)
      const weight = Math.log(inside / outside)
      const rank = weight * Math.sqrt(hits / sizes[expert]!)
      if (weight > leastWeight) byExpert[expert]!.push({ term, expert, weight, rank })
    })
  }
  return byExpert.flatMap((own) =>
    own
      .toSorted((a, b) => b.rank - a.rank || (a.term < b.term ? -1 : 1))
      .slice(0, each)
      .map(({ term, expert, weight }) => ({ term, expert, weight })),
  )
}

/** Below this a term has almost no effect. */
const leastWeight = 0.3

/** The number of examples of each expert that contain each term. */
function countTerms(examples: readonly NumberedPrompt[], count: number) {
  const sizes = new Float64Array(count)
  const totals = new Float64Array(count)
  const counts = new Map<string, Float64Array>()
  for (const { text, expert } of examples) {
    if (expert < 0) continue
    sizes[expert]!++
    for (const term of collectTerms(listWords(shortenPrompt(text)), 2)) {
      const own = counts.get(term) ?? new Float64Array(count)
      own[expert]!++
      totals[expert]!++
      counts.set(term, own)
    }
  }
  return { counts, sizes, totals }
}

/** As a file keeps them. */
export const writeRules = ({ terms, patterns }: RuleSet) => ({
  terms: terms.map(({ term, expert, weight }) => [term, expert, Math.round(weight * 1e4) / 1e4]),
  patterns: patterns.map(({ pattern, expert, weight }) => [pattern.source, expert, weight]),
})

/** Reads what `writeRules` wrote. Throws FormatError, GrammarError for an invalid pattern. */
export function readWrittenRules(
  state: Readonly<Record<string, unknown>>,
  experts: number,
): RuleSet {
  const toRows = (name: 'terms' | 'patterns') => {
    const rows = state[name]
    const isRight =
      Array.isArray(rows) &&
      rows.every(
        (row) =>
          Array.isArray(row) &&
          typeof row[0] === 'string' &&
          Number.isInteger(row[1]) &&
          row[1] >= 0 &&
          row[1] < experts &&
          Number.isFinite(row[2]),
      )
    if (!isRight)
      throw new FormatError(
        `state.${name}: got ${describeValue(rows)}, expected rows of a string, the number of an expert below ${experts}, and a weight.`,
      )
    return rows as [string, number, number][]
  }
  return {
    terms: toRows('terms').map(([term, expert, weight]) => ({ term, expert, weight })),
    patterns: toRows('patterns').map(([source, expert, weight], i) => ({
      pattern: compilePattern(source, `state.patterns[${i}]`),
      expert,
      weight,
    })),
  }
}
