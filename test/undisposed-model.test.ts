// A model that was not disposed of: its files are closed without Node's warning about descriptors.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createFileSink } from '../src/node/files/file-sink.ts'
import { loadModel } from '../src/node/index.ts'
import { storiesGguf } from './support/stories-gguf.ts'
import { root } from './support/sources.ts'

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-undisposed-'))
  cpSync(join(root, 'src/catalogue/models/stories260k'), join(folder, 'model'), { recursive: true })
  const model = await loadModel('stories260k')
  await createFileSink(folder).write('model.gguf', await storiesGguf(model.base))
  await model.dispose()
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Loads and uses a model, forgets it, collects garbage; prints warnings and files still open. */
const program = `
  import { readdirSync, readlinkSync } from 'node:fs'
  process.on('warning', ({ message }) => console.log('warning:', message))
  const { loadModel } = await import(process.argv[1])
  const use = async (path) => (await (await loadModel(path)).logits([[1, 2]])).shape
  console.log(...(await use(process.argv[2])))
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.()
    await new Promise((done) => setTimeout(done, 10))
  }
  const open = () => readdirSync('/proc/self/fd').flatMap((fd) => {
    try { return [readlinkSync('/proc/self/fd/' + fd)] } catch { return [] }
  })
  if (globalThis.gc && process.platform === 'linux')
    for (const path of open()) if (path.startsWith(process.argv[2])) console.log('open:', path)
`

const run = (path: string, ...flags: string[]): string => {
  const entry = join(root, 'src/node/index.ts')
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, '--input-type=module', '--eval', program, entry, path],
    { encoding: 'utf8' },
  )
  return stdout + stderr
}

it.each(['model', 'model.gguf'])('%s: garbage collection closes its files, silently', (name) => {
  expect(run(join(folder, name), '--expose-gc')).toBe('1 2 512\n')
})
it.each(['model', 'model.gguf'])('%s: the process ends silently', (name) => {
  expect(run(join(folder, name))).toBe('1 2 512\n')
})
