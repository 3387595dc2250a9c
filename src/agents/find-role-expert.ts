// Finds the expert for a role in a registry: the one of that name, else the best of those with the
// role among their domains or tags.

import { NotFoundError } from '../base/errors.ts'
import type { RegisteredExpert, Registry, ResolvedExpert } from '../registry/registry.ts'

export interface RoleQuery {
  /** The base's name or content hash: experts of others are passed over. */
  readonly base?: string | undefined
  /** A metric by which the best is chosen. Default: the newest. */
  readonly metric?: string | undefined
}

/**
 * The expert for a role. `coder@stable` means that version. Throws NotFoundError if no expert has
 * the role.
 */
export async function findRoleExpert(
  registry: Registry,
  role: string,
  { base, metric }: RoleQuery = {},
): Promise<ResolvedExpert> {
  const [id = role] = role.split('@')
  if ((await registry.list(id)).length > 0) return registry.resolve(role)
  const byDomain = await registry.search({ domain: role, base })
  const byTag = await registry.search({ tags: [role], base })
  const found = new Map([...byTag, ...byDomain].map((one) => [one.id, one]))
  const [best] = [...found.values()].toSorted((a, b) => compareExperts(a, b, metric))
  if (best) return registry.resolve(`${best.id}@${best.version}`)
  throw new NotFoundError(
    `${registry.location}: no expert is named ${JSON.stringify(role)}, and none has it among its domains or tags. Give a role its expert by name.`,
  )
}

/** The higher score first; without scores what was added last. */
function compareExperts(
  a: RegisteredExpert,
  b: RegisteredExpert,
  metric: string | undefined,
): number {
  const getScore = ({ manifest }: RegisteredExpert): number =>
    (metric === undefined ? undefined : manifest.scores?.[metric]?.value) ?? -Infinity
  const [first, second] = [a, b].map(getScore) as [number, number]
  if (first !== second) return first > second ? -1 : 1
  return a.addedAt < b.addedAt ? 1 : -1
}
