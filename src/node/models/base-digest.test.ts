// The digest of a base's files: that of signatures, the same for the same bytes, kept by size and time.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { hashFolder } from '../registry/content-folder.ts'
import { computeBaseDigest } from './base-digest.ts'

const scratch = mkdtempSync(join(tmpdir(), 'graft-digest-'))
const environment = { GRAFT_CACHE: join(scratch, 'cache') }
const write = (path: string, text: string): string => {
  const full = join(scratch, path)
  mkdirSync(join(full, '..'), { recursive: true })
  writeFileSync(full, text)
  return full
}
afterAll(() => rmSync(scratch, { recursive: true }))

it('is what a signature of the folder names, through links too, and no signature changes it', async () => {
  const folder = join(write('base/config.json', '{}'), '..')
  write('base/model.safetensors', 'weights')
  const digest = await computeBaseDigest(folder, environment)
  expect(digest).toBe((await hashFolder(folder)).hash)
  expect(await computeBaseDigest(join(folder, 'model.safetensors'), environment)).toBe(digest)
  expect(readdirSync(join(environment.GRAFT_CACHE, 'digests'))).toHaveLength(2)
  write('base/model.sig', 'signed')
  expect(await computeBaseDigest(folder, environment)).toBe(digest)
  mkdirSync(join(scratch, 'linked'))
  for (const name of ['config.json', 'model.safetensors'])
    symlinkSync(join(folder, name), join(scratch, 'linked', name))
  expect(await computeBaseDigest(join(scratch, 'linked'), environment)).toBe(digest)
  write('base/model.safetensors', 'weighty')
  expect(await computeBaseDigest(folder, environment)).not.toBe(digest)
})

it('is of a GGUF file with its other parts, and of nothing that is no place', async () => {
  const first = write('split/a-00001-of-00002.gguf', 'one')
  const single = write('split/b.gguf', 'one')
  const own = await computeBaseDigest(first, environment)
  write('split/a-00002-of-00002.gguf', 'two')
  expect(await computeBaseDigest(first, environment)).not.toBe(own)
  expect(await computeBaseDigest(single, environment)).toBe(own)
  expect(await computeBaseDigest('a model in memory', environment)).toBeUndefined()
})
