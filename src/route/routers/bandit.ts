// The router "bandit": learns from rewards which expert answers what, and explores uncertain ones.
// The cost of loading an expert is subtracted from its reward, so that an expert in memory is
// preferred if both are about as good.

import { FormatError, OptionError } from '../../base/errors.ts'
import { random, type Random } from '../../base/random.ts'
import { flag, integer, mapOf, number, oneOf, readGivenOptions } from '../../base/schema.ts'
import type { GivenOptions } from '../../base/schema.ts'
import { banditMethods, chooseArm } from '../bandit/choose-arm.ts'
import { type ArmEstimate, LinearArms } from '../bandit/linear-arms.ts'
import { type ContextReader, createContextReader } from '../bandit/prompt-context.ts'
import { decideForBase, rankExperts } from '../calibration/make-decision.ts'
import { readIntegers, readNumbers, writeIntegers, writeNumbers } from '../features/number-array.ts'
import { listWords } from '../policy/word-buckets.ts'
import { checkExpertNames, type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RoutedExpert,
  RouteFeedback,
  Router,
  RouteRequest,
  RouterKind,
  RouterParts,
  RouterTraining,
} from '../router.ts'
import { describeExperts } from '../training/training-set.ts'

const settingFields = {
  method: oneOf(banditMethods, {
    default: 'linucb',
    about: 'LinUCB takes the best hope, Thompson sampling draws by what it believes.',
  }),
  exploration: number({
    from: 0,
    default: 0.3,
    about: 'How much being unsure of an expert speaks for trying it.',
  }),
  even: number({
    from: 0,
    below: 1,
    default: 0.02,
    about: 'Share of choices drawn evenly, so that a log covers every expert.',
  }),
  loadCost: number({
    from: 0,
    default: 0.05,
    about: 'What loading an expert takes off its reward, where it is not in memory.',
  }),
  loadCosts: mapOf(number({ from: 0 }), { about: 'The same for single experts, by name.' }),
  width: integer({ from: 2, to: 512, default: 64, about: 'Numbers that a prompt becomes.' }),
  ridge: number({ above: 0, default: 1, about: 'How strongly nothing is believed at first.' }),
  threshold: number({
    from: 0,
    to: 1,
    default: 0,
    about: 'Where no expert is expected to be this good, the base answers.',
  }),
  seed: integer({ default: 0, about: 'Of the draws.' }),
}
const trainingFields = Object.assign({}, settingFields, {
  words: flag({ default: false, about: 'Reads words, also where there is an embedder.' }),
  others: integer({
    from: 0,
    default: 3,
    about: 'Wrong experts that each prompt of the training speaks against.',
  }),
})

/** Words that an explanation leaves out one at a time. */
const explainedWords = 32

type Settings = Required<Omit<GivenOptions<typeof settingFields>, 'loadCosts'>> & {
  readonly loadCosts?: Readonly<Record<string, number>> | undefined
}

class BanditRouter implements Router {
  readonly kind = 'bandit'
  readonly #file: RouterFile
  readonly #experts: { readonly name: string; readonly sha256?: string }[]
  readonly #settings: Settings
  readonly #arms: LinearArms
  readonly #read: ContextReader
  readonly #draw: Random

  constructor(file: RouterFile, settings: Settings, arms: LinearArms, read: ContextReader) {
    this.#file = file
    this.#experts = [...file.experts]
    this.#settings = settings
    this.#arms = arms
    this.#read = read
    this.#draw = random(settings.seed + 7919 * arms.rewards)
  }

  get experts(): readonly string[] {
    return this.#experts.map(({ name }) => name)
  }

