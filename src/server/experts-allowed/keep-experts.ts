// A service that loads experts from allowed folders only, and records what requests loaded, so that
// a restarted server has the same experts.

import { replaceMethods } from '../accounts/replace-methods.ts'
import { RequestError } from '../request-error.ts'
import type { LoadExpertRequest, ServedExpert, Service } from '../service.ts'
import type { LoadedExpertRecord, LoadedExpertStore } from '../state/server-state.ts'

/** Where experts may be loaded from. */
export interface ExpertPlaces {
  /**
   * The allowed path for a path in a request. Throws RequestError: 400 if it is not allowed, 404 if
   * it is allowed and missing.
   */
  resolve(path: string): Promise<string>
}

export interface KeptExpertsParts {
  readonly places: ExpertPlaces
  readonly store: LoadedExpertStore
  /** The base's name: records of another base are ignored. */
  readonly base: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called if the store fails after the expert was loaded. */
  readonly onFailure: (error: unknown) => void
}

/** The result of reloading the experts of an earlier run. */
export interface RestoredExperts {
  readonly loaded: readonly string[]
  readonly skipped: readonly { readonly name: string; readonly error: unknown }[]
}

export interface KeptExperts {
  readonly service: Service
  /**
   * Reloads what requests had loaded. An expert that cannot be loaded is skipped and stays
   * recorded.
   */
  restore(): Promise<RestoredExperts>
}

/** The error for every path if no folder is allowed. */
export const noPlaces: ExpertPlaces = {
  resolve: async () => {
    throw new RequestError(
      'This server loads no experts by request. Its operator allows a folder with --adapter-folder.',
      { status: 400, param: 'path', code: 'path_not_allowed' },
    )
  },
}

export function keepExperts(service: Service, parts: KeptExpertsParts): KeptExperts {
  const { places, store, base, now, onFailure } = parts
  /** Paths as requests gave them, by name, because clients must not learn where experts are. */
  const given = new Map<string, string>()
  const show = (expert: ServedExpert): ServedExpert => {
    const path = given.get(expert.name)
    return path === undefined ? expert : Object.assign({}, expert, { path })
  }
  const load = async (request: LoadExpertRequest): Promise<ServedExpert> => {
    const path = await places.resolve(request.path)
    const named = Object.assign({}, request, { path })
    const expert = await service.loadExpert(named).catch((error: unknown) => {
      throw replacePath(error, path, request.path)
    })
    given.set(expert.name, request.path)
    return show(expert)
  }
  const record = async ({ name, isPinned }: ServedExpert): Promise<void> => {
    const path = given.get(name)
    if (path === undefined) return // loaded by the operator: it comes back without our record
    const loadedAt = new Date(now()).toISOString()
    await store.put(base, { name, path, pinned: isPinned, loadedAt }).catch(onFailure)
  }
  const kept: Partial<Service> = {
    loadExpert: async (request) => {
      const expert = await load(request)
      await record(expert)
      return expert
    },
    unloadExpert: async (name) => {
      await service.unloadExpert(name)
      given.delete(name)
      await store.delete(base, name).catch(onFailure)
    },
    pinExpert: async (name, isPinned) => {
      const expert = await service.pinExpert(name, isPinned)
      await record(expert)
      return show(expert)
    },
    listExperts: async () => (await service.listExperts()).map(show),
  }
  return {
    service: replaceMethods(service, kept),
    restore: async () => restoreExperts(await store.list(base), service, load),
  }
}

async function restoreExperts(
  records: readonly LoadedExpertRecord[],
  service: Service,
  load: (request: LoadExpertRequest) => Promise<ServedExpert>,
): Promise<RestoredExperts> {
  const there = new Set((await service.listExperts()).map(({ name }) => name))
  const loaded: string[] = []
  const skipped: { name: string; error: unknown }[] = []
  for (const { name, path, pinned } of records) {
    if (there.has(name)) continue // an expert given at the start takes precedence
    try {
      await load({ name, path })
      if (pinned) await service.pinExpert(name, true)
      loaded.push(name)
    } catch (error) {
      skipped.push({ name, error })
    }
  }
  return { loaded, skipped }
}

/** An error that names the path as the request gave it, not the path it resolves to. */
function replacePath(error: unknown, place: string, path: string): unknown {
  if (!(error instanceof Error) || place === path || !error.message.includes(place)) return error
  const message = error.message.replaceAll(place, path)
  return Object.create(error, {
    message: { value: message, enumerable: false },
    cause: { value: error },
  })
}
