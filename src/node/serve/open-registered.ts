// A server's registry: opened, followed, and closed with the server.

import { integer, listOf, type OptionFields, readOptions, string } from '../../base/schema.ts'
import { serveRegistered } from '../../server/registered/serve-registered.ts'
import type { Service } from '../../server/service.ts'
import { createTriedService } from '../../server/trials/serve-trials.ts'
import type { LocalRegistry } from '../registry/local-registry.ts'
import { openRegistry } from '../registry/open-registry.ts'
import { openTrials } from '../registry/trials/open-trials.ts'
import { withdrawUser } from '../registry/trials/withdraw-improvements.ts'

export interface ServeRegistryOptions {
  /** A folder: requests may name experts of this registry. Default: of none. */
  readonly registry?: string | undefined
  /** Bytes of files of registered experts that stay in memory while idle. Default 1 GiB. */
  readonly registryBytes?: number | undefined
  /** PEM files of public keys, one of which must have signed every expert that is loaded. */
  readonly requireSigned?: readonly string[] | undefined
}

export const registryFields = {
  registry: string({ filled: true, about: 'folder of a registry whose experts requests may name' }),
  registryBytes: integer({
    from: 0,
    default: 2 ** 30,
    about: 'bytes of registered experts that stay in memory while unused',
  }),
  requireSigned: listOf(string({ filled: true }), {
    default: [],
    about: 'load only experts that one of these keys has signed: a public key in PEM',
  }),
} satisfies OptionFields<ServeRegistryOptions>

export interface OpenedRegistered {
  readonly service: Service
  readonly registry: LocalRegistry | undefined
  close(): Promise<void>
}

/** The service, with the experts of the registry where one is given. Throws StorageError. */
export async function openRegistered(
  service: Service,
  options: ServeRegistryOptions,
  routed?: ReadonlyMap<string, string>,
): Promise<OpenedRegistered> {
  const { registry: folder, registryBytes } = readOptions('Server options', options, registryFields)
  if (folder === undefined) return { service, registry: undefined, close: async () => undefined }
  const registry = await openRegistry(folder)
  const closers: (() => Promise<void>)[] = [() => registry.close()]
  const close = async (): Promise<void> => {
    for (const one of closers) await one()
  }
  const onFailure = (what: string, error: unknown): void =>
    void process.stderr.write(`graft: ${registry.location}: ${what}: ${String(error)}\n`)
  try {
    const registered = await serveRegistered(service, {
      registry,
      maxBytes: registryBytes,
      routed,
      onFailure,
    })
    closers.unshift(() => registered.close())
    const opened = await openTrials(registry.location)
    closers.unshift(() => opened.close())
    const tried = await createTriedService(registered.service, {
      registry,
      trials: opened.trials,
      withdrawUser: (user) => withdrawUser(user, { registry, opened }),
      onFailure,
      createId: () => `tried-${crypto.randomUUID()}`,
    })
    return { service: tried, registry, close }
  } catch (error) {
    await close()
    throw error
  }
}
