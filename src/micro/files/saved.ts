// A MicroLoRA at rest: what is saved as a plain value, its checksum, and the checks of what comes
// back. Files and texts are json.ts's and safetensors.ts's; nothing here touches a living adapter.

import {
  FormatError,
  GraftError,
  MismatchError,
  type Mismatch,
  NumericError,
  UnsupportedError,
} from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { joinBytes } from '../../base/concat.ts'
import type { RandomState } from '../../base/random.ts'
import { computeLayout, listSlots, type SlotName } from '../module/layout.ts'
import { completeOptions, type MicroLoraConfig, type MicroLoraOptions } from '../options.ts'
import { createRewardState, type RewardState } from '../reward.ts'
import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { listEmissionSizes, readEmissions, type SavedEmission } from './saved-emissions.ts'

export const formatName = 'graft-micro-lora'
export const formatVersion = 1

/** What a module counts and draws. */
export interface SavedModule {
  readonly pendingUpdates: number
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
  /** Outputs that wait for their reward; left out where there are none. */
  readonly emissions?: readonly SavedEmission[]
}

/** Numbers by `<module>.<slot>`: A's rows, B's rows as the heap has them, bias, without padding. */
export interface SavedMicroLora {
  readonly meta: SavedMeta
  readonly tensors: ReadonlyMap<string, Float32Array>
}

/** Slots that are saved: accumulated gradients only where there are some. */
export const listSavedSlots = (config: MicroLoraConfig, pendingUpdates: number): SlotName[] =>
  listSlots(config).filter((slot) => slot !== 'gradient' || pendingUpdates > 0)

const encoder = new TextEncoder()

/**
 * The hash over everything that counts: the state as it is written, then each tensor's name, length
 * and numbers.
 */
export function computeStateChecksum(
  packedMeta: unknown,
  tensors: SavedMicroLora['tensors'],
): string {
  // files keep orders of their own
  const inOrder = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))
  const texts = [
    JSON.stringify(packedMeta),
    ...inOrder.map(([name, values]) => `${name} ${values.length}`),
  ]
  const parts = [
    ...texts.map((text) => encoder.encode(`${text}\n`)),
    ...inOrder.map(
      ([, { buffer, byteOffset, byteLength }]) => new Uint8Array(buffer, byteOffset, byteLength),
    ),
  ]
  return computeSha256Sync(joinBytes(parts))
}

/**
 * What was read, checked whole: checksum first, then the state, then its tensors. Throws
 * FormatError, MismatchError, NumericError.
 */
export function unpack(
  packedMeta: unknown,
  tensors: SavedMicroLora['tensors'],
  checksum: unknown,
  where: string,
): SavedMicroLora {
  if (checksum !== computeStateChecksum(packedMeta, tensors))
    throw new FormatError(
      `${where}: the checksum is wrong: it was changed or damaged since it was saved. Take an older copy.`,
    )
  const saved = { meta: readMeta(packedMeta, where), tensors }
  checkTensors(saved, where)
  return saved
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON has no Infinity and no undefined; bounds that are missing there mean none. */
export const packMeta = (meta: SavedMeta): unknown => ({
  ...meta,
  config: {
    ...meta.config,
    clip: toFiniteOrNull(meta.config.clip),
    trustRadius: toFiniteOrNull(meta.config.trustRadius),
  },
})
const toFiniteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null)

/** Refuses what is no saved MicroLoRA, or one of a later version. */
export function checkSavedVersion(where: string, format: unknown, version: unknown): void {
  if (format !== formatName)
    throw new FormatError(
      `${where}: is no saved MicroLoRA (format: got ${JSON.stringify(format)?.slice(0, 60)}, expected "${formatName}").`,
    )
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1)
    throw new FormatError(`${where}: version: got ${String(version)}.`)
  if (version > formatVersion)
    throw new UnsupportedError(
      `${where}: was written by a newer version (format ${version}; this one reads up to ${formatVersion}). Update graftlm.`,
    )
}

function readCount(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new FormatError(
      `${what}: got ${JSON.stringify(value)?.slice(0, 60)}, expected a number from 0.`,
    )
  return value
}

