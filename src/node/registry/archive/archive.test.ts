// Archives of an expert: the same bytes each time, and foreign archives that are refused.

import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { packTar, type TarEntry } from 'modern-tar'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ConflictError, FormatError, OptionError } from '../../../base/errors.ts'
import { createTestManifest } from '../../../registry/registry.contract.ts'
import type { Registry } from '../../../registry/registry.ts'
import { createRegistryPlaces, type FolderPlace, type RegistryPlaces } from '../places.testing.ts'
import { exportArchive } from './export-archive.ts'
import { importArchive } from './import-archive.ts'

let places: RegistryPlaces
let from: FolderPlace
let to: FolderPlace
let registry: Registry
let other: Registry
const at = (name: string): string => join(from.path, '..', name)

beforeAll(async () => void (places = await createRegistryPlaces()))
afterAll(() => places.remove())
beforeEach(async () => {
  from = await places.make()
  to = await places.make()
  registry = await from.open()
  other = await to.open()
})
afterEach(async () => {
  await registry.close()
  await other.close()
  await from.remove()
  await to.remove()
})

const seedEntries = async (folder: string, seed = 1): Promise<TarEntry[]> => {
  const path = join(places.seeds, String(seed))
  const names = await readdir(path)
  return Promise.all(
    names.map(async (name) => {
      const body = await readFile(join(path, name))
      return { header: { name: folder + name, size: body.length }, body: new Uint8Array(body) }
    }),
  )
}

const text = (name: string, body = 'x'): TarEntry => ({
  header: { name, size: body.length },
  body,
})

describe('an exported expert', () => {
  it.each(['a.tar', 'a.tar.gz', 'a.tgz', 'a.tar.zst'])('%s comes back as it was', async (name) => {
    await registry.add(await from.makeExpert(createTestManifest({ tags: ['a'] }), 1))
    await registry.tag('coder', { add: ['b'] })
    await registry.add(await from.makeExpert(undefined, 2), { id: 'plain', version: '3.0.0' })
    for (const id of ['coder', 'plain']) {
      const expert = await registry.resolve(id)
      await exportArchive(expert, at(`${id}-${name}`))
      const [added] = await importArchive(other, at(`${id}-${name}`), { channels: ['new'] })
      const { hash, version, tags, manifest } = expert
      expect(added).toMatchObject({ id, hash, version, tags, manifest, channels: ['new'] })
      await other.verify(id)
    }
  })

  it('is the same file each time, and replaces none', async () => {
    await registry.add(await from.makeExpert(createTestManifest(), 1))
    const expert = await registry.resolve('coder')
    await exportArchive(expert, at('a.tar'))
    await exportArchive(expert, at('b.tar'))
    expect(await readFile(at('a.tar'))).toEqual(await readFile(at('b.tar')))
    await expect(exportArchive(expert, at('a.tar'))).rejects.toThrow(OptionError)
  })

  it('a plain archive of PEFT folders is taken too: all of them, or none', async () => {
    const two = [...(await seedEntries('first/', 1)), ...(await seedEntries('second/', 2))]
    await writeFile(at('two.tar'), await packTar(two))
    const named = importArchive(other, at('two.tar'), { id: 'x' })
    await expect(named).rejects.toThrow(/2 experts, which keep their names/)
    const added = await importArchive(other, at('two.tar'))
    expect(added.map(({ id }) => id).toSorted()).toEqual(['first', 'second'])
    await other.remove('first')
    const clash = [...(await seedEntries('first/', 1)), ...(await seedEntries('second/', 3))]
    await writeFile(at('clash.tar'), await packTar(clash))
    await expect(importArchive(other, at('clash.tar'))).rejects.toThrow(ConflictError)
    expect((await other.list()).map(({ id }) => id)).toEqual(['second'])
    await writeFile(at('top.tar'), await packTar(await seedEntries('./', 4)))
    expect(await importArchive(other, at('top.tar'), { id: 'top', version: '1.0.0' })).toHaveLength(
      1,
    )
  })
})

