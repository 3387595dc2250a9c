// The router "policy": a recurrent network of a few hundred kilobytes (FastGRNN) that reads a
// prompt word by word. It runs no model, so it decides in about a millisecond, and it learns from
// feedback while it runs (Router LoRA).

import { FormatError, OptionError } from '../../base/errors.ts'
import { integer, listOf, object, oneOf, readGivenOptions, string } from '../../base/schema.ts'
import { computeConfidence } from '../calibration/fit-calibration.ts'
import {
  computeSoftmax,
  decideForBase,
  makeDecision,
  quoteText,
  rankExperts,
  uncalibrated,
} from '../calibration/make-decision.ts'
import { AdaptedPolicy, adaptDefaults } from '../policy/adapt-policy.ts'
import { readTensors, saveTensors } from '../policy/eight-bit.ts'
import { createPolicyRunner, type PolicyReading } from '../policy/policy-runner.ts'
import { policyFields, type PolicyOptions } from '../policy/policy-options.ts'
import { computeScores, makePolicy } from '../policy/policy-training.ts'
import {
  findLargest,
  listWeightShapes,
  type PolicyShape,
  type PolicyWeights,
} from '../policy/policy-weights.ts'
import { listLoraShapes } from '../policy/router-lora.ts'
import { createWordReader, listWords } from '../policy/word-buckets.ts'
import { type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RouteFeedback,
  Router,
  RouteRequest,
  RouterKind,
} from '../router.ts'
import { describeExperts } from '../training/training-set.ts'
import { findPlainRefusal } from '../training/vector-router.ts'

const size = integer({ from: 1, to: 2 ** 24 })
const shapeFields = {
  buckets: size,
  width: size,
  hidden: size,
  inputRank: size,
  stateRank: size,
  reads: oneOf(['last', 'mean'] as const),
  maxWords: integer({ from: 1, to: 1024 }),
  tiers: listOf(string({ filled: true })),
  adaptRate: policyFields.adaptRate,
  adaptSteps: policyFields.adaptSteps,
  anchors: listOf(object({ text: string(), expert: integer({ from: 0 }) })),
}

/** Words that an explanation leaves out one at a time. */
const explainedWords = 48

/** A policy as a router; `file` is what it was read from or is written as, without its state. */
class PolicyRouter implements Router {
  readonly kind = 'policy'
  readonly experts: readonly string[]
  readonly #file: RouterFile
  readonly #shape: PolicyShape
  readonly #weights: PolicyWeights
  readonly #settings: Required<ReturnType<typeof readShape>>
  readonly #read: ReturnType<typeof createWordReader>
  readonly #runPlain: ReturnType<typeof createPolicyRunner>
  #adapted: AdaptedPolicy | undefined

