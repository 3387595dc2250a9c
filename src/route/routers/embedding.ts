// The embedding router: a vector of the prompt, from the base's own layers by default, and a head
// over it. The prompt goes to the expert with the most similar examples.

import { FormatError, OptionError } from '../../base/errors.ts'
import {
  describeValue,
  integer,
  isRecord,
  number,
  oneOf,
  type OptionValues,
} from '../../base/schema.ts'
import { fitCalibration, type JudgedScores } from '../calibration/fit-calibration.ts'
import { headKinds } from '../heads/head-table.ts'
import type { HeadKind, VectorHead } from '../heads/vector-head.ts'
import type { RouterFile } from '../router-file.ts'
import type { Router, RouterKind, RouterParts, TextEmbedder } from '../router.ts'
import { keepExamples, readExamples } from '../training/kept-examples.ts'
import {
  calibrationOptionFields,
  describeExperts,
  type NumberedPrompt,
  prepareTraining,
} from '../training/training-set.ts'
import { splitScores, VectorRouter, type VectorRouterState } from '../training/vector-router.ts'

const fields = {
  head: oneOf([...headKinds.keys()], {
    about:
      'How vectors become scores. Default: logistic where experts have 50 examples each on average, else linear.',
  }),
  shrinkage: number({
    from: 0,
    to: 1,
    default: 0.1,
    about: 'Of the linear head: how much of the covariance gives way to the identity.',
  }),
  keepExamples: integer({
    from: 0,
    default: 5,
    about: 'Examples of each expert that the file keeps, for reasons and `explain`.',
  }),
  ...calibrationOptionFields,
}

/** Examples that a file keeps at most, unless that is less than one of each expert. */
const mostExamples = 2000

export const limitExamples = (each: number, experts: number): number =>
  Math.min(each, Math.max(1, Math.floor(mostExamples / experts)))

/** Examples of each expert from which on logistic regression is right more often. */
const leastForLogistic = 50

/** Examples of none of the experts from which on they are a class of the head. */
const leastNone = 10

/** Throws OptionError if there is no embedder. */
export function getEmbedder({ embedder }: RouterParts, kind: string): TextEmbedder {
  if (embedder) return embedder
  throw new OptionError(
    `Router "${kind}" needs an embedder: give createRouter a model, or your own embedder.`,
  )
}

/** Throws FormatError if the file was made with another model or other layers. */
export function checkEmbedder(file: RouterFile, { sha256, settings }: TextEmbedder): void {
  const { embedder } = file
  const wrong =
    embedder?.sha256 !== sha256
      ? `a model with the hash ${embedder?.sha256?.slice(0, 12)}…, got one with ${sha256.slice(0, 12)}…`
      : JSON.stringify(embedder.settings) !== JSON.stringify(settings)
        ? `${JSON.stringify(embedder.settings)}, got ${JSON.stringify(settings)}`
        : undefined
  if (wrong !== undefined)
    throw new FormatError(
      `The router "${file.kind}" was trained on vectors of ${wrong}. Load it with its own base, or train it again.`,
    )
}

/** The vectors of prompts, each read once. */
async function embedAll(
  embedder: TextEmbedder,
  rows: readonly NumberedPrompt[],
): Promise<(row: NumberedPrompt) => Float32Array> {
  const texts = [...new Set(rows.map(({ text }) => text))]
  const vectors = await embedder.embed(texts)
  const byText = new Map(texts.map((text, i) => [text, vectors[i]!]))
  return ({ text }) => byText.get(text)!
}

/**
 * Trains any kind over vectors: fit, calibrate, and fit again with the held-out examples included.
 * A kind may pass its own head.
 */
