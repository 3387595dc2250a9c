// The registry in a folder: the contract, what is refused, processes that are killed.

import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, NotFoundError, StorageError } from '../../base/errors.ts'
import { createTestManifest, describeRegistry } from '../../registry/registry.contract.ts'
import { createRegistryPlaces, killRepeatedly, type RegistryPlaces } from './places.testing.ts'

let places: RegistryPlaces
beforeAll(async () => void (places = await createRegistryPlaces()))
afterAll(() => places.remove())

describeRegistry('a folder', () => places.make())

const parseLine = (line: string) =>
  JSON.parse(line) as { readonly id: string; readonly hash?: string; readonly error?: string }

describe('a registry in a folder', () => {
  it('refuses links, folders that are not an adapter, and newer registries; nothing is left', async () => {
    const place = await places.make()
    const registry = await place.open()
    const linked = await place.makeExpert(createTestManifest(), 1)
    await symlink('/etc/hostname', join(linked, 'link'))
    await expect(registry.add(linked)).rejects.toThrow(FormatError)
    const empty = join(place.path, '..', 'empty')
    await mkdir(empty)
    await expect(registry.add(empty)).rejects.toThrow(FormatError)
    await expect(registry.add(join(empty, 'missing'))).rejects.toThrow(NotFoundError)
    await writeFile(join(empty, 'notes.txt'), 'no adapter')
    await expect(registry.add(empty)).rejects.toThrow(/adapter_config\.json/)
    expect(await readdir(join(place.path, 'content'))).toEqual([])
    await registry.close()
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(join(place.path, 'index.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    await expect(place.open()).rejects.toThrow(StorageError)
  })

  it('takes over the signature of content that it has without one', async () => {
    const place = await places.make()
    const registry = await place.open()
    const folder = await place.makeExpert(undefined, 1)
    await registry.add(folder, { id: 'plain', version: '1.0.0' })
    await writeFile(join(folder, 'expert.sig'), 'a signature')
    await registry.add(folder, { id: 'signed', version: '1.0.0' })
    const { location } = await registry.resolve('signed')
    expect(location).toBe((await registry.resolve('plain')).location)
    expect(await readFile(join(location, 'expert.sig'), 'utf8')).toBe('a signature')
    await registry.close()
  })

  it('accepts eight processes at once: every expert is added or refused with an error', async () => {
    const place = await places.make()
    const worker = new URL('./add-worker.testing.ts', import.meta.url).pathname
    const run = promisify(execFile)
    const ended = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        run(process.execPath, [worker, place.path, places.seeds, String(i)]),
      ),
    )
    const told = ended.flatMap(({ stdout }) => stdout.trim().split('\n').map(parseLine))
    expect(told).toHaveLength(8 * 12)
    const registry = await place.open()
    for (const { id, hash, error } of told) {
      const found = await registry.verify(id)
      expect([id, error ?? found.hash]).toEqual([id, hash ?? 'ConflictError'])
    }
    expect((await registry.list()).length).toBe(8 * 6 + 6)
    const hashes = new Set((await registry.list()).map(({ hash }) => hash))
    expect(new Set(await readdir(join(place.path, 'content')))).toEqual(hashes)
    await registry.close()
  }, 180_000)

  it('is whole after processes were killed in the middle of add, remove, gc and publish', async () => {
    await killRepeatedly(await places.make(), places.seeds, 6)
  }, 120_000)
})
