// Older folders become current ones and come back bit for bit.

import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ConflictError,
  FormatError,
  NotFoundError,
  OptionError,
  UnsupportedError,
} from '../../../base/errors.ts'
import { createTestManifest } from '../../../registry/registry.contract.ts'
import { readExpertMetadata } from '../../expert/expert-notes.ts'
import { createRegistryPlaces, type RegistryPlaces } from '../places.testing.ts'
import {
  applyMigration,
  findExpertFolders,
  planMigration,
  planUndo,
  undoMigration,
} from './migrate-folder.ts'

let places: RegistryPlaces
let folder: string
let count = 0
const now = '2026-11-30T09:00:00Z'
const older = '{ "version":1,\n"base": "stories260k", "system":"Be brief." }'

beforeAll(async () => {
  places = await createRegistryPlaces()
  folder = await mkdtemp(join(tmpdir(), 'graft-migrate-'))
})
afterAll(async () => {
  await places.remove()
  await rm(folder, { recursive: true })
})

const at = (...parts: string[]): string => join(folder, String(count), ...parts)
beforeEach(async () => {
  count++
  await mkdir(at())
  for (const [i, name] of ['noted', 'plain', 'current', 'carded'].entries())
    await cp(join(places.seeds, String(i)), at(name), { recursive: true })
  await writeFile(at('noted', 'graft.json'), older)
  await writeFile(at('current', 'expert.json'), JSON.stringify(createTestManifest()))
  await writeFile(at('carded', 'README.md'), '---\nlicense: mit\ntags: [sql]\n---\n# Mine\n')
  await mkdir(at('data'))
})

/** Every file and its hash. */
async function describeFolder(): Promise<string[]> {
  const entries = await readdir(at(), { recursive: true, withFileTypes: true })
  const lines = entries
    .filter((entry) => entry.isFile())
    .map(async (entry) => {
      const path = join(entry.parentPath, entry.name)
      return `${path} ${createHash('sha256')
        .update(await readFile(path))
        .digest('hex')}`
    })
  return (await Promise.all(lines)).toSorted()
}

describe('migration', () => {
  it('finds the experts of a folder, and mixed ones live next to each other', async () => {
    const names = ['carded', 'current', 'noted', 'plain']
    expect(await findExpertFolders(at())).toEqual(names.map((name) => at(name)))
    expect(await findExpertFolders(at('plain'))).toEqual([at('plain')])
    await expect(findExpertFolders(at('data'))).rejects.toThrow(NotFoundError)
    await expect(findExpertFolders(at('missing'))).rejects.toThrow(NotFoundError)
  })

  it('shows what would be, writes nothing, then writes it, and takes it back bit for bit', async () => {
    const before = await describeFolder()
    const folders = await findExpertFolders(at())
    const plans = []
    for (const one of folders) plans.push(await planMigration(one, { now }))
    expect(plans.map(({ from, manifest }) => [from, manifest?.id])).toEqual([
      ['PEFT', 'carded'],
      ['expert.json', undefined],
      ['graft.json', 'noted'],
      ['PEFT', 'plain'],
    ])
    expect(plans[0]!.manifest).toMatchObject({ license: 'mit', tags: ['sql'], modified: now })
    expect(await describeFolder()).toEqual(before)
    for (const plan of plans) await applyMigration(plan)
    expect(await readdir(at('noted'))).not.toContain('graft.json')
    const noted = await readExpertMetadata(at('noted'))
    expect(noted).toMatchObject({ base: 'stories260k', system: 'Be brief.' })
    for (const one of folders) expect((await planMigration(one, { now })).from).toBe('expert.json')
    expect(await planUndo(at('noted'))).toBe('graft.json')
    for (const one of folders) await undoMigration(one)
    expect(await describeFolder()).toEqual(before)
  })

  it('finishes what a process that was killed left', async () => {
    await applyMigration(await planMigration(at('noted'), { now }))
    await writeFile(at('noted', 'graft.json'), older)
    await applyMigration(await planMigration(at('noted'), { now }))
    expect(await readdir(at('noted'))).not.toContain('graft.json')
  })

  it('is not undone where that would lose a change', async () => {
    await applyMigration(await planMigration(at('noted'), { now, id: 'mine', version: '2.0.0' }))
    const path = at('noted', 'expert.json')
    const text = await readFile(path, 'utf8')
    expect(JSON.parse(text)).toMatchObject({ id: 'mine', version: '2.0.0' })
    await writeFile(path, text.replace('Be brief', 'Be short'))
    await expect(undoMigration(at('noted'))).rejects.toThrow(ConflictError)
    await writeFile(path, text)
    await writeFile(at('noted', 'expert.sig'), '{}')
    await expect(undoMigration(at('noted'))).rejects.toThrow(OptionError)
    expect(await planUndo(at('current'))).toBeUndefined()
  })

  it('names what cannot be migrated, and leaves it as it was', async () => {
    await writeFile(at('noted', 'graft.json'), '{"version":7,"base":"x"}')
    await writeFile(at('carded', 'README.md'), '---\na: &a [1]\nb: *a\n---\n')
    await writeFile(at('current', 'expert.json'), '{"layout":1,"id":"a b","colour":1}')
    await writeFile(at('plain', 'expert.sig'), '{}')
    const before = await describeFolder()
    const errors = []
    for (const one of await findExpertFolders(at())) {
      const plan = await planMigration(one, { now })
      errors.push(plan.error?.constructor)
      if (!plan.error) await applyMigration(plan)
    }
    expect(errors).toEqual([FormatError, FormatError, UnsupportedError, OptionError])
    expect(await describeFolder()).toEqual(before)
  })
})
