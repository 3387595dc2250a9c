// What registries of every platform share: which version is the newest, normalised tags, errors for
// missing experts. Independent of where they store their experts.

import semver from 'semver'
import { NotFoundError, OptionError } from '../base/errors.ts'
import { findNearestName } from '../base/suggest.ts'
import { quoteName } from '../formats/quote.ts'
import { isExpertName } from './manifest/manifest-fields.ts'
import { type KnownVersion, selectVersion } from './reference.ts'

interface NamedVersion extends KnownVersion {
  readonly id: string
}

/** The newest version of each expert, in the order of their names. */
export function selectNewestVersions<Version extends NamedVersion>(
  experts: readonly Version[],
): Version[] {
  const groups = Map.groupBy(experts, ({ id }) => id)
  return [...groups.values()].map(selectNewest).sort((a, b) => (a.id < b.id ? -1 : 1))
}

const selectNewest = <Version extends NamedVersion>(versions: readonly Version[]): Version =>
  versions.length === 1
    ? versions[0]!
    : selectVersion({ id: versions[0]!.id, choice: { type: 'latest' } }, versions, {})

/** The highest version first. */
export const sortVersions = <Version extends KnownVersion>(
  versions: readonly Version[],
): Version[] => versions.toSorted((a, b) => semver.rcompare(a.version, b.version))

/** The error for a name that a registry does not have, with the nearest of those that it has. */
export function createUnknownExpert(
  location: string,
  id: string,
  ids: readonly string[],
): NotFoundError {
  const meant = findNearestName(id, ids)
  const hint =
    ids.length === 0
      ? ' It is empty; graft experts add <folder> adds one.'
      : meant === undefined
        ? ` It has ${ids.length} experts.`
        : ` Did you mean "${meant}"?`
  return new NotFoundError(
    `${location}: there is no expert ${quoteName(id)} in this registry.${hint}`,
  )
}

export interface TagChange {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
}

/** Tags after a change. Throws OptionError for an invalid tag. */
export function applyTagChange(
  tags: readonly string[],
  { add = [], remove = [] }: TagChange,
): readonly string[] {
  const wrong = add.filter((tag) => !isExpertName(tag))
  if (wrong.length > 0)
    throw new OptionError(
      `Tags have letters, digits, ".", "_" and "-"; got ${wrong.map(quoteName).join(', ')}.`,
    )
  return [...new Set([...tags, ...add])].filter((tag) => !remove.includes(tag))
}
