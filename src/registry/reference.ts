// References to an expert of a registry: `coder`, `coder@1.2.0`, `coder@^1.2`, `coder@stable`,
// `coder@sha256:4f…`. Independent of where a registry keeps its experts.

import semver from 'semver'
import { NotFoundError, OptionError } from '../base/errors.ts'
import { findNearestName } from '../base/suggest.ts'
import { quoteName } from '../formats/quote.ts'
import { isExpertName } from './manifest/manifest-fields.ts'

/** The version that a reference asks for. */
export type VersionChoice =
  | { readonly type: 'latest' }
  | { readonly type: 'range'; readonly range: string }
  | { readonly type: 'channel'; readonly channel: string }
  /** The beginning of a content hash. */
  | { readonly type: 'hash'; readonly hash: string }

export interface ExpertReference {
  readonly id: string
  readonly choice: VersionChoice
}

const shortestHash = 8

/** Throws OptionError for a string that is no reference. */
export function parseReference(text: string): ExpertReference {
  const at = text.indexOf('@')
  const id = at < 0 ? text : text.slice(0, at)
  if (!isExpertName(id))
    throw new OptionError(
      `${quoteName(text)}: the name of an expert has letters, digits, ".", "_" and "-", at most 128.`,
    )
  if (at < 0) return { id, choice: { type: 'latest' } }
  const wanted = text.slice(at + 1)
  if (wanted === '' || wanted === 'latest') return { id, choice: { type: 'latest' } }
  if (wanted.startsWith('sha256:')) {
    const hash = wanted.slice('sha256:'.length)
    if (!new RegExp(`^[0-9a-f]{${shortestHash},64}$`).test(hash))
      throw new OptionError(
        `${quoteName(text)}: expected ${shortestHash} to 64 hexadecimal digits after "sha256:".`,
      )
    return { id, choice: { type: 'hash', hash } }
  }
  if (semver.validRange(wanted) !== null) return { id, choice: { type: 'range', range: wanted } }
  if (isChannelName(wanted)) return { id, choice: { type: 'channel', channel: wanted } }
  throw new OptionError(
    `${quoteName(text)}: ${quoteName(wanted)} is not a version (1.2.0), a range (^1.2), a channel (stable) or a hash (sha256:…).`,
  )
}

/** Whether a word can name a channel: it must not have the form of a version range. */
export const isChannelName = (name: string): boolean =>
  /^[a-z][a-z0-9-]{0,63}$/.test(name) && name !== 'latest' && semver.validRange(name) === null

/** Throws OptionError for names that are no channels. */
export function checkChannels(channels: readonly string[]): void {
  const wrong = channels.filter((name) => !isChannelName(name))
  if (wrong.length > 0)
    throw new OptionError(
      `A channel is a word such as "stable", and no version; got ${wrong.map(quoteName).join(', ')}.`,
    )
}

/** A version that may be chosen. */
export interface KnownVersion {
  readonly version: string
  readonly hash: string
}

/**
 * The version that a reference means; of a range, the highest. A pre-release counts only if the
 * range names one or there is no release. Throws NotFoundError that lists the versions.
 */
export function selectVersion<Version extends KnownVersion>(
  { id, choice }: ExpertReference,
  versions: readonly Version[],
  channels: Readonly<Record<string, string>>,
): Version {
  const sorted = versions.toSorted((a, b) => semver.rcompare(a.version, b.version))
  const refuse = (wanted: string): never => {
    const known = sorted.map(({ version }) => version)
    const shown = known.slice(0, 8).join(', ') + (known.length > 8 ? ', …' : '')
    throw new NotFoundError(`Expert ${quoteName(id)} has no ${wanted}; its versions are ${shown}.`)
  }
  switch (choice.type) {
    case 'latest':
      return sorted.find(({ version }) => semver.prerelease(version) === null) ?? sorted[0]!
    case 'range':
      return (
        sorted.find(({ version }) => semver.satisfies(version, choice.range)) ??
        refuse(`version that satisfies ${choice.range}`)
      )
    case 'channel': {
      const version = channels[choice.channel]
      const found = sorted.find((known) => known.version === version)
      if (found) return found
      const names = Object.keys(channels)
      const meant = findNearestName(choice.channel, names)
      const hint =
        meant === undefined
          ? ` (there are ${names.join(', ') || 'none'})`
          : `. Did you mean "${meant}"?`
      throw new NotFoundError(
        `Expert ${quoteName(id)} has no channel ${quoteName(choice.channel)}${hint}`,
      )
    }
    case 'hash': {
      const [found, second] = sorted.filter(({ hash }) => hash.startsWith(choice.hash))
      if (second && second.hash !== found!.hash)
        throw new OptionError(
          `${quoteName(id)}: several contents begin with sha256:${choice.hash}; write more digits.`,
        )
      return found ?? refuse(`content sha256:${choice.hash}`)
    }
  }
}

/** Whether a string has the form of a reference; the expert need not be registered. */
export function isReference(text: string): boolean {
  try {
    parseReference(text)
    return true
  } catch (error) {
    if (error instanceof OptionError) return false
    throw error
  }
}
