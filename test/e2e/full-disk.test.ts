// A disk that is full at any step of writing: every command that writes leaves either the old files
// or its complete result, and no temporary file. The file layer fails at the k-th call.

import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type * as files from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { loadAdapter, loadModel, saveAdapter, type LoadedModel } from '../../src/node/index.ts'
import { writeAdapterFormats } from '../support/adapter-formats.ts'
import { graftHere, jsonl, scratchFolder, storyRows } from '../support/cli.ts'

const layer = vi.hoisted(() => ({ calls: 0, failAt: Infinity }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof files>()
  // what is written beside the results, such as who is running, may fail without an error
  const count = (path: unknown): void => {
    if (!String(path).includes('graft-test-') || ++layer.calls !== layer.failAt) return
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  }
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      if (args[1] !== 'w') return real.open(...args)
      count(args[0])
      const file = await real.open(...args)
      return {
        write: async (bytes: Uint8Array, offset: number, length: number) => {
          count(args[0])
          return file.write(bytes, offset, length)
        },
        sync: () => file.sync(),
        close: () => file.close(),
      }
    },
    rename: async (...args: Parameters<typeof real.rename>) => {
      count(args[0])
      return real.rename(...args)
    },
  }
})

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const base = ['--model', 'stories260k']
let model: LoadedModel
const create = (seed: number) =>
  initializeAdapter('lora', { targets: ['q_proj'], start: 'random', rank: 2 }, model.base.graph, {
    seed,
  })

beforeAll(async () => {
  model = await loadModel('stories260k', { threads: 1 })
  await writeAdapterFormats(scratch.path, create(3), model.base.graph)
  await writeFile(at('peft', 'graft.json'), JSON.stringify({ version: 1, base: 'stories260k' }))
  await writeFile(at('rows.jsonl'), jsonl(storyRows.slice(0, 4)))
  await graftHere([
    'merge',
    at('peft'),
    '--into-base',
    '--prompts',
    '0',
    '--out',
    at('tuned'),
    ...base,
  ])
})
afterAll(async () => {
  await model.dispose()
  scratch.remove()
})

const commands: Readonly<Record<string, (out: string) => readonly string[]>> = {
  merge: (out) => ['merge', at('peft'), '--out', out],
  'merge --into-base': (out) => [
    'merge',
    at('peft'),
    '--into-base',
    '--prompts',
    '0',
    '--out',
    out,
    ...base,
  ],
  compress: (out) => ['compress', at('peft'), '--rank', '1', '--out', out],
  extract: (out) => [
    'extract',
    '--base',
    'stories260k',
    '--tuned',
    at('tuned'),
    '--rank',
    '2',
    '--out',
    out,
  ],
  convert: (out) => ['convert', at('peft'), out, '--dtype', 'int8'],
  'convert to GGUF': (out) => ['convert', at('peft'), `${out}.gguf`, '--prompts', '0', ...base],
}

describe('a command whose disk is full at any step leaves nothing', () => {
  it.each(Object.entries(commands))('%s', async (_, command) => {
    Object.assign(layer, { calls: 0, failAt: Infinity })
    const before = await readdir(scratch.path)
    const done = await graftHere(command(at('result')))
    expect(done.stderr.match(/graft: .*/s)?.[0] ?? '').toBe('')
    const steps = layer.calls
    expect(steps).toBeGreaterThan(2)
    for (const name of ['result', 'result.gguf'])
      await rm(at(name), { recursive: true, force: true })
    for (let failAt = 1; failAt <= steps; failAt++) {
      Object.assign(layer, { calls: 0, failAt })
      const { code, stderr } = await graftHere(command(at('result')))
      expect(stderr).toMatch(/cannot be written: disk full \(ENOSPC\)/)
      expect(code).toBe(1)
      expect(await readdir(scratch.path)).toEqual(before)
    }
  })
})

it('a training run leaves whole files only', async () => {
  const command = [
    'train',
    '--data',
    at('rows.jsonl'),
    '--steps',
    '1',
    '--threads',
    '1',
    '--out',
    at('taught'),
    ...base,
  ]
  Object.assign(layer, { calls: 0, failAt: Infinity })
  expect((await graftHere(command)).code).toBe(0)
  const steps = layer.calls
  const names = (await readdir(at('taught'), { recursive: true })).sort()
  // a run takes a second; the steps between are writes of the same kinds of files
  const tried = [1, 2, 3, Math.ceil(steps / 2), steps - 4, steps - 2, steps]
  for (const failAt of tried) {
    await rm(at('taught'), { recursive: true, force: true })
    Object.assign(layer, { calls: 0, failAt })
    expect((await graftHere(command)).stderr).toMatch(/disk full \(ENOSPC\)/)
    layer.failAt = Infinity
    const left: string[] = await readdir(at('taught'), { recursive: true }).catch(() => [])
    expect(left.filter((name) => !names.includes(name))).toEqual([])
    const kind = left.includes('adapter_config.json')
      ? (await loadAdapter(at('taught'))).kind
      : 'lora'
    expect(kind).toBe('lora')
    const notes = left.includes('expert.json')
      ? await readFile(at('taught', 'expert.json'), 'utf8')
      : '{"layout": 1}'
    expect(JSON.parse(notes)).toMatchObject({ layout: 1 })
  }
})

it('an adapter that replaces another is the old one or the new one, never a mixture', async () => {
  const old = create(1)
  const next = { ...create(2), config: { ...create(2).config, alpha: 32 } }
  const path = at('replaced')
  Object.assign(layer, { calls: 0, failAt: Infinity })
  await saveAdapter(old, path)
  layer.calls = 0
  await saveAdapter(next, path)
  const steps = layer.calls
  const read = async (): Promise<unknown> => {
    const { config, tensors } = await loadAdapter(path)
    return [(config as { alpha?: number }).alpha, tensors]
  }
  for (let failAt = 1; failAt <= steps; failAt++) {
    layer.failAt = Infinity
    await saveAdapter(old, path)
    Object.assign(layer, { calls: 0, failAt })
    await expect(saveAdapter(next, path)).rejects.toThrow('disk full (ENOSPC)')
    layer.failAt = Infinity
    const isLast = failAt === steps // the tensors were moved: the loader moves the configuration
    expect(await read()).toEqual(isLast ? [32, next.tensors] : [4, old.tensors])
    expect((await readdir(path)).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ])
  }
})
