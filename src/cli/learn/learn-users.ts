// Users' states for commands: opens the store at a path, reads how a user's tiers are set up, and
// describes a user. Independent of turns.

import { OptionError } from '../../base/errors.ts'
import {
  UserCheckpoints,
  type UserCheckpointInfo,
  createLearner,
  type Learner,
  type LearnerOptions,
  type LearnerWarning,
  type UserStatistics,
  type UserStore,
} from '../../learn/index.ts'
import type { Adapter, Expert } from '../../adapters/index.ts'
import type { LoadedModel } from '../../node/model.ts'
import { UsageError } from '../command.ts'
import { openExperts } from '../shared/open-experts.ts'
import type { ModelValues } from '../shared/open-model.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/** A folder, a file whose name ends in .db or .sqlite, postgres://… or s3://…. */
export const openStore = async (place: string): Promise<UserStore> =>
  (await import('../../node/stores/open-user-store.ts')).openUserStore(place)

interface StoredTiers {
  readonly fastRank: number | undefined
  /** Of a tier on layers: how many of the last ones. */
  readonly fastLayers: number | undefined
  /** Rank on layers, where there is also a fast tier at the head. */
  readonly layerRank?: number | undefined
  readonly hasMemory: boolean
}

interface LayerTierHeader {
  readonly rank?: number
  readonly modules: readonly string[]
}

/**
 * How a stored user's tiers are set up; undefined for a user who is not there. Throws FormatError
 * if nothing of the user can be read.
 */
async function readStoredTiers(store: UserStore, user: string): Promise<StoredTiers | undefined> {
  const opened = await new UserCheckpoints(store).open(user)
  if (!opened) return undefined
  const { fast, deep, memory } = opened.state.header as {
    fast?: { rank?: number } | null
    deep?: LayerTierHeader | null
    memory?: object | null
  }
  if (fast === undefined)
    throw new OptionError(
      `${store.name}: user ${JSON.stringify(user)} does not belong to a learner; other programs store other kinds of states.`,
    )
  const layers = new Set(deep?.modules.map((path) => /\.(\d+)\./.exec(path)?.[1]))
  return {
    fastRank: (fast ?? deep)?.rank,
    ...(fast && deep && { layerRank: deep.rank }),
    fastLayers: deep ? layers.size : undefined,
    hasMemory: memory !== null,
  }
}

/** How a user's tiers are named and set up on a command line. */
export interface UserValues {
  readonly user: string
  readonly store: string | undefined
  readonly 'fast-rank'?: number | undefined
  readonly 'fast-layers'?: number | undefined
  readonly 'head-rank'?: number | undefined
  readonly 'learning-rate'?: number | undefined
  readonly 'no-memory'?: boolean
  readonly epochs?: number | undefined
}

/**
 * The fast tier of the options, else of the stored user: at the head, on layers, or both. Throws
 * UsageError for a rank at the head without a tier on layers.
 */
function toFastOptions(
  values: UserValues,
  stored: StoredTiers | undefined,
): NonNullable<LearnerOptions['fast']> {
  const { 'fast-rank': fastRank, 'learning-rate': learningRate } = values
  const last = values['fast-layers'] ?? stored?.fastLayers
  const where = last !== undefined && { where: { modules: 'all-linear', layers: { last } } }
  const rates = learningRate !== undefined && { learningRate }
  const hasBoth = stored?.layerRank !== undefined
  const headRank = values['head-rank'] ?? (hasBoth ? stored.fastRank : undefined)
  if (headRank === undefined) {
    const rank = fastRank ?? stored?.fastRank
    return { ...where, ...(rank !== undefined && { rank }), ...rates }
  }
  if (!where)
    throw new UsageError(
      '--head-rank is for a tier at the head in addition to one on layers: add --fast-layers, or use --fast-rank for the head alone.',
    )
  const layerRank = fastRank ?? (hasBoth ? stored.layerRank : stored?.fastRank)
  return {
    head: { rank: headRank, ...rates },
    layers: { ...where, ...(layerRank !== undefined && { rank: layerRank }), ...rates },
  }
}

export interface StartValues extends ModelValues, UserValues {
  /** The expert that users start from. */
  readonly adapter?: string | undefined
}

/** What a user's learning starts from. */
export interface OpenedStart {
  readonly model: LoadedModel
  /** undefined: the base. */
  readonly expert: Adapter | undefined
  /** The system message that the expert was taught with. */
  readonly system: string | undefined
}

