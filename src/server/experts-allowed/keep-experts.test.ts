import { describe, expect, it } from 'vitest'
import { FormatError } from '../../base/errors.ts'
import { RequestError } from '../request-error.ts'
import type { LoadExpertRequest, ServedExpert, Service } from '../service.ts'
import { createMemoryState } from '../state/memory-state.ts'
import { keepExperts, noPlaces } from './keep-experts.ts'

/** A service that loads whatever is at /srv/experts, but the expert `bad`. */
function createLoader(given: readonly string[] = []) {
  const experts = new Map<string, ServedExpert>()
  const add = (name: string, path: string | undefined) => {
    const expert = { name, path, isPinned: false } as ServedExpert
    experts.set(name, expert)
    return expert
  }
  for (const name of given) add(name, undefined)
  const service = {
    loadExpert: async ({ path, name = path.split('/').at(-1)! }: LoadExpertRequest) => {
      if (path.endsWith('bad')) throw new FormatError(`${path}/adapter_config.json: is not JSON.`)
      return add(name, path)
    },
    unloadExpert: async (name: string) => {
      if (!experts.delete(name)) throw new RequestError('unknown', { status: 404 })
    },
    pinExpert: async (name: string, isPinned: boolean) => {
      const expert = Object.assign({}, experts.get(name)!, { isPinned })
      experts.set(name, expert)
      return expert
    },
    listExperts: async () => [...experts.values()],
  } as unknown as Service
  return { service, experts }
}

const places = { resolve: async (path: string) => `/srv/experts/${path}` }
const store = createMemoryState().experts
const failures: unknown[] = []
const keep = (service: Service, base = 'tiny', kept = store) =>
  keepExperts(service, {
    places,
    store: kept,
    base,
    now: () => 0,
    onFailure: (error) => failures.push(error),
  })

describe('experts that requests load', () => {
  it('are loaded from their place, shown by the path that was given, and there after a restart', async () => {
    const first = createLoader(['own'])
    const { service } = keep(first.service)
    expect((await service.loadExpert({ path: 'coder' })).path).toBe('coder')
    await service.loadExpert({ path: 'poet-v2', name: 'poet' })
    await service.loadExpert({ path: 'gone' })
    await service.pinExpert('poet', true)
    await service.pinExpert('own', true)
    await service.unloadExpert('gone')
    expect(first.experts.get('coder')!.path).toBe('/srv/experts/coder')
    expect((await service.listExperts()).map(({ path }) => path)).toEqual([
      undefined,
      'coder',
      'poet-v2',
    ])
    const second = createLoader(['own'])
    const again = keep(second.service)
    expect(await again.restore()).toEqual({ loaded: ['coder', 'poet'], skipped: [] })
    expect(second.experts.get('poet')).toMatchObject({
      path: '/srv/experts/poet-v2',
      isPinned: true,
    })
    expect((await again.service.listExperts()).at(-1)!.path).toBe('poet-v2')
    expect(second.experts.has('gone')).toBe(false)
  })
  it('of another base are left alone', async () => {
    expect(await keep(createLoader().service, 'other').restore()).toEqual({
      loaded: [],
      skipped: [],
    })
  })
  it('that are broken are skipped, stay recorded, and the rest is served', async () => {
    const { experts } = createMemoryState()
    const record = { pinned: false, loadedAt: '' }
    for (const name of ['a', 'bad', 'c'])
      await experts.put('tiny', Object.assign({ name, path: name }, record))
    const loader = createLoader()
    const { loaded, skipped } = await keep(loader.service, 'tiny', experts).restore()
    expect(loaded).toEqual(['a', 'c'])
    expect(skipped).toMatchObject([{ name: 'bad' }])
    expect(await experts.list('tiny')).toHaveLength(3)
  })
  it('that were given at the start go before those of the run before', async () => {
    const loader = createLoader(['coder'])
    await keep(loader.service).restore()
    expect(loader.experts.get('coder')!.path).toBeUndefined()
  })
  it('are errors by the path that was given, and nothing is recorded', async () => {
    const { experts } = createMemoryState()
    const { service } = keep(createLoader().service, 'tiny', experts)
    const error = await service.loadExpert({ path: 'bad' }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FormatError)
    expect((error as Error).message).toBe('bad/adapter_config.json: is not JSON.')
    expect(await experts.list('tiny')).toEqual([])
  })
  it('stay loaded where the record cannot be written', async () => {
    const broken = Object.assign({}, store, { put: () => Promise.reject(new Error('disk full')) })
    const { service } = keep(createLoader().service, 'tiny', broken)
    expect((await service.loadExpert({ path: 'coder' })).name).toBe('coder')
    expect(failures).toHaveLength(1)
  })
  it('are refused where no folder is allowed', async () =>
    expect(noPlaces.resolve('coder')).rejects.toMatchObject({ status: 400 }))
})
