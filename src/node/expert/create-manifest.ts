// An expert's manifest, made from its adapter, notes, card and training record.

import { basename, resolve } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { baseHashKey } from '../../adapters/base-copy.ts'
import { jointMark } from '../../adapters/kinds/joint/joint-rules.ts'
import { OptionError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import type { CardNotes } from '../../registry/card/read-card.ts'
import {
  checkExpertManifest,
  type ExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { isExpertName, manifestLayout } from '../../registry/manifest/manifest-fields.ts'
import { computeTier } from '../../train/options/adapter-tiers.ts'
import { readDescription } from '../../train/options/description.ts'
import { readScores } from '../../train/run/scores.ts'
import type { ExpertMetadata } from './expert-notes.ts'

export interface ManifestNaming {
  readonly id?: string | undefined
  readonly version?: string | undefined
  /** The path of the folder: its last part is the name if there is no other. */
  readonly folder: string
  /** As ISO 8601. */
  readonly now: string
  /** The root digest of the base's files. */
  readonly baseDigest?: string | undefined
}

export type ManifestPart = {
  readonly [Key in Exclude<keyof ExpertManifest, 'layout' | 'id' | 'version'>]?:
    ExpertManifest[Key] | undefined
}

/**
 * A manifest from a PEFT folder, notes and a card; `more` takes precedence over all of them. Throws
 * OptionError for an invalid name, FormatError if the base is not known.
 */
export function createManifest(
  adapter: Pick<Adapter, 'kind'> & Partial<Adapter>,
  notes: ExpertMetadata | undefined,
  naming: ManifestNaming,
  { card = {}, more = {} }: { readonly card?: CardNotes; readonly more?: ManifestPart } = {},
): ExpertManifest {
  const { metadata = {}, kind, config, baseModel } = adapter
  const own = Object.assign(readDescription(metadata), notes?.expert)
  const { name, created, finished } = own
  const { id, version, folder, now, baseDigest } = naming
  const sha256 = findHash(metadata[baseHashKey])
  const named = id ?? name ?? basename(resolve(folder))
  if (!isExpertName(named))
    throw new OptionError(
      `${folder}: ${quoteName(named)} is not an expert's name: letters, digits, ".", "_" and "-", at most 128. Give one.`,
    )
  const { targets } = (config ?? {}) as { readonly targets?: unknown }
  const manifest = {
    layout: manifestLayout,
    id: named,
    version: version ?? completeVersion(own.version),
    name: toPlainText(name),
    description: toPlainText(own.description),
    kind: kind.includes(jointMark) ? kind.split(jointMark) : kind,
    tier: config && computeTier({ kind, config }),
    base: dropUndefined({
      id: toPlainText(notes?.base ?? baseModel ?? card.baseModel),
      sha256,
      digest: baseDigest ?? findDigest(notes, sha256),
    }),
    targets: isTargets(targets) ? targets : undefined,
    data: card.datasets?.map((dataset) => ({ name: dataset })),
    scores: collectScores(card.scores, readScores(metadata), notes?.expert?.scores),
    created,
    modified: finished ?? created ?? now,
    tags: (own.tags ?? card.tags)?.filter(isExpertName),
    system: notes?.system,
    date: notes?.date,
    author: toPlainText(own.author),
    license: toPlainText(own.license ?? card.license),
  }
  const whole = dropUndefined(Object.assign(manifest, more))
  checkExpertManifest(whole, `${folder}: the manifest made from its files`)
  return whole
}

/** Without the control codes that a header of another tool may hold. */
const toPlainText = (text: string | undefined): string | undefined =>
  text === '' ? undefined : text?.replace(/[^\P{Cc}\t\n]/gu, ' ')

/** What the expert's own manifest says of the same base. */
const findDigest = (
  notes: ExpertMetadata | undefined,
  sha256: string | undefined,
): string | undefined => {
  const known = notes?.manifest?.base
  return known && known.sha256 === sha256 ? known.digest : undefined
}

const findHash = (text = ''): string | undefined => (/^[0-9a-f]{64}$/.test(text) ? text : undefined)

type PlainScores = Readonly<Record<string, number>>

/** Later ones take precedence. */
function collectScores(...all: readonly (PlainScores | undefined)[]): ExpertManifest['scores'] {
  const scores = Object.assign({}, ...all) as PlainScores
  const entries = Object.entries(scores).map(([metric, value]) => [metric, { value }] as const)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** A path's last part as a name that an expert may have. */
export function toExpertName(path: string): string {
  const name = basename(resolve(path))
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 128)
  return isExpertName(name) ? name : 'expert'
}

const isTargets = (value: unknown): value is string | readonly string[] =>
  (typeof value === 'string' && value !== '') ||
  (Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== ''))

/** '1.2' → '1.2.0'; a string that is no version, or none, → '0.1.0'. */
function completeVersion(text: string | undefined): string {
  const [, major, minor = '0', patch = '0'] =
    /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(text ?? '') ?? []
  return major === undefined ? '0.1.0' : `${Number(major)}.${Number(minor)}.${Number(patch)}`
}

const dropUndefined = <Values extends object>(values: Values): Values =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Values