function readConfig(value: unknown, where: string): MicroLoraConfig {
  if (!isRecord(value)) throw new FormatError(`${where}: config: is missing.`)
  const options = {
    ...value,
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
  if (!isState) throw new FormatError(`${where}.noise: expected four whole numbers.`)
  return {
    pendingUpdates: count('pendingUpdates'),
    steps: count('steps'),
    lastMove: count('lastMove'),
    consolidations: count('consolidations'),
    watched: count('watched'),
    noise: noise as unknown as RandomState,
  }
}

/** What `packMeta` gave, checked. Throws FormatError. */
function readMeta(value: unknown, where: string): SavedMeta {
  if (!isRecord(value)) throw new FormatError(`${where}: holds no state.`)
  const config = readConfig(value['config'], where)
  const given = value['modules']
  const modules: Record<string, SavedModule> = Object.create(null)
  for (const name of Object.keys(config.modules))
    modules[name] = readModule(
      isRecord(given) ? given[name] : undefined,
      `${where}: modules.${name}`,
    )
  const emissions = readEmissions(value['emissions'], config, where)
  return {
    config,
    enabled: value['enabled'] !== false,
    adaptations: readCount(value['adaptations'], `${where}: adaptations`),
    forwards: readCount(value['forwards'], `${where}: forwards`),
    quality: readQuality(value['quality'], where),
    modules,
    ...(emissions.length > 0 && { emissions }),
  }
}

/** Settings and dimensions as texts by name. */
function flattenConfig({ modules, ...settings }: MicroLoraConfig): Record<string, string> {
  const dimensions = Object.entries(modules).map(([name, { inFeatures, outFeatures }]) => [
    `modules.${name}`,
    `${inFeatures} → ${outFeatures}`,
  ])
  return Object.fromEntries([
    ...Object.entries(settings).map(([name, value]) => [name, String(value)]),
    ...dimensions,
  ]) as Record<string, string>
}

/** Throws MismatchError that names every setting in which a saved configuration differs. */
export function checkSameSettings(config: MicroLoraConfig, saved: MicroLoraConfig): void {
  const own = flattenConfig(config)
  const other = flattenConfig(saved)
  const names = [...new Set([...Object.keys(own), ...Object.keys(other)])].filter(
    (name) => own[name] !== other[name],
  )
  if (names.length === 0) return
  const mismatches = names.map((name) => ({
    name,
    got: other[name] ?? 'nothing',
    expected: own[name] ?? 'nothing',
  }))
  throw new MismatchError(
    'The saved MicroLoRA has other settings',
    mismatches,
    'MicroLora.fromJSON creates a separate one from it.',
  )
}

/**
 * Refuses tensors that are missing, too many, of another size, or not finite; nothing of the size
 * they claim is allocated before.
 */
function checkTensors({ meta, tensors }: SavedMicroLora, where: string): void {
  const mismatches: Mismatch[] = []
  const expected = new Set<string>()
  const expectSize = (key: string, size: number): void => {
    expected.add(key)
    const got = tensors.get(key)?.length
    if (got !== size)
      mismatches.push({
        name: key,
        got: got === undefined ? 'nothing' : `${got} values`,
        expected: `${size} values`,
      })
  }
  for (const [key, size] of listEmissionSizes(meta.emissions ?? [], meta.config))
    expectSize(key, size)
  for (const [name, dimensions] of Object.entries(meta.config.modules)) {
    const { parameterCount } = computeLayout(meta.config, dimensions)
    const sizes = listSavedSlots(meta.config, meta.modules[name]!.pendingUpdates).map(
      (slot) => [slot, parameterCount] as const,
    )
    for (const [slot, size] of meta.config.ewc
      ? [...sizes, ['watched', dimensions.inFeatures + meta.config.rank] as const]
      : sizes)
      expectSize(`${name}.${slot}`, size)
  }
  for (const key of tensors.keys())
    if (!expected.has(key))
      mismatches.push({ name: key, got: 'a tensor', expected: 'none of this name' })
  if (mismatches.length > 0)
    throw new MismatchError(`${where}: tensors do not fit the configuration`, mismatches)
  for (const [key, values] of tensors)
    if (!isAllFinite(values))
      throw new NumericError(`${where}: ${key} holds NaN or infinite values.`)
}