  constructor(file: RouterFile, weights: PolicyWeights) {
    this.#file = file
    this.#settings = readShape(file)
    this.experts = file.experts.map(({ name }) => name)
    this.#shape = toShape(this.#settings, this.experts.length)
    this.#weights = weights
    this.#read = createWordReader(this.#settings)
    this.#runPlain = createPolicyRunner(this.#shape, weights)
    const { lora } = file.state
    if (lora !== undefined)
      this.#adapted = this.#createAdapted(
        readTensors('Router "policy": state.lora', lora, listLoraShapes(this.#shape)),
      )
  }

  decide({ text }: RouteRequest, signal?: AbortSignal): RouteDecision {
    signal?.throwIfAborted()
    const refusal = findPlainRefusal(text)
    if (refusal !== undefined) return decideForBase(refusal)
    const words = this.#read(text)
    const pass = this.#run(words)
    const { calibration = uncalibrated } = this.#file
    const scores = computeScores(pass)
    const shares = computeSoftmax(scores, calibration.temperature)
    const ranked = rankExperts(this.experts, shares)
    const next = ranked[1]
    const decision = makeDecision({
      scores: ranked,
      confidence: computeConfidence(scores, calibration),
      calibration,
      because: `of ${words.length} ${words.length === 1 ? 'word' : 'words'} the policy makes ${(ranked[0]!.score * 100).toFixed(1)} %${next ? `, and ${(next.score * 100).toFixed(1)} % for ${quoteText(next.expert)}` : ''}`,
      features: Float32Array.from(pass.adapted),
    })
    const tier = pass.logits.get('tier')
    return tier
      ? Object.assign(decision, { tier: this.#settings.tiers[findLargest(tier)]! })
      : decision
  }

  /** How much the best expert's share falls when a word is left out. */
  explain({ text }: RouteRequest): RouteClue[] {
    const words = this.#read(text)
    if (words.length === 0) return []
    const shareOf = (of: readonly Int32Array[]): Float64Array =>
      computeSoftmax(this.#run(of).logits.get('expert')!)
    const whole = shareOf(words)
    const best = findLargest(whole)
    return listWords(text, Math.min(words.length, explainedWords))
      .map((word, i): RouteClue => ({
        kind: 'term',
        text: word,
        expert: this.experts[best],
        weight: whole[best]! - shareOf(words.toSpliced(i, 1))[best]!,
      }))
      .toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  }

  /** Throws OptionError for an expert that it does not know. */
  learn({ request, decision, reward, right }: RouteFeedback): void {
    const place = this.experts.indexOf(right ?? '')
    if (typeof right === 'string' && place < 0)
      throw new OptionError(
        `Router "policy": feedback: the right expert: got ${JSON.stringify(right)}, expected one of ${this.experts.join(', ')}, or null.`,
      )
    this.#adapted ??= this.#createAdapted()
    this.#adapted.learn({
      words: this.#read(request.text),
      right: right === undefined ? undefined : place,
      chosen: decision.expert === undefined ? undefined : this.experts.indexOf(decision.expert),
      reward,
    })
  }

  save(): RouterFile {
    const { lora: _old, ...state } = this.#file.state
    const lora = this.#adapted && { lora: saveTensors(this.#adapted.lora, true) }
    return { ...this.#file, state: Object.assign({}, state, lora) }
  }

  #run(words: readonly Int32Array[]): PolicyReading {
    return this.#adapted?.run(words) ?? this.#runPlain(words)
  }

  #createAdapted(lora?: AdaptedPolicy['lora']): AdaptedPolicy {
    const { adaptRate: learningRate, adaptSteps: steps } = this.#settings
    const settings = Object.assign({}, adaptDefaults, { learningRate, steps })
    const anchors = this.#settings.anchors.map(({ text = '', expert }) => ({
      words: this.#read(text),
      right: expert,
    }))
    return new AdaptedPolicy(this.#shape, this.#weights, settings, anchors, lora)
  }
}

/** The shape and the settings in a file's state. Throws FormatError. */
function readShape({ state }: RouterFile) {
  const { weights: _weights, lora: _lora, ...given } = state
  let read
  try {
    read = readGivenOptions('Router "policy": state', given, shapeFields)
  } catch (error) {
    throw new FormatError((error as Error).message, { cause: error })
  }
  const missing = Object.keys(shapeFields).filter((name) => !(name in given))
  if (missing.length > 0)
    throw new FormatError(`Router "policy": state: ${missing.join(', ')}: missing.`)
  return read as Required<typeof read>
}

const toShape = (settings: ReturnType<typeof readShape>, experts: number): PolicyShape => {
  const { buckets, width, hidden, inputRank, stateRank, reads, tiers } = settings
  return { buckets, width, hidden, inputRank, stateRank, reads, experts, tiers: tiers.length }
}

export const policy: RouterKind = {
  kind: 'policy',
  about: 'a recurrent network over words (FastGRNN); a millisecond, and learns from feedback',
  needs: [],
  fields: policyFields,
  async train(training, given, parts) {
    const options = given as unknown as PolicyOptions
    const { shape, weights, tiers, anchors, calibration, rows, held } = await makePolicy(
      training,
      options,
      parts,
    )
    const { buckets, width, hidden, inputRank, stateRank, reads } = shape
    const file: RouterFile = {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'policy',
      experts: describeExperts(training.experts),
      calibration,
      options: given,
      trained: { rows, held, seed: training.seed },
      state: {
        buckets,
        width,
        hidden,
        inputRank,
        stateRank,
        reads,
        maxWords: options.maxWords,
        tiers,
        adaptRate: options.adaptRate,
        adaptSteps: options.adaptSteps,
        anchors,
        weights: saveTensors(weights),
      },
    }
    return new PolicyRouter(file, weights)
  },
  load(file) {
    const shape = toShape(readShape(file), file.experts.length)
    const weights = readTensors(
      'Router "policy": state.weights',
      file.state['weights'],
      listWeightShapes(shape),
    )
    return new PolicyRouter(file, weights)
  },
}
