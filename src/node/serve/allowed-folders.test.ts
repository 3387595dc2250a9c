// Malformed HTTP requests: which ones a server must refuse, and which not.

import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotFoundError } from '../../base/errors.ts'
import { createErrorBody } from '../../server/error-response.ts'
import type { ExpertPlaces } from '../../server/experts-allowed/keep-experts.ts'
import { RequestError } from '../../server/request-error.ts'
import { createAllowedFolders } from './allowed-folders.ts'

let folder: string
let places: ExpertPlaces
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'graft-allowed-')))
  const inside = join(folder, 'experts')
  await mkdir(join(inside, 'coder', 'deep'), { recursive: true })
  await mkdir(join(folder, 'secret'))
  await mkdir(join(folder, 'experts-of-others'))
  await writeFile(join(folder, 'secret', 'adapter_config.json'), '{}')
  await writeFile(join(inside, 'coder', 'adapter_config.json'), '{}')
  await writeFile(join(inside, 'poet.gguf'), '')
  await symlink(join(folder, 'secret'), join(inside, 'out'))
  await symlink('../secret', join(inside, 'out-relative'))
  await symlink(join(inside, 'coder'), join(inside, 'alias'))
  await symlink('loop', join(inside, 'loop'))
  await mkdir(join(inside, 'mixed'))
  await symlink('../../secret/adapter_config.json', join(inside, 'mixed', 'adapter_config.json'))
  await symlink(inside, join(folder, 'link-to-experts'))
  places = await createAllowedFolders([inside])
})
afterAll(() => rm(folder, { recursive: true }))

async function refuse(path: string): Promise<RequestError> {
  const error = await places.resolve(path).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(RequestError)
  return error as RequestError
}

describe('an expert is loaded from', () => {
  it.each([
    ['coder', 'coder'],
    ['./coder', 'coder'],
    ['coder/deep', 'coder/deep'],
    ['coder//deep/', 'coder/deep'],
    ['poet.gguf', 'poet.gguf'],
    ['alias', 'coder'],
  ])('%s', async (path, expected) =>
    expect(await places.resolve(path)).toBe(join(folder, 'experts', expected)),
  )
  it('an absolute path inside, also by a link to the folder', async () => {
    const expected = join(folder, 'experts', 'coder')
    expect(await places.resolve(expected)).toBe(expected)
    const linked = await createAllowedFolders([join(folder, 'link-to-experts')])
    expect(await linked.resolve(join(folder, 'link-to-experts', 'coder'))).toBe(expected)
  })
})

describe('a path is refused with 400', () => {
  it.each([
    ['absolute outside', () => join(folder, 'secret')],
    ['absolute outside that is not there', () => '/no/such/folder'],
    ['of a system file', () => '/etc/passwd'],
    ['with ..', () => '../secret'],
    ['with .. in the middle', () => 'coder/../../secret'],
    ['with .. that stays inside', () => 'coder/../coder'],
    ['with .. and backslashes', () => 'coder\\..\\..\\secret'],
    ['of a folder whose name begins alike', () => join(folder, 'experts-of-others')],
    ['that is a link out', () => 'out'],
    ['that is a relative link out', () => 'out-relative'],
    ['through a link out', () => 'out/adapter_config.json'],
    ['with a file that is a link out', () => 'mixed'],
    ['that is a link to itself', () => 'loop'],
    ['of the folder itself', () => '.'],
    ['file://', () => 'file:///etc/passwd'],
    ['FILE:', () => 'FILE:/etc/passwd'],
    ['http:// of a private address', () => 'http://169.254.169.254/latest/meta-data'],
    ['https://', () => 'https://example.com/adapter'],
    ['hf://', () => 'hf://org/adapter'],
    ['data:', () => 'data:text/plain,x'],
    ['of a network share', () => '//server/share'],
    ['of a Windows share', () => '\\\\server\\share'],
    ['of a home folder', () => '~root/adapter'],
    ['with NUL', () => 'coder\0.json'],
    ['with a line break', () => 'coder\nforged'],
    ['with an escape code', () => '\u001b[31mcoder'],
    ['of 10,000 characters', () => 'a/'.repeat(5000)],
    ['of half a surrogate', () => 'a\ud800'],
    ['empty', () => ' '],
  ])('%s', async (_, path) => {
    const error = await refuse(path())
    expect([error.status, error.code]).toEqual([400, 'path_not_allowed'])
    const body = JSON.stringify(createErrorBody(error))
    expect(body).not.toContain(folder)
    expect(body.length).toBeLessThan(32_000)
  })
})

describe('a path inside', () => {
  it.each([['nobody'], ['coder/nobody'], ['poet.gguf/deep'], ['a'.repeat(300)]])(
    '%s that is not there is 404',
    async (path) => {
      const error = await refuse(path)
      expect([error.status, error.code]).toEqual([404, 'path_not_found'])
    },
  )
})

it('an allowed folder must be there', async () =>
  expect(createAllowedFolders([join(folder, 'nobody')])).rejects.toThrow(NotFoundError))
