import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { succeed } from '../../../test/support/cli.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-code-'))
  folders.push(folder)
  return folder
}

it('a command keeps its compiled code in the cache of Graft', async () => {
  const cache = await makeFolder()
  await succeed(['--help'], { environment: { GRAFT_CACHE: cache, NODE_COMPILE_CACHE: '' } })
  expect(await readdir(join(cache, 'code'))).not.toEqual([])
})

it('a folder that NODE_COMPILE_CACHE names comes first', async () => {
  const [cache, code] = [await makeFolder(), await makeFolder()]
  await succeed(['--help'], { environment: { GRAFT_CACHE: cache, NODE_COMPILE_CACHE: code } })
  expect(await readdir(code)).not.toEqual([])
  expect(await readdir(cache)).not.toContain('code')
})

it('a command runs where the folder cannot be made', async () => {
  const cache = await makeFolder()
  const file = join(cache, 'taken')
  await writeFile(file, '')
  const { stdout } = await succeed(['--help'], { environment: { NODE_COMPILE_CACHE: file } })
  expect(stdout).toContain('graft')
  expect((await stat(file)).size).toBe(0)
})