/** Opens the model, and the expert that --adapter names. Throws UsageError for a weight. */
export async function openStart(values: StartValues, terminal: Terminal): Promise<OpenedStart> {
  const { adapter: named } = values
  const given = Object.assign({}, values, { adapter: named === undefined ? undefined : [named] })
  const { model, adapter, system } = await openExperts(given, terminal)
  try {
    return { model, expert: checkOneExpert(adapter), system }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** Throws UsageError for a mixture. */
export function checkOneExpert(expert: Expert | undefined): Adapter | undefined {
  if (expert === undefined || !('mixture' in expert)) return expert
  throw new UsageError(
    '--adapter: users start from one expert without a weight; merge a mixture first (graft merge).',
  )
}

/** A learner with the tiers of the options, or of the stored user. */
export async function openLearner(
  values: UserValues,
  store: UserStore | undefined,
  model: LoadedModel,
  more: Partial<LearnerOptions>,
): Promise<Learner> {
  const { user, 'no-memory': noMemory } = values
  const stored = store && (await readStoredTiers(store, user))
  return createLearner({
    model,
    now: Date.now,
    slow: { schedule: 'by-hand', ...(values.epochs !== undefined && { epochs: values.epochs }) },
    fast: toFastOptions(values, stored),
    ...((noMemory || stored?.hasMemory === false) && { memory: false }),
    ...(store && { store }),
    ...more,
  })
}

export interface UserReport {
  readonly user: string
  readonly store: string
  readonly statistics: UserStatistics
  readonly warnings: readonly LearnerWarning[]
  readonly versions: readonly {
    readonly number: number
    readonly by: string
    readonly time: number
    readonly answers: boolean
  }[]
  readonly checkpoints: Awaited<ReturnType<UserCheckpoints['list']>>
}

/** All that is known about a stored user. */
export async function collectUserReport(
  learner: Learner,
  store: UserStore,
  user: string,
): Promise<UserReport> {
  const statistics = await learner.statistics(user)
  const versions = (await learner.versions(user)).map(({ number, by, time }) => ({
    number,
    by,
    time,
    answers: number === statistics.version,
  }))
  const checkpoints = await new UserCheckpoints(store).list(user)
  return {
    user,
    store: store.name,
    statistics,
    warnings: await learner.warnings(user),
    versions,
    checkpoints,
  }
}

const shownCheckpoints = 5

const formatDate = (time: number): string =>
  time > 0 ? new Date(time).toISOString().slice(0, 19).replace('T', ' ') : ''

function describeCheckpoint(
  info: UserCheckpointInfo | { sequence: number; sizeBytes: number; reason: string },
): string[] {
  if ('reason' in info)
    return [String(info.sequence), '', 'refused', formatBytes(info.sizeBytes), info.reason]
  return [
    String(info.sequence),
    formatDate(info.time),
    info.form,
    formatBytes(info.sizeBytes),
    info.whole ? 'whole' : 'what changed',
  ]
}

export function showUser(
  { user, store, statistics: of, warnings, versions, checkpoints }: UserReport,
  { print, note, style }: Terminal,
): void {
  print(style.strong(`${user} in ${store}`))
  const facts: readonly (readonly [string, string])[] = [
    [
      'turns learned',
      `${formatCount(of.learned)}, loss ${of.firstLoss.toFixed(3)} at first, ${of.recentLoss.toFixed(3)} lately (nats per token)`,
    ],
    [
      'signals',
      of.signals === 0
        ? 'none'
        : `${formatCount(of.signals)}, mean quality ${of.meanQuality.toFixed(2)}, variance ${of.qualityVariance.toFixed(3)}`,
    ],
    [
      'kept',
      `${formatCount(of.pairs)} pairs, ${formatCount(of.keptRows)} turns for the next consolidation; ${formatBytes(of.sizeBytes)} in memory`,
    ],
    [
      'trust',
      `${of.trust}${of.rollbacks > 0 ? `; canaries rolled the tiers back ${of.rollbacks} times` : ''}`,
    ],
  ]
  for (const line of formatTable(facts.map(([name, value]) => [`  ${name}`, value]))) print(line)
  print()
  const slow = versions.map(({ number, by, time, answers }) => [
    `  version ${number}`,
    by,
    formatDate(time),
    answers ? 'answers' : '',
  ])
  for (const line of formatTable(slow)) print(line)
  print()
  const older = checkpoints.slice(0, -shownCheckpoints)
  const newest = checkpoints.slice(-shownCheckpoints)
  if (older.length > 0) print(`  ${formatCount(older.length)} older checkpoints`)
  for (const line of formatTable(
    newest.map((info) => ['  checkpoint', ...describeCheckpoint(info)]),
    ['left', 'right', 'left', 'left', 'right'],
  ))
    print(line)
  for (const { message } of warnings) note(message)
}
