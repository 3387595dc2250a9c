// A service that loads experts from allowed places only, and remembers what requests loaded, so
// that a restart comes back with the same experts.

import { replaceMethods } from '../accounts/replace-methods.ts'
import { RequestError } from '../request-error.ts'
import type { LoadExpertRequest, ServedExpert, Service } from '../service.ts'
import type { LoadedExpertRecord, LoadedExpertStore } from '../state/server-state.ts'

/** Where experts may be loaded from. */
export interface ExpertPlaces {
  /**
   * The place of a path that a request gave. Throws RequestError: 400 for what is not allowed, 404
   * for what is allowed and not there.
   */
  resolve(path: string): Promise<string>
}

export interface KeptExpertsParts {
  readonly places: ExpertPlaces
  readonly store: LoadedExpertStore
  /** The base's name: records of another base are left alone. */
  readonly base: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called where the store fails after the expert was loaded. */
  readonly onFailure: (error: unknown) => void
}

/** What came of the experts that an earlier run had loaded. */
export interface RestoredExperts {
  readonly loaded: readonly string[]
  readonly skipped: readonly { readonly name: string; readonly error: unknown }[]
}

export interface KeptExperts {
  readonly service: Service
  /** Loads again what requests had loaded. What cannot be loaded is skipped and stays recorded. */
  restore(): Promise<RestoredExperts>
}

/** The error of every path, where no folder is allowed. */
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
  /** Paths as requests gave them, by name: where experts lie is not for clients. */
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
    if (path === undefined) return // the operator's own: it is there again without us
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
    if (there.has(name)) continue // given at the start, which goes before
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

/** An error that names the path as it was given, and not the place it stands for. */
function replacePath(error: unknown, place: string, path: string): unknown {
  if (!(error instanceof Error) || place === path || !error.message.includes(place)) return error
  const message = error.message.replaceAll(place, path)
  return Object.create(error, {
    message: { value: message, enumerable: false },
    cause: { value: error },
  })
}
