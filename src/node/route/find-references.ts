// Which experts of a server's router come from its registry: those that are not loaded from the start.

import { NotFoundError } from '../../base/errors.ts'
import type { Registry } from '../../registry/registry.ts'
import type { RouterFile } from '../../route/router-file.ts'

/** An expert that is loaded when the router first chooses it. */
export interface RoutedReference {
  readonly name: string
  /** Its content hash: that of the router's training if it is known, else the newest. */
  readonly sha256: string
  /** Its reference: by its content, or by its name if the newest version answers. */
  readonly reference: string
}

/** The router's experts that the registry has, in the version that the router was trained for. */
export async function findRoutedReferences(
  { experts }: Pick<RouterFile, 'experts'>,
  loaded: ReadonlySet<string>,
  registry: Pick<Registry, 'resolve'>,
): Promise<RoutedReference[]> {
  const resolve = (reference: string) =>
    registry.resolve(reference).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined // the router's own check names it
      throw error
    })
  const found = await Promise.all(
    experts
      .filter(({ name }) => !loaded.has(name))
      .map(async ({ name, sha256 }) => {
        const reference = sha256 === undefined ? name : `${name}@sha256:${sha256}`
        const version = (await resolve(reference)) ?? (await resolve(name))
        return version && { name, sha256: version.hash, reference }
      }),
  )
  return found.flatMap((one) => one ?? [])
}
