// The hierarchical router: first a cluster of experts, then an expert of that cluster. For many
// experts in groups; each step chooses among a few.

import { FormatError, OptionError } from '../../base/errors.ts'
import {
  createField,
  describeValue,
  isRecord,
  joinProblems,
  type OptionValues,
  record,
  string,
} from '../../base/schema.ts'
import { chooseThreshold } from '../calibration/fit-calibration.ts'
import { decideForBase } from '../calibration/make-decision.ts'
import { groupVectors } from '../heads/prototypes.ts'
import { computeDot, toUnitVector } from '../heads/vector-head.ts'
import { checkRouterFile, type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  Router,
  RouterKind,
  RouterParts,
  RouterTraining,
  RouteRequest,
} from '../router.ts'
import { decideAll, getTrainer, splitTraining } from '../training/train-twice.ts'
import { calibrationOptionFields, describeExperts } from '../training/training-set.ts'
import { getEmbedder } from './embedding.ts'

type Clusters = Readonly<Record<string, readonly string[]>>

const isClusters = (value: unknown): value is Clusters =>
  isRecord(value) &&
  Object.values(value).every(
    (names) => Array.isArray(names) && names.every((name) => typeof name === 'string'),
  )

const fields = {
  clusters: createField<Clusters>(
    'an object of lists of experts',
    { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } },
    isClusters,
    { about: 'Which experts belong together. Default: √n groups of experts with like examples.' },
  ),
  kind: string({ filled: true, default: 'embedding', about: 'The kind of every step.' }),
  options: { ...record, about: 'Options of every step.' },
  ...calibrationOptionFields,
}

/** Throws OptionError if an expert is in no cluster or in two, or is not there. */
function checkClusters(clusters: Clusters, names: readonly string[]): void {
  const listed = Object.values(clusters).flat()
  const problems = [
    ...names.filter((name) => !listed.includes(name)).map((name) => `"${name}" is in no cluster`),
    ...listed.filter((name) => !names.includes(name)).map((name) => `there is no expert "${name}"`),
    ...listed
      .filter((name, i) => listed.indexOf(name) !== i)
      .map((name) => `"${name}" is in two clusters`),
    ...Object.entries(clusters)
      .filter(([, own]) => own.length === 0)
      .map(([name]) => `the cluster "${name}" is empty`),
  ]
  if (problems.length > 0)
    throw new OptionError(`Router "hierarchical": clusters: ${joinProblems(problems)}`)
}

/** √n groups of experts by the means of their examples' vectors. */
async function groupExperts(
  { experts, examples }: RouterTraining,
  parts: RouterParts,
): Promise<Clusters> {
  const embedder = getEmbedder(parts, 'hierarchical')
  const names = experts.map(({ name }) => name)
  const means: Float32Array[] = []
  for (const name of names) {
    const texts = examples.filter(({ expert }) => expert === name).map(({ text }) => text)
    means.push(groupVectors(await embedder.embed(texts), 1)[0]!)
  }
  const middle = groupVectors(means, 1)[0]!
  const own = means.map((mean) => toUnitVector(mean.map((value, i) => value - middle[i]!)))
  const centres = groupVectors(own, Math.round(Math.sqrt(names.length)))
  const groups = centres.map((): string[] => [])
  own.forEach((vector, n) => {
    const scores = centres.map((centre) => computeDot(vector, centre))
    groups[scores.indexOf(Math.max(...scores))]!.push(names[n]!)
  })
  const filled = groups.filter((group) => group.length > 0)
  return Object.fromEntries(filled.map((group, i) => [`group ${i + 1}`, group]))
}

interface HierarchyState {
  readonly experts: RouterFile['experts']
  readonly clusters: Clusters
  readonly threshold: number
  readonly top: Router
  /** By cluster; a cluster of one expert has none. */
  readonly leaves: ReadonlyMap<string, Router>
  readonly trained: RouterFile['trained']
}

class HierarchicalRouter implements Router {
  readonly kind = 'hierarchical'
  readonly experts: readonly string[]
  readonly #state: HierarchyState

  constructor(state: HierarchyState) {
    this.experts = state.experts.map(({ name }) => name)
    this.#state = state
  }

  async decide(request: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    const { top, leaves, clusters, threshold } = this.#state
    const above = await top.decide(request, signal)
    const [first] = above.scores
    if (!first) return above
    const leaf = leaves.get(first.expert)
    const below = await leaf?.decide(request, signal)
    const own = below?.scores ?? [{ expert: clusters[first.expert]![0]!, score: 1 }]
    const [best] = own
    if (!best) return decideForBase(`nothing speaks for an expert of ${first.expert}`)
    const confidence = above.confidence * (below?.confidence ?? 1)
    const isSure = confidence >= threshold
    const percent = `${(confidence * 100).toFixed(1)} %`
    return {
      expert: isSure ? best.expert : undefined,
      confidence,
      scores: own.map(({ expert, score }) => ({ expert, score: score * first.score })),
      reason: isSure
        ? `${best.expert} at ${percent}, because the prompt belongs to ${first.expert}, and there to this expert.`
        : `The base answers, because the best expert, ${best.expert}, has only ${percent} and ${(threshold * 100).toFixed(1)} % are needed.`,
      ...(above.features && { features: above.features }),
    }
  }

