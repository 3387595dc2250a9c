// Adapts a router's decision to the experts in memory: registered experts are replaced by their
// loaded versions, and a missing expert by the base.

import type { RouteDecision } from '../../route/router.ts'
import type { ServedExpert } from '../service.ts'

/** An expert of a registry and its content. */
export interface RegisteredContent {
  readonly name: string
  readonly sha256: string
}

/** The decision with the versions that are in memory in the place of experts of the registry. */
export function toLoadedVersions(
  decision: RouteDecision,
  loaded: readonly ServedExpert[],
  registered: readonly RegisteredContent[],
): RouteDecision {
  const toLoaded = (name: string): string => {
    const own = registered.find((one) => one.name === name)
    if (!own || loaded.some((one) => one.name === name)) return name
    const versions = loaded.filter((one) => one.name.startsWith(`${name}@`))
    return (versions.find(({ key }) => key === own.sha256) ?? versions.at(-1))?.name ?? name
  }
  const { expert, mixture } = decision
  return Object.assign({}, decision, {
    expert: expert === undefined ? undefined : toLoaded(expert),
    ...(mixture && {
      mixture: mixture.map(({ name, weight }) => ({ name: toLoaded(name), weight })),
    }),
  })
}

/** If the chosen expert was unloaded, the base answers, with the reason. */
export function withoutAbsent(decision: RouteDecision, names: readonly string[]): RouteDecision {
  const chosen = decision.mixture?.map(({ name }) => name) ?? [decision.expert]
  const absent = chosen.find((name) => name !== undefined && !names.includes(name))
  if (absent === undefined) return decision
  const { mixture: _mixture, ...rest } = decision
  return {
    ...rest,
    expert: undefined,
    reason: `The base answers, because the expert ${absent} was chosen and is not loaded.`,
  }
}