  async decide({ text, resident }: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    signal?.throwIfAborted()
    if (text.trim() === '') return decideForBase('the prompt is empty')
    const x = await this.#read(text, signal)
    const names = this.experts
    const estimates = names.map((_, arm) => this.#arms.estimate(arm, x))
    const { threshold, method } = this.#settings
    const shares = estimates.map(({ mean }) => Math.min(1, Math.max(1e-9, mean)))
    const scores = rankExperts(names, shares)
    const features = Float32Array.from(x)
    const confidence = scores[0]!.score
    if (confidence < threshold)
      return {
        expert: undefined,
        confidence,
        scores,
        features,
        reason: `The base answers, because the best expert, ${scores[0]!.expert}, is expected to be worth ${confidence.toFixed(2)} and ${threshold.toFixed(2)} are needed.`,
      }
    const costs = names.map((name) => this.#costOf(name, resident))
    const { arm, propensity } = chooseArm(estimates, costs, this.#settings, this.#draw)
    return {
      expert: names[arm],
      confidence,
      scores,
      propensity,
      features,
      reason: `${names[arm]} by ${method === 'linucb' ? 'LinUCB' : 'Thompson sampling'}, because ${describeEstimate(estimates[arm]!)}${costs[arm]! > 0 ? `, less ${costs[arm]!.toFixed(2)} for loading it` : ''}.`,
    }
  }

  /** By how much the best expert's expected reward falls without each word. */
  async explain({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    const words = listWords(text, explainedWords)
    if (words.length === 0) return []
    const x = await this.#read(text, signal)
    const means = this.experts.map((_, arm) => this.#arms.estimate(arm, x).mean)
    const best = means.indexOf(Math.max(...means))
    const clues: RouteClue[] = []
    for (const [i, word] of words.entries()) {
      const without = await this.#read(words.toSpliced(i, 1).join(' '), signal)
      const weight = means[best]! - this.#arms.estimate(best, without).mean
      clues.push({ kind: 'term', text: word, expert: this.experts[best], weight })
    }
    return clues.toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  }

  /** Throws OptionError for an expert that it does not know. */
  async learn({ request, decision, reward, right }: RouteFeedback): Promise<void> {
    for (const name of [right, decision.expert])
      if (typeof name === 'string' && !this.experts.includes(name))
        throw new OptionError(
          `Router "bandit": feedback: there is no expert ${JSON.stringify(name)}; there are ${this.experts.join(', ')}.`,
        )
    const x = await this.#read(request.text)
    const chosen = decision.expert === undefined ? -1 : this.experts.indexOf(decision.expert)
    const best = this.experts.indexOf(right ?? '')
    if (best >= 0) this.#arms.update(best, x, 1)
    if (chosen < 0 || chosen === best) return
    const own = reward ?? (right === undefined ? undefined : 0)
    if (own !== undefined) this.#arms.update(chosen, x, own)
  }

  add({ name, sha256 }: RoutedExpert): void {
    checkExpertNames([...this.experts, name], 'Router "bandit"')
    this.#experts.push({ name, ...(sha256 && { sha256 }) })
    this.#arms.addArm(this.#settings.ridge)
  }

  save(): RouterFile {
    const { inverses, moments, counts } = this.#arms.read()
    const { width } = this.#arms
    const arms = this.#experts.length
    const state = Object.assign({}, this.#settings, {
      inverses: writeNumbers(inverses, [arms, width, width]),
      moments: writeNumbers(moments, [arms, width]),
      counts: writeIntegers(counts),
    })
    return Object.assign({}, this.#file, { experts: [...this.#experts], state })
  }

  #costOf(name: string, resident: readonly string[] | undefined): number {
    if (!resident || resident.includes(name)) return 0
    return this.#settings.loadCosts?.[name] ?? this.#settings.loadCost
  }
}

const describeEstimate = ({ mean, deviation }: ArmEstimate): string =>
  `it is expected to be worth ${mean.toFixed(2)} ± ${deviation.toFixed(2)}`

/**
 * Prompts whose expert is known as rewards: 1 for it, 0 for a few drawn others. One of no expert
 * speaks against a few.
 */
async function learnExamples(
  arms: LinearArms,
  read: ContextReader,
  { experts, examples, seed }: RouterTraining,
  others: number,
): Promise<void> {
  const draw = random(seed)
  for (const { text, expert } of draw.shuffle(examples)) {
    const x = await read(text)
    const right = experts.findIndex(({ name }) => name === expert)
    if (right >= 0) arms.update(right, x, 1)
    for (let i = 0; i < others; i++) {
      const other = draw.integer(experts.length)
      if (other !== right) arms.update(other, x, 0)
    }
  }
}

function checkCosts(costs: Settings['loadCosts'], names: readonly string[]): void {
  const unknown = Object.keys(costs ?? {}).filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new OptionError(
      `Router "bandit": loadCosts: there is no expert ${unknown.join(', ')}; there are ${names.join(', ')}.`,
    )
}

export const bandit: RouterKind = {
  kind: 'bandit',
  about: 'learns from rewards which expert to ask (LinUCB, Thompson); knows what is in memory',
  needs: [],
  fields: trainingFields,
  async train(training, given, { embedder }) {
    const { words, others, ...settings } = given as unknown as Settings & {
      words: boolean
      others: number
    }
    const names = training.experts.map(({ name }) => name)
    checkExpertNames(names, 'Router "bandit"')
    checkCosts(settings.loadCosts, names)
    const used = words ? undefined : embedder
    const read = createContextReader(settings.width, used)
    const arms = new LinearArms(names.length, settings.width, settings.ridge)
    await learnExamples(arms, read, training, others)
    const file: RouterFile = {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'bandit',
      experts: describeExperts(training.experts),
      options: given,
      ...(used && { embedder: { sha256: used.sha256, settings: used.settings } }),
      trained: { rows: training.examples.length, held: 0, seed: training.seed },
      state: {},
    }
    return new BanditRouter(file, settings, arms, read)
  },
  load(file, parts) {
    const { inverses, moments, counts, ...given } = file.state
    const settings = readSettings(given)
    const arms = new LinearArms(file.experts.length, settings.width, settings.ridge)
    const where = 'Router "bandit": state'
    const read = {
      inverses: readNumbers(inverses, 3, `${where}.inverses`),
      moments: readNumbers(moments, 2, `${where}.moments`),
      counts: readIntegers(counts, `${where}.counts`),
    }
    const size = file.experts.length
    const { width } = settings
    if (
      read.inverses.shape.join() !== [size, width, width].join() ||
      read.moments.shape.join() !== [size, width].join() ||
      read.counts.length !== size
    )
      throw new FormatError(
        `${where}: its arrays are not those of ${size} experts and width ${width}.`,
      )
    arms.restore(read.inverses.data, read.moments.data, read.counts)
    return new BanditRouter(file, settings, arms, findReader(file, settings, parts))
  },
}

function readSettings(given: Readonly<Record<string, unknown>>): Settings {
  try {
    const read = readGivenOptions('Router "bandit": state', given, settingFields)
    const missing = Object.keys(settingFields).filter(
      (name) => name !== 'loadCosts' && !(name in given),
    )
    if (missing.length === 0) return read as Settings
    throw new FormatError(`Router "bandit": state: ${missing.join(', ')}: missing.`)
  } catch (error) {
    throw new FormatError((error as Error).message, { cause: error })
  }
}

/** Throws OptionError if it was trained with an embedder and there is none, or another. */
function findReader(
  file: RouterFile,
  { width }: Settings,
  { embedder }: RouterParts,
): ContextReader {
  if (!file.embedder) return createContextReader(width)
  if (embedder?.sha256 === file.embedder.sha256) return createContextReader(width, embedder)
  throw new OptionError(
    embedder
      ? 'Router "bandit": it was trained on the vectors of another model. Train it again.'
      : 'Router "bandit": it was trained with an embedder, and none is given.',
  )
}
