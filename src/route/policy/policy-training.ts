// From prompts and options to the weights of a policy, in 8 bits, and its calibration.

import { OptionError } from '../../base/errors.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import { referenceBackend } from '../../compute/reference.ts'
import { fitCalibration, type JudgedScores } from '../calibration/fit-calibration.ts'
import type { Calibration } from '../router-file.ts'
import type { RouteExample, RouterParts, RouterTraining } from '../router.ts'
import { type NumberedPrompt, prepareTraining } from '../training/training-set.ts'
import { teachShares, teachWords } from './teach-policy.ts'
import { roundToEightBits } from './eight-bit.ts'
import type { PolicyOptions } from './policy-options.ts'
import type { PolicyShape } from './policy-weights.ts'
import { createPolicyRunner, type PolicyReading } from './policy-runner.ts'
import { trainPolicy } from './train-policy.ts'
import type { PolicyExample } from './training-batch.ts'
import { createWordReader } from './word-buckets.ts'

/** What a trained policy is made of. */
export interface PolicyMaking {
  readonly shape: PolicyShape
  readonly weights: Map<string, F32Tensor>
  readonly tiers: readonly string[]
  readonly anchors: readonly NumberedPrompt[]
  readonly calibration: Calibration
  readonly rows: number
  readonly held: number
}

const usualSteps = 3000
/** A teacher says more of each prompt than can be learned in fewer. */
const taughtSteps = 6300
/** Less than other kinds hold out, because a policy is not trained a second time on all. */
const heldShare = 0.1

/** Epochs that make about so many steps: a hundred prompts are met more often than thousands. */
const chooseEpochs = (rows: number, { batchSize, taught }: PolicyOptions): number =>
  Math.min(
    60,
    Math.max(10, Math.round((taught ? taughtSteps : usualSteps) / Math.ceil(rows / batchSize))),
  )

/**
 * Logits by which a policy is calibrated and decides: log-probabilities of the experts plus the
 * logit of the confidence head, so that its softmax is that of the experts, and its level shows
 * whether any of them is right.
 */
export function computeScores({ logits }: PolicyReading): Float64Array {
  const own = logits.get('expert')!
  const most = own.reduce((top, value) => Math.max(top, value), -Infinity)
  const total = most + Math.log(own.reduce((sum, value) => sum + Math.exp(value - most), 0))
  const sure = logits.get('confidence')![0]!
  return own.map((value) => value - total + sure)
}

/** Tiers by name, and of each prompt that has one. */
function collectTiers(examples: readonly RouteExample[]) {
  const ofText = new Map(
    examples.flatMap(({ text, tier }) => (tier === undefined ? [] : [[text, tier] as const])),
  )
  const names = [...new Set(ofText.values())].toSorted()
  const find = (text: string): number => names.indexOf(ofText.get(text) ?? '')
  return { names: names.length > 1 ? names : [], find }
}

/** How much of what is wanted of the experts' head is the teacher's. */
const taughtShare = 0.5

/** What the vectors of a model teach. Throws OptionError where there is none. */
async function openTeacher(
  fitted: readonly NumberedPrompt[],
  experts: number,
  options: PolicyOptions,
  { embedder }: RouterParts,
) {
  if (!options.taught) return undefined
  if (!embedder)
    throw new OptionError(
      'Router "policy": taught needs vectors of prompts: give createRouter a model, or an embedder.',
    )
  const shares = await teachShares(fitted, experts, embedder)
  return { teach: await teachWords(fitted, options, embedder), shares }
}

/**
 * Trains on `parts.backend`, or slowly on the reference interpreter. Throws what prepareTraining
 * throws, OptionError for `taught` without an embedder, and NumericError if the training diverges.
 */
export async function makePolicy(
  training: RouterTraining,
  options: PolicyOptions,
  parts: RouterParts,
): Promise<PolicyMaking> {
  const { backend = referenceBackend } = parts
  const { names, fitted, held } = prepareTraining(training, 'policy', options.holdOut ?? heldShare)
  const tiers = collectTiers(training.examples)
  const shape = chooseShape(options, names.length, tiers.names.length)
  const read = createWordReader(options)
  const teacher = await openTeacher(fitted, names.length, options, parts)
  const examples = fitted.flatMap(({ text, expert }, i): PolicyExample[] => {
    const words = read(text)
    const taught = teacher?.shares[i]
    return words.length === 0 ? [] : [{ words, expert, tier: tiers.find(text), taught }]
  })
  const trained = await trainPolicy({
    shape,
    examples,
    backend,
    epochs: options.epochs ?? chooseEpochs(examples.length, options),
    batchSize: options.batchSize,
    learningRate: options.learningRate,
    seed: training.seed,
    dropout: options.dropout,
    wordDropout: options.wordDropout,
    teach: teacher?.teach,
    teaching: teacher ? taughtShare : 0,
    labelSmoothing: options.labelSmoothing,
  })
  const weights = roundToEightBits(trained)
  const run = createPolicyRunner(shape, weights)
  const judged = held.map(({ text, expert }): JudgedScores => ({
    logits: computeScores(run(read(text))),
    right: expert < 0 ? undefined : expert,
  }))
  const calibration = fitCalibration(judged, options)
  const rows = examples.length
  const anchors = chooseAnchors(fitted, names.length)
  return { shape, weights, tiers: tiers.names, anchors, calibration, rows, held: judged.length }
}

/** Prompts that a file keeps, so that feedback does not push out what was learned from them. */
const mostAnchors = 300
const anchorsOfExpert = 8
const anchorCharacters = 200

/** The first few of each expert. */
function chooseAnchors(examples: readonly NumberedPrompt[], experts: number): NumberedPrompt[] {
  const each = Math.max(1, Math.min(anchorsOfExpert, Math.floor(mostAnchors / experts)))
  const counts = new Array<number>(experts).fill(0)
  return examples.flatMap(({ text, expert }) =>
    expert >= 0 && counts[expert]!++ < each
      ? [{ text: text.slice(0, anchorCharacters), expert }]
      : [],
  )
}

const chooseShape = (options: PolicyOptions, experts: number, tiers: number): PolicyShape => {
  const { buckets, width, hidden, inputRank, stateRank, reads } = options
  return { buckets, width, hidden, inputRank, stateRank, reads, experts, tiers }
}
