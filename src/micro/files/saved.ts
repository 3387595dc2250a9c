// A saved MicroLoRA: its plain value, its checksum, and the checks when it is restored. Files and
// texts are in json.ts and safetensors.ts; nothing here changes an adapter in use.

import {
  FormatError,
  MismatchError,
  type Mismatch,
  NumericError,
  UnsupportedError,
} from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { joinBytes } from '../../base/concat.ts'
import { computeLayout, listSlots, type SlotName } from '../module/layout.ts'
import type { MicroLoraConfig } from '../options.ts'
import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { listEmissionSizes } from './saved-emissions.ts'
import { readMeta, type SavedMeta } from './saved-meta.ts'

export const formatName = 'graft-micro-lora'
export const formatVersion = 1

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
  // files have their own order
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
      `${where}: the checksum is wrong: it was changed or damaged since it was saved. Use an older copy.`,
    )
  const saved = { meta: readMeta(packedMeta, where), tensors }
  checkTensors(saved, where)
  return saved
}

/** Refuses what is not a saved MicroLoRA, or one of a later version. */
export function checkSavedVersion(where: string, format: unknown, version: unknown): void {
  if (format !== formatName)
    throw new FormatError(
      `${where}: is not a saved MicroLoRA (format: got ${JSON.stringify(format)?.slice(0, 60)}, expected "${formatName}").`,
    )
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1)
    throw new FormatError(`${where}: version: got ${String(version)}.`)
  if (version > formatVersion)
    throw new UnsupportedError(
      `${where}: was written by a newer version (format ${version}; this one reads up to ${formatVersion}). Update graftlm.`,
    )
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
      throw new NumericError(`${where}: ${key} contains NaN or infinite values.`)
}