  async explain(request: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    const { top, leaves, clusters } = this.#state
    const { scores } = await top.decide(request, signal)
    const [first] = scores
    if (!first) return []
    const only = clusters[first.expert]!.length === 1 ? clusters[first.expert]![0] : undefined
    const cluster: RouteClue = {
      kind: 'cluster',
      text: first.expert,
      expert: only,
      weight: first.score,
    }
    const clues = (await leaves.get(first.expert)?.explain?.(request, signal)) ?? []
    return [cluster, ...clues].toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  }

  save(): RouterFile {
    const { experts, clusters, threshold, top, leaves, trained } = this.#state
    return {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'hierarchical',
      experts,
      calibration: { threshold },
      ...(trained && { trained }),
      state: {
        clusters,
        top: top.save(),
        leaves: Object.fromEntries([...leaves].map(([name, leaf]) => [name, leaf.save()])),
      },
    }
  }
}

interface Steps {
  readonly top: Router
  readonly leaves: ReadonlyMap<string, Router>
}

/** Single steps never refuse: the product of their confidences is judged once. */
async function trainSteps(
  training: RouterTraining,
  clusters: Clusters,
  train: NonNullable<RouterParts['train']>,
  { kind, options }: { kind: string; options: Readonly<Record<string, unknown>> },
): Promise<Steps> {
  const open = { ...options, threshold: 0 }
  const clusterOf = new Map(
    Object.entries(clusters).flatMap(([cluster, names]) => names.map((name) => [name, cluster])),
  )
  const above = (rows: RouterTraining['examples']) =>
    rows.map(({ text, expert }) => ({
      text,
      expert: expert === undefined ? undefined : clusterOf.get(expert),
    }))
  const { seed } = training
  const top = await train(
    kind,
    {
      experts: Object.keys(clusters).map((name) => ({ name })),
      examples: above(training.examples),
      held: above(training.held),
      seed,
    },
    open,
  )
  const leaves = new Map<string, Router>()
  for (const [cluster, names] of Object.entries(clusters)) {
    if (names.length < 2) continue
    const own = (rows: RouterTraining['examples']) =>
      rows.filter(({ expert }) => expert !== undefined && names.includes(expert))
    const experts = training.experts.filter(({ name }) => names.includes(name))
    const part = { experts, examples: own(training.examples), held: own(training.held), seed }
    leaves.set(cluster, await train(kind, part, open))
  }
  return { top, leaves }
}

export const hierarchical: RouterKind = {
  kind: 'hierarchical',
  about: 'first a cluster of experts, then an expert of it; for many experts in groups',
  needs: [],
  fields,
  async train(training, given, parts) {
    const {
      kind,
      options = {},
      refusals,
      threshold,
      holdOut,
      ...rest
    } = given as OptionValues<typeof fields>
    const train = getTrainer(parts, 'hierarchical')
    const { first, whole, held } = splitTraining(training, 'hierarchical', holdOut)
    const clusters = rest.clusters ?? (await groupExperts(whole, parts))
    checkClusters(
      clusters,
      training.experts.map(({ name }) => name),
    )
    const experts = describeExperts(training.experts)
    const trained = { rows: whole.examples.length, held: held.length, seed: training.seed }
    const shared = { experts, clusters, trained }
    const trial = new HierarchicalRouter({
      ...shared,
      threshold: 0,
      ...(await trainSteps(first, clusters, train, { kind, options })),
    })
    const decisions = await decideAll(
      trial,
      held.filter(({ expert }) => expert !== undefined),
    )
    const confidences = decisions.map(({ decision }) => decision.confidence)
    return new HierarchicalRouter({
      ...shared,
      threshold: threshold ?? chooseThreshold(confidences, refusals),
      ...(await trainSteps(whole, clusters, train, { kind, options })),
    })
  },
  async load({ experts, calibration, state, trained }, { load }) {
    if (!load)
      throw new OptionError('Router "hierarchical" contains others: read it with createRouter.')
    const { clusters, top, leaves } = state
    if (!isClusters(clusters) || !isRecord(leaves))
      throw new FormatError(
        `Router "hierarchical": state.clusters: got ${describeValue(clusters)}, expected lists of experts.`,
      )
    checkClusters(
      clusters,
      experts.map(({ name }) => name),
    )
    checkRouterFile(top, 'state.top')
    const read = new Map<string, Router>()
    for (const [name, leaf] of Object.entries(leaves)) {
      checkRouterFile(leaf, `state.leaves.${name}`)
      read.set(name, await load(leaf))
    }
    const { threshold = 0 } = calibration ?? {}
    return new HierarchicalRouter({
      experts,
      clusters,
      threshold,
      top: await load(top),
      leaves: read,
      trained,
    })
  },
}
