// The keyword router: scores experts by weighted terms and patterns. It needs no model, decides in
// microseconds, and its reasons are the terms themselves.

import { DataError } from '../../base/errors.ts'
import { integer, type OptionValues, unchecked } from '../../base/schema.ts'
import {
  computeConfidence,
  fitCalibration,
  type JudgedScores,
} from '../calibration/fit-calibration.ts'
import {
  computeSoftmax,
  decideForBase,
  makeDecision,
  quoteText,
  rankExperts,
} from '../calibration/make-decision.ts'
import { collectTerms, findStuffedWord, listWords, shortenPrompt } from '../features/terms.ts'
import {
  type Calibration,
  checkExpertNames,
  type RouterFile,
  routerFileVersion,
} from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RoutedExpert,
  Router,
  RouterKind,
  RouteRequest,
} from '../router.ts'
import {
  calibrationOptionFields,
  describeExperts,
  type NumberedPrompt,
  prepareTraining,
} from '../training/training-set.ts'
import {
  type KeywordRule,
  learnTerms,
  readRules,
  readWrittenRules,
  type RuleSet,
  toManifestTerms,
  type WeightedTerm,
  writeRules,
} from './keyword-rules.ts'

const fields = {
  rules: unchecked<readonly KeywordRule[]>(
    'a list of { expert, terms, patterns }',
    'The evidence for each expert, in addition to the keywords of manifests.',
  ),
  learnedTerms: integer({
    from: 0,
    default: 150,
    about: 'Terms of each expert that are learned from examples, where there are some.',
  }),
  ...calibrationOptionFields,
}

interface KeywordState {
  readonly experts: RouterFile['experts']
  readonly rules: RuleSet
  readonly calibration: Calibration
  readonly trained: NonNullable<RouterFile['trained']>
}

/** A prompt that no term speaks for, as logits see it: an expert needs more than this. */
const noneLogit = 0.5
/** Characters that patterns read: their time grows with them. */
const patternCharacters = 2048

interface RuleHit {
  readonly kind: 'term' | 'pattern'
  readonly text: string
  readonly expert: number
  readonly weight: number
}

/** Terms by their text, for one look-up of each term of a prompt. */
function indexTerms(terms: readonly WeightedTerm[]) {
  const index = new Map<string, WeightedTerm[]>()
  let longest = 1
  for (const one of terms) {
    longest = Math.max(longest, one.term.split(' ').length)
    const others = index.get(one.term)
    if (others) others.push(one)
    else index.set(one.term, [one])
  }
  return { index, longest }
}

/** Finds the rules that match a prompt: each once, however often it occurs. */
function createMatcher(rules: RuleSet) {
  const { index, longest } = indexTerms(rules.terms)
  return (text: string, words: readonly string[]): RuleHit[] => {
    const hits: RuleHit[] = []
    for (const term of collectTerms(words, longest))
      for (const { expert, weight } of index.get(term) ?? [])
        hits.push({ kind: 'term', text: term, expert, weight })
    const read = rules.patterns.length > 0 ? shortenPrompt(text, patternCharacters) : ''
    for (const { pattern, expert, weight } of rules.patterns)
      if (pattern.matches(read))
        hits.push({ kind: 'pattern', text: pattern.source, expert, weight })
    return hits
  }
}

/**
 * Sums of the weights, −Infinity for experts without a match, so that a single term is enough among
 * any number of experts; the last one means none of them.
 */
function sumHits(hits: readonly RuleHit[], count: number): Float64Array {
  const logits = new Float64Array(count + 1).fill(-Infinity)
  for (const { expert, weight } of hits)
    logits[expert] = (logits[expert] === -Infinity ? 0 : logits[expert]!) + weight
  logits[count] = noneLogit
  return logits
}

class KeywordRouter implements Router {
  readonly kind = 'keyword'
  readonly experts: readonly string[]
  readonly #state: KeywordState
  readonly #match: (text: string, words: readonly string[]) => RuleHit[]

  constructor(state: KeywordState) {
    this.experts = state.experts.map(({ name }) => name)
    this.#state = state
    this.#match = createMatcher(state.rules)
  }