export async function trainEmbedding(
  kind: string,
  training: Parameters<RouterKind['train']>[0],
  given: Readonly<Record<string, unknown>>,
  parts: RouterParts,
  ownHead?: HeadKind,
): Promise<Router> {
  const embedder = getEmbedder(parts, kind)
  const options = given as OptionValues<typeof fields>
  const { experts, names, fitted, held, isSplit } = prepareTraining(training, kind, options.holdOut)
  const isInScope = ({ expert }: NumberedPrompt): boolean => expert >= 0
  const strange = fitted.filter((row) => !isInScope(row))
  // its own class recognises unrelated prompts far better than the distance to the experts
  const none = strange.length >= leastNone ? names.length : undefined
  const vectorOf = await embedAll(embedder, [...fitted, ...held])
  const toVectors = (rows: readonly NumberedPrompt[]): Float32Array[] => rows.map(vectorOf)
  const each = fitted.filter(isInScope).length / names.length
  const usualHead = each >= leastForLogistic ? 'logistic' : 'linear'
  const headKind = ownHead ?? headKinds.get(options.head ?? usualHead)!
  const fit = (prompts: readonly NumberedPrompt[]): VectorHead => {
    const own = none === undefined ? prompts.filter(isInScope) : prompts
    return headKind.fit({
      vectors: toVectors(own),
      classes: own.map(({ expert }) => (expert < 0 ? names.length : expert)),
      count: names.length + (none === undefined ? 0 : 1),
      shrinkage: options.shrinkage,
      parts: embedder.parts,
    })
  }
  const first = fit(fitted)
  const judged = none === undefined ? [...held, ...strange] : held
  const judgedVectors = toVectors(judged)
  const scores = judged.map(({ expert }, i): JudgedScores => {
    const split = splitScores(first.logits(judgedVectors[i]!), none)
    return Object.assign({ right: expert < 0 ? undefined : expert }, split)
  })
  const calibration = fitCalibration(scores, options)
  const all = isSplit ? [...fitted, ...held] : fitted
  const head = isSplit && held.length > 0 ? fit(all) : first
  const rows = all.filter(isInScope)
  const vectors = toVectors(rows)
  const most = limitExamples(options.keepExamples, names.length)
  const examples = keepExamples(rows, (i) => head.place(vectors[i]!), most)
  const state: VectorRouterState = {
    kind,
    head,
    headKind: headKind.kind,
    none,
    experts: describeExperts(experts),
    calibration,
    examples,
    options: given,
    trained: { rows: rows.length, held: judged.length, seed: training.seed },
  }
  return new VectorRouter(state, embedder)
}

/** Throws FormatError for what is no class of the head. */
function readNone({ kind, state, experts }: RouterFile): number | undefined {
  const none = state['none'] ?? undefined
  if (none === undefined) return undefined
  if (Number.isInteger(none) && Number(none) >= 0 && Number(none) <= experts.length)
    return Number(none)
  throw new FormatError(
    `Router "${kind}": state.none: got ${describeValue(none)}, expected the number of a class up to ${experts.length}, or null.`,
  )
}

export function loadEmbedding(file: RouterFile, parts: RouterParts): Router {
  const embedder = getEmbedder(parts, file.kind)
  checkEmbedder(file, embedder)
  const { headKind: name, head: state, examples } = file.state
  const none = readNone(file)
  const headKind = typeof name === 'string' ? headKinds.get(name) : undefined
  if (!headKind || !isRecord(state))
    throw new FormatError(
      `Router "${file.kind}": state.headKind: got ${describeValue(name)}, expected one of ${[...headKinds.keys()].join(', ')}, and its numbers in state.head.`,
    )
  const head = headKind.read(
    state,
    file.experts.length + (none === undefined ? 0 : 1),
    embedder.width,
  )
  const { experts, calibration = {}, options = {}, trained = {} } = file
  const kept = readExamples(examples, experts.length)
  return new VectorRouter(
    {
      kind: file.kind,
      head,
      headKind: headKind.kind,
      none,
      experts,
      calibration,
      options,
      trained,
      examples: kept,
    },
    embedder,
  )
}

export const embedding: RouterKind = {
  kind: 'embedding',
  about: 'the expert whose examples the prompt is like, by vectors of the base’s own layers',
  needs: ['embedder'],
  fields,
  train: (training, options, parts) => trainEmbedding('embedding', training, options, parts),
  load: loadEmbedding,
}
