import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { createStandalone } from '../../adapters/vectors/create.ts'
import { saveAdapter } from '../adapters.ts'
import { createTestManifest } from '../../registry/registry.contract.ts'
import { mergeExpertMetadata, readExpertMetadata } from './expert-notes.ts'

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'graft-json-'))))
afterAll(() => rm(folder, { recursive: true }))

const read = async (content: object): Promise<unknown> => {
  await writeFile(join(folder, 'graft.json'), JSON.stringify(content))
  return readExpertMetadata(folder)
}

describe('graft.json', () => {
  it('is read, and expert.json counts before it', async () => {
    const notes = { base: 'stories260k', system: 'Be brief.' }
    expect(await read({ version: 1, ...notes })).toMatchObject(notes)
    expect(await read({ base: 'stories260k' })).toMatchObject({ base: 'stories260k' })
    const manifest = createTestManifest({ system: 'Be long.', date: '2026-11-30' })
    await writeFile(join(folder, 'expert.json'), JSON.stringify(manifest))
    expect(await readExpertMetadata(folder)).toEqual({
      base: 'stories260k',
      system: 'Be long.',
      date: '2026-11-30',
      manifest,
    })
    await rm(join(folder, 'expert.json'))
  })
  it('of a newer layout is refused with both versions', async () => {
    const reading = read({ version: 2, base: 'stories260k', voice: 'loud' })
    await expect(reading).rejects.toThrow(UnsupportedError)
    await expect(reading).rejects.toThrow(/graft.json: has layout 2, .* reads up to 1\. Update/)
    await expect(read({ version: 'two', base: 'x' })).rejects.toThrow(/version: got "two"/)
    await expect(read({ version: 1, base: 5 })).rejects.toThrow(FormatError)
  })
  it('of several experts keeps what they share and names what differs', () => {
    const dated = { base: 'a', date: '2026-11-30' }
    expect(mergeExpertMetadata([dated, dated])).toEqual({ notes: dated, dropped: [] })
    expect(mergeExpertMetadata([dated, { base: 'a' }])).toEqual({
      notes: { base: 'a' },
      dropped: ['date'],
    })
    const one = { base: 'a', system: 'x' }
    expect(mergeExpertMetadata([one, one])).toEqual({ notes: one, dropped: [] })
    expect(mergeExpertMetadata([one, { base: 'a', system: 'y' }])).toEqual({
      notes: { base: 'a' },
      dropped: ['system'],
    })
    expect(mergeExpertMetadata([one, { base: 'a' }]).dropped).toEqual(['system'])
    expect(mergeExpertMetadata([one, undefined])).toEqual({
      notes: undefined,
      dropped: ['base', 'system'],
    })
    expect(mergeExpertMetadata([undefined, undefined])).toEqual({ notes: undefined, dropped: [] })
  })
})

describe('metadata that is not text', () => {
  it.each([
    [{ version: 3 }, /metadata\.version: got 3, expected a string/],
    [{ tags: ['a', 'b'] }, /metadata\.tags/],
    [{ description: null }, /metadata\.description: got null/],
    ['a text', /metadata: got "a text"/],
  ])('%j is refused before a file is written', async (metadata, message) => {
    const adapter = createStandalone('lora', { rank: 2, targets: ['q_proj'] }, { width: 8 })
    const out = join(folder, 'out')
    const saving = saveAdapter({ ...adapter, metadata: metadata as never }, out)
    await expect(saving).rejects.toThrow(OptionError)
    await expect(saving).rejects.toThrow(message)
    expect(await readdir(folder)).not.toContain('out')
  })
})