describe('an archive is refused, and the registry stays as it was', () => {
  const expectNothingAdded = async (): Promise<void> => {
    expect(await other.list()).toEqual([])
    expect(await readdir(join(to.path, 'content'))).toEqual([])
    expect(await stat(at('out')).catch(() => undefined)).toBeUndefined()
  }
  afterEach(expectNothingAdded)
  const refuse = async (bytes: Uint8Array, message: RegExp, options = {}): Promise<void> => {
    await writeFile(at('wrong.tar'), bytes)
    await expect(importArchive(other, at('wrong.tar'), options)).rejects.toThrow(message)
  }
  const link = (type: 'link' | 'symlink', name = 'first/a'): TarEntry => ({
    header: { name, size: 0, type, linkname: '/etc/passwd' },
  })

  it.each<[string, TarEntry, RegExp]>([
    ['..', text('../out'), /leaves the folder/],
    ['.. inside', text('first/../../out'), /leaves the folder/],
    ['an absolute path', text('/tmp/out'), /is absolute/],
    ['a drive', text('C:/out'), /is absolute/],
    ['a backslash', text('first\\..\\out'), /contains "\\"/],
    ['a line break', text('first/a\nb'), /control codes/],
    ['a file twice', text('first/adapter_config.json', '{}'), /occurs twice/],
    ['a file in a file', text('first/adapter_config.json/x'), /a file/],
    ['a symbolic link', link('symlink'), /is a symlink to "\/etc\/passwd"/],
    ['a hard link', link('link'), /is a link/],
    ['a device', { header: { name: 'a', size: 0, type: 'character-device' } }, /character-device/],
    ['a pipe', { header: { name: 'a', size: 0, type: 'fifo' } }, /fifo/],
  ])('%s', async (_, entry, message) => {
    await refuse(await packTar([...(await seedEntries('first/')), entry]), message)
  })

  it.each([
    ['gzip', gzipSync],
    ['Zstandard', zstdCompressSync],
  ])(
    'a bomb in %s',
    async (_, compress) => {
      const zeros = new Uint8Array(64 * 2 ** 20)
      const bomb = await packTar([{ header: { name: 'a', size: zeros.length }, body: zeros }])
      await refuse(compress(bomb), /unpacks to more than the 1000000 bytes/, { maxBytes: 1e6 })
      // headers alone, without files
      const headers = Array.from({ length: 4001 }, (__, i) => text(`a${i}`, ''))
      await refuse(compress(await packTar(headers)), /more than 4000 entries/)
    },
    120_000,
  )

  it('what is cut, damaged, no archive, or of another kind', async () => {
    const whole = await packTar(await seedEntries('first/'))
    await refuse(whole.subarray(0, 5000), /not a valid tar archive/)
    await refuse(gzipSync(whole).subarray(0, 3000), /not a valid tar archive/)
    await refuse(
      Uint8Array.from(whole, (byte, i) => (i === 150 ? byte ^ 1 : byte)),
      /checksum/,
    )
    await refuse(randomBytes(4096), /not a valid tar archive/)
    await refuse(new Uint8Array(0), /archive/)
    await refuse(Uint8Array.of(0x50, 0x4b, 3, 4), /is a zip archive/)
    await refuse(await packTar([text('notes.txt')]), /contains no expert/)
    await expect(importArchive(other, at('missing.tar'))).rejects.toThrow(FormatError)
  })

  it('other files than its index lists, and an invalid index', async () => {
    await registry.add(await from.makeExpert(createTestManifest(), 1))
    await exportArchive(await registry.resolve('coder'), at('a.tar'))
    const bytes = await readFile(at('a.tar'))
    const place = bytes.indexOf('lora_alpha')
    bytes[place] = 'L'.charCodeAt(0)
    await refuse(bytes, /they were changed/)
    for (const [index, message] of [
      ['{}', /expected layout and experts/],
      ['{"layout":9}', /Update Graft/],
      ['{"layout":1,"experts":[{"folder":"../x","hash":"0","manifest":{}}]}', /folder/],
      ['{"layout":1,"experts":[],"more":1}', /no option "more"/],
    ] as const)
      await refuse(await packTar([text('experts.json', index)]), message)
    await registry.remove('coder')
  })

  it('one without the signature that is asked for', async () => {
    await writeFile(at('key.pub'), 'no key')
    const bytes = await packTar(await seedEntries('first/'))
    await refuse(bytes, /is not signed|PEM/, { keys: [at('key.pub')] })
  })
})
