// Commands that are killed while they write, twenty times each at a random moment: the result is
// complete or absent, and the next run removes the remains.

import { readdirSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { loadAdapter, loadModel } from '../../src/node/index.ts'
import { openFileSource } from '../../src/node/files/file-source.ts'
import { openSafetensors } from '../../src/formats/safetensors/reader.ts'
import { writeAdapterFormats } from '../support/adapter-formats.ts'
import { graft, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
beforeAll(async () => {
  const model = await loadModel('stories260k', { threads: 1 })
  const options = { targets: 'all-linear', start: 'random' as const, rank: 32 }
  const adapter = initializeAdapter('lora', options, model.base.graph, { seed: 3 })
  await writeAdapterFormats(scratch.path, adapter, model.base.graph)
  await model.dispose()
})
afterAll(() => scratch.remove())

/** Kills the process some milliseconds after the first file appears beside `out`. */
async function killWhileWriting(args: readonly string[], before: number, delayMs: number) {
  return graft(args, {
    onStart(child) {
      const timer = setInterval(() => {
        if (readdirSync(scratch.path).length === before) return
        clearInterval(timer)
        setTimeout(() => child.kill('SIGKILL'), delayMs)
      }, 0)
      child.on('exit', () => clearInterval(timer))
    },
  })
}

const commands = {
  merge: (out: string) => ['merge', at('peft'), '--out', out],
  'merge --into-base': (out: string) => [
    ...['merge', at('peft'), '--into-base', '--prompts', '0'],
    ...['--out', out, '--model', 'stories260k'],
  ],
}
const checks = {
  merge: async (out: string) => expect((await loadAdapter(out)).tensors.size).toBeGreaterThan(0),
  'merge --into-base': async (out: string) => {
    const file = await openSafetensors(await openFileSource(join(out, 'model.safetensors')))
    await file.close()
    await stat(join(out, 'config.json'))
  },
}

describe('killed while it writes', () => {
  it.each(Object.keys(commands) as (keyof typeof commands)[])(
    '%s leaves its whole result or nothing',
    async (name) => {
      const { uniform } = random(7)
      const out = at('result')
      const names = await readdir(scratch.path)
      let killed = 0
      for (let i = 0; i < 20; i++) {
        const before = (await readdir(scratch.path)).length
        const { signal } = await killWhileWriting(commands[name](out), before, 12 * uniform())
        if (signal === 'SIGKILL') killed++
        if (await stat(out).catch(() => undefined)) {
          await checks[name](out)
          await rm(out, { recursive: true })
        }
      }
      expect(killed).toBeGreaterThan(5)
      await succeed(commands[name](out))
      await checks[name](out)
      expect(await readdir(scratch.path)).toEqual([...names, 'result'].toSorted())
      await rm(out, { recursive: true })
    },
    180_000,
  )
})