  decide({ text }: RouteRequest, signal?: AbortSignal): RouteDecision {
    signal?.throwIfAborted()
    const words = listWords(shortenPrompt(text))
    if (words.length === 0) return decideForBase('the prompt is empty')
    const stuffed = findStuffedWord(words)
    if (stuffed !== undefined)
      return decideForBase(`one word, ${quoteText(stuffed)}, fills most of the prompt`)
    const hits = this.#match(text, words)
    if (hits.length === 0)
      return decideForBase('no keyword and no pattern of any expert is in the prompt')
    const { calibration } = this.#state
    const logits = sumHits(hits, this.experts.length)
    const shares = computeSoftmax(logits, calibration.temperature)
    const scores = rankExperts(this.experts, shares)
    const best = this.experts.indexOf(scores[0]!.expert)
    if (logits[best]! <= noneLogit)
      return decideForBase('the keywords in the prompt speak against the experts')
    const own = hits.filter(({ expert }) => expert === best)
    const strongest = own.toSorted((a, b) => b.weight - a.weight).slice(0, 3)
    return makeDecision({
      scores,
      confidence: calibration.signals ? computeConfidence(logits, calibration) : shares[best]!,
      calibration,
      because: `it contains ${strongest.map((hit) => quoteText(hit.text)).join(', ')}`,
    })
  }

  explain({ text }: RouteRequest): RouteClue[] {
    return this.#match(text, listWords(shortenPrompt(text)))
      .map(({ kind, text: own, expert, weight }) => ({
        kind,
        text: own,
        expert: this.experts[expert],
        weight,
      }))
      .toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  }

  save(): RouterFile {
    const { experts, rules, calibration, trained } = this.#state
    return {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'keyword',
      experts,
      calibration,
      trained,
      state: writeRules(rules),
    }
  }
}

/** Without examples: an expert needs half of the weight at least. */
const usualThreshold = 0.5

/** Rules of options, of manifests, and learned ones, in the form that a file keeps. */
function collectRules(
  experts: readonly RoutedExpert[],
  given: readonly KeywordRule[],
  examples: readonly NumberedPrompt[],
  each: number,
): RuleSet {
  const { terms, patterns } = readRules(
    given,
    experts.map(({ name }) => name),
  )
  const own = experts.flatMap(({ keywords = [] }, i) => toManifestTerms(keywords, i))
  const learned = learnTerms(examples, experts.length, each)
  const all = new Map(
    [...learned, ...own, ...terms].map((one) => [`${one.expert} ${one.term}`, one]),
  )
  const rules = { terms: [...all.values()], patterns }
  if (rules.terms.length + patterns.length === 0)
    throw new DataError(
      'Router "keyword": there are no rules. Give rules, examples, or routing.keywords in the experts’ manifests.',
    )
  return readWrittenRules(writeRules(rules), experts.length)
}

export const keyword: RouterKind = {
  kind: 'keyword',
  about: 'terms with weights and patterns; needs no model',
  needs: [],
  fields,
  train(training, given) {
    const options = given as OptionValues<typeof fields>
    const { experts } = training
    const names = experts.map(({ name }) => name)
    checkExpertNames(names, 'Router "keyword"')
    const { rules = [], learnedTerms, threshold = usualThreshold } = options
    const hasExamples =
      training.examples.length > 0 || experts.some(({ examples = [] }) => examples.length > 0)
    if (!hasExamples) {
      const set = collectRules(experts, rules, [], 0)
      const calibration = { temperature: 1, threshold, rows: 0 }
      const trained = { rows: 0, held: 0, seed: training.seed }
      return new KeywordRouter({
        experts: describeExperts(experts),
        rules: set,
        calibration,
        trained,
      })
    }
    const { fitted, held, isSplit } = prepareTraining(training, 'keyword', options.holdOut)
    const first = collectRules(experts, rules, fitted, learnedTerms)
    const match = createMatcher(first)
    const judged = [...held, ...fitted.filter(({ expert }) => expert < 0)]
    const scores = judged.map(({ text, expert }): JudgedScores => ({
      logits: sumHits(match(text, listWords(shortenPrompt(text))), names.length),
      right: expert < 0 ? names.length : expert,
    }))
    const calibration = fitCalibration(scores, options)
    const all = isSplit ? [...fitted, ...held] : fitted
    return new KeywordRouter({
      experts: describeExperts(experts),
      rules: isSplit ? collectRules(experts, rules, all, learnedTerms) : first,
      calibration,
      trained: { rows: all.length, held: judged.length, seed: training.seed },
    })
  },
  load({ experts, calibration = {}, trained = {}, state }) {
    const rules = readWrittenRules(state, experts.length)
    return new KeywordRouter({ experts, rules, calibration, trained })
  },
}
