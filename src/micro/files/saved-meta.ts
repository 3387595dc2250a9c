// The state of a MicroLoRA apart from its weights, in its saved form: settings, counts, figures.
// Writing and checked reading.

import { FormatError, GraftError } from '../../base/errors.ts'
import type { RandomState } from '../../base/random.ts'
import { completeOptions, type MicroLoraConfig, type MicroLoraOptions } from '../options.ts'
import { createRewardState, type RewardState } from '../reward.ts'
import { readEmissions, type SavedEmission } from './saved-emissions.ts'

/** What a module counts and draws. */
export interface SavedModule {
  readonly pendingUpdates: number
  readonly pendingWeight: number
  readonly steps: number
  readonly lastMove: number
  readonly consolidations: number
  readonly watched: number
  readonly noise: RandomState
}

export interface SavedMeta {
  readonly config: MicroLoraConfig
  readonly enabled: boolean
  readonly adaptations: number
  readonly forwards: number
  readonly quality: RewardState
  readonly modules: Readonly<Record<string, SavedModule>>
  /** Outputs that wait for their reward; left out if there are none. */
  readonly emissions?: readonly SavedEmission[]
  /** Figures by session, the one heard of last at the end. */
  readonly sessions?: readonly SavedSession[]
}

/** Figures of one session's feedback. */
export interface SavedSession {
  readonly session: string
  adaptations: number
  readonly quality: RewardState
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * JSON has no Infinity and no undefined; bounds that are missing there mean none. Keys with default
 * values are left out, so that files without them do not change.
 */
export function packMeta({ config, modules, ...meta }: SavedMeta): unknown {
  const { init, weightDecay, ...settings } = config
  const packed = Object.assign(settings, {
    decay: weightDecay,
    clip: toFiniteOrNull(config.clip),
    trustRadius: toFiniteOrNull(config.trustRadius),
  })
  const counts = Object.entries(modules).map(([name, { pendingWeight, ...own }]) => {
    const isPlain = pendingWeight === own.pendingUpdates
    return [name, isPlain ? own : Object.assign(own, { pendingWeight })] as const
  })
  return Object.assign(meta, {
    config: init === 'kaiming' ? packed : Object.assign(packed, { init }),
    modules: Object.fromEntries(counts),
  })
}
const toFiniteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null)

function readCount(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new FormatError(
      `${what}: got ${JSON.stringify(value)?.slice(0, 60)}, expected a number from 0.`,
    )
  return value
}

function readConfig(value: unknown, where: string): MicroLoraConfig {
  if (!isRecord(value)) throw new FormatError(`${where}: config: is missing.`)
  const { decay, ...settings } = value
  const options = {
    weightDecay: decay,
    ...settings,
    clip: value['clip'] ?? Infinity,
    trustRadius: value['trustRadius'] ?? Infinity,
  }
  try {
    return completeOptions(options as MicroLoraOptions)
  } catch (cause) {
    if (!GraftError.isInstance(cause))
      throw new FormatError(`${where}: config: cannot be read.`, { cause })
    throw new FormatError(`${where}: config: ${cause.message}`, { cause })
  }
}

function readQuality(value: unknown, where: string): RewardState {
  if (!isRecord(value)) throw new FormatError(`${where}: quality: is missing.`)
  const state = createRewardState()
  for (const key of ['count', 'squares', 'losses'] as const)
    state[key] = readCount(value[key], `${where}: quality.${key}`)
  for (const key of ['mean', 'firstLoss', 'recentLoss', 'baseline'] as const) {
    const found = value[key]
    if (key === 'baseline' && found === undefined) continue
    if (typeof found !== 'number' || !Number.isFinite(found))
      throw new FormatError(`${where}: quality.${key}: expected a number.`)
    state[key] = found
  }
  return state
}

function readModule(value: unknown, where: string): SavedModule {
  if (!isRecord(value)) throw new FormatError(`${where}: is missing.`)
  const count = (key: string): number => readCount(value[key], `${where}.${key}`)
  const noise = value['noise']
  const isState =
    Array.isArray(noise) && noise.length === 4 && noise.every((word) => Number.isInteger(word))
  if (!isState) throw new FormatError(`${where}.noise: expected four integers.`)
  return {
    pendingUpdates: count('pendingUpdates'),
    pendingWeight: count(value['pendingWeight'] === undefined ? 'pendingUpdates' : 'pendingWeight'),
    steps: count('steps'),
    lastMove: count('lastMove'),
    consolidations: count('consolidations'),
    watched: count('watched'),
    noise: noise as unknown as RandomState,
  }
}

/** Throws FormatError. */
function readSessions(value: unknown, where: string): SavedSession[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new FormatError(`${where}: expected a list.`)
  return value.map((entry: unknown, i) => {
    const at = `${where}.${i}`
    if (!isRecord(entry) || typeof entry['session'] !== 'string')
      throw new FormatError(`${at}: expected a session and its figures.`)
    const adaptations = readCount(entry['adaptations'], `${at}.adaptations`)
    return { session: entry['session'], adaptations, quality: readQuality(entry['quality'], at) }
  })
}

/** What `packMeta` gave, checked. Throws FormatError. */
export function readMeta(value: unknown, where: string): SavedMeta {
  if (!isRecord(value)) throw new FormatError(`${where}: contains no state.`)
  const config = readConfig(value['config'], where)
  const given = value['modules']
  const modules: Record<string, SavedModule> = Object.create(null)
  for (const name of Object.keys(config.modules))
    modules[name] = readModule(
      isRecord(given) ? given[name] : undefined,
      `${where}: modules.${name}`,
    )
  const emissions = readEmissions(value['emissions'], config, where)
  const sessions = readSessions(value['sessions'], `${where}: sessions`)
  return {
    config,
    enabled: value['enabled'] !== false,
    adaptations: readCount(value['adaptations'], `${where}: adaptations`),
    forwards: readCount(value['forwards'], `${where}: forwards`),
    quality: readQuality(value['quality'], where),
    modules,
    ...(emissions.length > 0 && { emissions }),
    ...(sessions.length > 0 && { sessions }),
  }
}
