// The embedding router: a vector of the prompt, from the base's own layers by default, and a head
// over it. The prompt goes to the expert whose examples it is like.

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
import { VectorRouter, type VectorRouterState } from '../training/vector-router.ts'

const fields = {
  head: oneOf([...headKinds.keys()], {
    default: 'linear',
    about: 'How vectors become scores.',
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

/** Throws OptionError where there is no embedder. */
export function getEmbedder({ embedder }: RouterParts, kind: string): TextEmbedder {
  if (embedder) return embedder
  throw new OptionError(
    `Router "${kind}" needs an embedder: give createRouter a model, or an embedder of your own.`,
  )
}

/** Throws FormatError where the file was made with another model or other layers. */
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

/**
 * What training any kind over vectors shares: fit, calibrate, fit again with what was held out. A
 * kind may bring a head of its own.
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
  const inScope = fitted.filter(({ expert }) => expert >= 0)
  const strange = fitted.filter(({ expert }) => expert < 0)
  const toVectors = (rows: readonly NumberedPrompt[]) =>
    embedder.embed(rows.map(({ text }) => text))
  const vectors = await toVectors(inScope)
  const judged = [...held, ...strange]
  const heldVectors = await toVectors(judged)
  const headKind = ownHead ?? headKinds.get(options.head)!
  const fit = (rows: readonly NumberedPrompt[], own: readonly Float32Array[]): VectorHead =>
    headKind.fit({
      vectors: own,
      classes: rows.map(({ expert }) => expert),
      count: names.length,
      shrinkage: options.shrinkage,
      parts: embedder.parts,
    })
  const first = fit(inScope, vectors)
  const scores = judged.map(({ expert }, i): JudgedScores => ({
    logits: first.logits(heldVectors[i]!),
    right: expert < 0 ? undefined : expert,
  }))
  const calibration = fitCalibration(scores, options)
  const known = held.map((_, i) => i).filter((i) => held[i]!.expert >= 0)
  const rows = isSplit ? [...inScope, ...known.map((i) => held[i]!)] : inScope
  const all = isSplit ? [...vectors, ...known.map((i) => heldVectors[i]!)] : vectors
  const head = isSplit && known.length > 0 ? fit(rows, all) : first
  const each = limitExamples(options.keepExamples, names.length)
  const examples = keepExamples(rows, (i) => head.place(all[i]!), each)
  const state: VectorRouterState = {
    kind,
    head,
    headKind: headKind.kind,
    experts: describeExperts(experts),
    calibration,
    examples,
    options: given,
    trained: { rows: rows.length, held: judged.length, seed: training.seed },
  }
  return new VectorRouter(state, embedder)
}

export function loadEmbedding(file: RouterFile, parts: RouterParts): Router {
  const embedder = getEmbedder(parts, file.kind)
  checkEmbedder(file, embedder)
  const { headKind: name, head: state, examples } = file.state
  const headKind = typeof name === 'string' ? headKinds.get(name) : undefined
  if (!headKind || !isRecord(state))
    throw new FormatError(
      `Router "${file.kind}": state.headKind: got ${describeValue(name)}, expected one of ${[...headKinds.keys()].join(', ')}, and its numbers in state.head.`,
    )
  const head = headKind.read(state, file.experts.length, embedder.width)
  const { experts, calibration = {}, options = {}, trained = {} } = file
  const kept = readExamples(examples, experts.length)
  return new VectorRouter(
    {
      kind: file.kind,
      head,
      headKind: headKind.kind,
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
