// Serves the results of jobs: adds them to the registry, from which requests load them by name, or
// without a registry to the server's memory. Also checks their names.

import semver from 'semver'
import { NotFoundError } from '../../../base/errors.ts'
import { RequestError } from '../../../server/request-error.ts'
import type { Service } from '../../../server/service.ts'
import type { LocalRegistry } from '../../registry/local-registry.ts'

export interface ResultPlaces {
  readonly service: Service
  readonly registry: LocalRegistry | undefined
  /** Names that results of jobs have or had. */
  readonly ownNames: () => ReadonlySet<string>
}

/** Serves an expert; returns the name by which requests ask for it. */
export async function serveResult(
  { service, registry }: ResultPlaces,
  name: string,
  folder: string,
): Promise<string> {
  if (!registry) {
    await service.loadExpert({ name, path: folder, replace: true })
    return name
  }
  const versions = (await registry.list(name)).map(({ version }) => version)
  const [newest] = versions.toSorted(semver.rcompare)
  const version = (newest === undefined ? undefined : semver.inc(newest, 'patch')) ?? '1.0.0'
  await registry.add(folder, { id: name, version })
  const model = `${name}@${version}`
  // into memory, so that the first request does not wait for it
  await service.tokenize({ model, text: '', addSpecialTokens: false })
  return model
}

/** The path of what is served under a name; undefined: nothing is. */
export async function findServing(
  { registry }: ResultPlaces,
  name: string,
): Promise<string | undefined> {
  if (!registry) return undefined
  try {
    return (await registry.resolve(name)).location
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** Throws RequestError of status 409 for a name that is used otherwise. */
export async function checkResultName(
  { service, registry, ownNames }: ResultPlaces,
  name: string,
): Promise<void> {
  const refuse = (holder: string): RequestError =>
    new RequestError(`suffix: ${holder} has the name ${JSON.stringify(name)}. Choose another.`, {
      status: 409,
      param: 'suffix',
      code: 'name_taken',
    })
  const base = await service.describe()
  if ([base.name, ...base.aliases, 'base', 'auto'].includes(name)) throw refuse('the base')
  if (ownNames().has(name)) return
  const loaded = await service.listExperts()
  if (loaded.some((one) => one.name === name)) throw refuse('an expert of this server')
  if (registry && (await registry.list(name)).length > 0)
    throw refuse('an expert of the registry, which no job has made,')
}
