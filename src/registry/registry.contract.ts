// What every registry must do, wherever it is kept. A platform's test hands in how to open one and
// how to make an expert's folder.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ConflictError,
  FormatError,
  NotFoundError,
  OptionError,
  SignatureError,
} from '../base/errors.ts'
import type { ExpertManifest } from './manifest/expert-manifest.ts'
import type { Registry } from './registry.ts'

export interface RegistryPlace<Source = string> {
  /** Another handle on the same registry, as another process has it. */
  open(): Promise<Registry<Source>>
  /** A folder with an adapter; its weights follow from the seed. */
  makeExpert(manifest: Partial<ExpertManifest> | undefined, seed: number): Promise<Source>
  /** Changes a byte of a file of content. */
  damage(location: string): Promise<void>
  /** Bytes of all content. */
  measure(): Promise<number>
  remove(): Promise<void>
}

export const createTestManifest = (given: Partial<ExpertManifest> = {}): ExpertManifest => ({
  layout: 1,
  id: 'coder',
  version: '1.0.0',
  kind: 'lora',
  base: { id: 'stories260k' },
  ...given,
})

export function describeRegistry<Source>(
  title: string,
  makePlace: () => Promise<RegistryPlace<Source>>,
): void {
  describe(`${title} as a registry of experts`, () => {
    let place: RegistryPlace<Source>
    let registry: Registry<Source>
    beforeEach(async () => {
      place = await makePlace()
      registry = await place.open()
    })
    afterEach(async () => {
      await registry.close()
      await place.remove()
    })
    const add = async (given: Partial<ExpertManifest>, seed = 1, options = {}) =>
      registry.add(await place.makeExpert(createTestManifest(given), seed), options)

    it('gives an expert back by name, version, range, channel and hash', async () => {
      const versions = ['1.0.0', '1.2.0', '1.2.1', '2.0.0-rc.1']
      for (const [i, version] of versions.entries()) await add({ version }, i + 1)
      await registry.setChannel('coder', 'stable', '1.2.0')
      const versionOf = async (reference: string) => (await registry.resolve(reference)).version
      expect(await versionOf('coder')).toBe('1.2.1')
      expect(await versionOf('coder@^1.0')).toBe('1.2.1')
      expect(await versionOf('coder@1.0.0')).toBe('1.0.0')
      expect(await versionOf('coder@~1.2.0')).toBe('1.2.1')
      expect(await versionOf('coder@2.0.0-rc.1')).toBe('2.0.0-rc.1')
      expect(await versionOf('coder@stable')).toBe('1.2.0')
      const { hash } = await registry.resolve('coder@1.0.0')
      expect(await versionOf(`coder@sha256:${hash.slice(0, 12)}`)).toBe('1.0.0')
      expect((await registry.list('coder')).map(({ version }) => version)).toEqual(
        versions.toReversed(),
      )
      expect((await registry.resolve('coder@stable')).channels).toEqual(['stable'])
    })

    it('reports what there is where nothing fits', async () => {
      await add({})
      await expect(registry.resolve('codr')).rejects.toThrow(/Did you mean "coder"\?/)
      await expect(registry.resolve('coder@^2')).rejects.toThrow(/its versions are 1\.0\.0/)
      await expect(registry.resolve('coder@stabel')).rejects.toThrow(NotFoundError)
      await expect(registry.resolve('a\nb')).rejects.toThrow(OptionError)
      await expect(registry.resolve('../x')).rejects.toThrow(OptionError)
      await expect(registry.setChannel('coder', '1.0', '1.0.0')).rejects.toThrow(/no version/)
      await expect(registry.setChannel('coder', 'stable', '9.0.0')).rejects.toThrow(NotFoundError)
    })

    it('never changes a version; the same content again is not an error', async () => {
      const first = await add({}, 1)
      expect((await add({}, 1)).hash).toBe(first.hash)
      await expect(add({}, 2)).rejects.toThrow(ConflictError)
      expect((await registry.resolve('coder')).hash).toBe(first.hash)
      expect(await registry.list()).toHaveLength(1)
    })

    it('keeps content once, and removes it with the last version that has it', async () => {
      const folder = await place.makeExpert(undefined, 1)
      await registry.add(folder, { id: 'a', version: '1.0.0' })
      const once = await place.measure()
      await registry.add(folder, { id: 'b', version: '1.0.0' })
      expect(await place.measure()).toBe(once)
      await registry.remove('a')
      expect(await place.measure()).toBe(once)
      await registry.verify('b')
      await registry.remove('b')
      expect([await place.measure(), await registry.list()]).toEqual([0, []])
    })

    it('finds what was changed after it was added', async () => {
      await add({})
      const { location } = await registry.verify('coder').then(() => registry.resolve('coder'))
      await place.damage(location)
      await expect(registry.verify('coder')).rejects.toThrow(SignatureError)
    })

    it('makes content whole again that was changed, when it is added again', async () => {
      const { hash } = await add({})
      await place.damage((await registry.resolve('coder')).location)
      await expect(registry.verify('coder')).rejects.toThrow(SignatureError)
      expect((await add({})).hash).toBe(hash)
      await registry.verify('coder')
    })

    it('refuses a wrong manifest with everything that is wrong, and stays as it was', async () => {
      const wrong = { id: 'a\nb', version: '1', color: 'red', scores: { f1: { value: 'x' } } }
      const adding = add(wrong as never)
      await expect(adding).rejects.toThrow(FormatError)
      for (const part of [/there is no key "color"/, /id: got/, /version: got/, /scores/])
        await expect(adding).rejects.toThrow(part)
      expect([await registry.list(), await place.measure()]).toEqual([[], 0])
    })

    it('makes a manifest for a folder that has none', async () => {
      const folder = await place.makeExpert(undefined, 3)
      const added = await registry.add(folder, { id: 'tales' })
      expect(added).toMatchObject({
        id: 'tales',
        version: '0.1.0',
        manifest: { kind: 'lora', base: { id: 'stories260k' } },
      })
    })

    it('searches by words, tags, domain, base, score and meaning', async () => {
      const vectors = { sql: [1, 0], json: [0.8, 0.6], poems: [0, 1] }
      for (const [i, [id, vector]] of Object.entries(vectors).entries())
        await add(
          {
            id,
            description: `Writes ${id} well`,
            tags: [i < 2 ? 'data' : 'art'],
            domains: [id === 'sql' ? 'databases' : 'texts'],
            scores: { exact_match: { value: 0.5 + 0.1 * i } },
          },
          i + 1,
          { vector: Float32Array.from(vector) },
        )
      const search = async (query: object) =>
        (await registry.search(query)).map((expert) => expert.id)
      expect(await search({ text: 'WRITES json' })).toEqual(['json'])
      expect(await search({ tags: ['data'] })).toEqual(['json', 'sql'])
      expect(await search({ domain: 'databases' })).toEqual(['sql'])
      expect(await search({ base: 'stories260k' })).toHaveLength(3)
      expect(await search({ base: 'other' })).toEqual([])
      expect(await search({ score: { metric: 'exact_match', least: 0.6 } })).toEqual([
        'json',
        'poems',
      ])
      const found = await registry.search({ vector: Float32Array.of(1, 0), limit: 2 })
      expect(found.map(({ id, similarity }) => [id, similarity?.toFixed(2)])).toEqual([
        ['sql', '1.00'],
        ['json', '0.80'],
      ])
      await expect(search({ vector: new Float32Array(3) })).rejects.toThrow(/different models/)
      await expect(search({ txt: 'a' })).rejects.toThrow(/Did you mean "text"\?/)
    })

    it('keeps vectors of each embedder, of versions that are there', async () => {
      await add({}, 1, { vector: Float32Array.of(1, 0) })
      await add({ version: '1.1.0' }, 2)
      await add({ id: 'other' }, 3)
      const idsWithout = async (embedder: string) =>
        (await registry.listWithoutVector(embedder)).map(({ id, version }) => `${id}@${version}`)
      expect(await idsWithout('small')).toEqual(['coder@1.1.0', 'other@1.0.0'])
      const vector = Float32Array.of(0, 1)
      await registry.setVectors('small', [
        { id: 'coder', version: '1.1.0', vector },
        { id: 'gone', version: '1.0.0', vector },
      ])
      expect(await idsWithout('small')).toEqual(['other@1.0.0'])
      expect(await idsWithout('large')).toEqual(['coder@1.1.0', 'other@1.0.0'])
      const find = async (embedder?: string) =>
        (await registry.search({ vector, embedder })).map(({ id }) => id)
      expect([await find('small'), await find('large'), await find()]).toEqual([['coder'], [], []])
      await registry.remove('coder@1.1.0')
      await add({ version: '1.1.0' }, 4)
      expect(await idsWithout('small')).toEqual(['coder@1.1.0', 'other@1.0.0'])
      const wrong = Float32Array.of(Number.NaN)
      await expect(
        registry.setVectors('small', [{ id: 'other', version: '1.0.0', vector: wrong }]),
      ).rejects.toThrow(/other@1\.0\.0/)
      await expect(registry.setVectors('', [])).rejects.toThrow(OptionError)
    })

    it('adds and removes tags without changing the content', async () => {
      const { hash } = await add({ tags: ['a'] })
      await registry.tag('coder', { add: ['b', 'c'], remove: ['a'] })
      const { tags, hash: now } = await registry.resolve('coder')
      expect([tags, now]).toEqual([['b', 'c'], hash])
      await expect(registry.tag('coder', { add: ['no spaces'] })).rejects.toThrow(OptionError)
    })

    it('notifies watchers of changes by other handles', async () => {
      const other = await place.open()
      const end = new AbortController()
      const seen: string[] = []
      const watching = (async () => {
        for await (const { type, id, version, channel = '' } of other.watch(end.signal))
          if (seen.push(`${type} ${id} ${version} ${channel}`.trim()) === 4) end.abort()
      })()
      await add({}, 1, { channels: ['stable'] })
      await add({ version: '1.1.0' }, 2)
      await registry.remove('coder@1.1.0')
      await watching
      await other.close()
      expect(seen).toEqual([
        'added coder 1.0.0',
        'channel coder 1.0.0 stable',
        'added coder 1.1.0',
        'removed coder 1.1.0',
      ])
    })

    it('takes many at once through several handles', async () => {
      const handles = await Promise.all(Array.from({ length: 4 }, () => place.open()))
      const folders = await Promise.all(
        Array.from({ length: 12 }, (_, i) => place.makeExpert(undefined, i)),
      )
      await Promise.all(
        folders.map((folder, i) =>
          handles[i % handles.length]!.add(folder, { id: `expert-${i}`, version: '1.0.0' }),
        ),
      )
      expect(await registry.list()).toHaveLength(12)
      for (let i = 0; i < 12; i++) await registry.verify(`expert-${i}`)
      for (const handle of handles) await handle.close()
    })
  })
}
