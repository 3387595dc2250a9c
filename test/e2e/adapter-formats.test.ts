// Every command that takes the path of an adapter takes every format of one, and does the same as
// with the PEFT folder. One table: a command here, the formats below.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { compress, loadAdapter, loadModel, merge, type LoadedModel } from '../../src/node/index.ts'
import { measureAdapterDifference } from '../../src/merge/adapter-change.ts'
import { writeAdapterFormats } from '../support/adapter-formats.ts'
import { graftHere, jsonl, scratchFolder, storyRows } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const model = ['--model', 'stories260k']
const data = ['--data', at('rows.jsonl')]
let opened: LoadedModel

beforeAll(async () => {
  opened = await loadModel('stories260k', { threads: 1 })
  const options = { targets: ['q_proj'], start: 'random' as const, rank: 2 }
  const adapter = initializeAdapter('lora', options, opened.base.graph, { seed: 3 })
  await writeAdapterFormats(scratch.path, adapter, opened.base.graph)
  await writeFile(at('rows.jsonl'), jsonl(storyRows.slice(0, 8)))
})
afterAll(async () => {
  await opened.dispose()
  scratch.remove()
})

const formats = ['peft', 'x.gguf', 'mlx', 'Modelfile']

/** A command with an adapter in it; `out` is a free path. */
type Command = (adapter: string, out: string) => readonly string[]
const steps = ['--steps', '1', '--max-tokens', '32', '--threads', '1']

/** What must come out the same, whatever the format; commands that write are read back below. */
const answering: Readonly<Record<string, Command>> = {
  run: (path) => ['run', 'Lily', '--max-tokens', '4', '--temperature', '0', '-a', path, ...model],
  'run, mixed': (path) => [
    'run',
    'Lily',
    '--max-tokens',
    '4',
    '-a',
    `${path}=0.5`,
    ...model,
    '--temperature',
    '0',
  ],
  eval: (path) => ['eval', ...data, '--rows', '2', '--adapter', path, ...model],
  'eval --against': (path) => [
    'eval',
    ...data,
    '--rows',
    '2',
    '-a',
    at('peft'),
    '--against',
    path,
    ...model,
  ],
}

const writing: Readonly<Record<string, Command>> = {
  merge: (path, out) => ['merge', path, at('peft'), '--weights', '0.5,0.5', '--out', out, ...model],
  compress: (path, out) => ['compress', path, '--rank', '2', '--out', out, ...model],
  convert: (path, out) => ['convert', path, out, '--prompts', '0', ...model],
  'train --from': (path, out) => [
    'train',
    '--from',
    path,
    ...data,
    '--out',
    out,
    ...steps,
    '--learning-rate',
    '1e-9',
    ...model,
  ],
}

const passing: Readonly<Record<string, Command>> = {
  'merge --into-base': (path, out) => [
    'merge',
    path,
    '--into-base',
    '--prompts',
    '0',
    '--out',
    out,
    ...model,
  ],
  'train --teacher': (path, out) => [
    'train',
    '--teacher',
    path,
    ...data,
    '--out',
    out,
    ...steps,
    ...model,
  ],
  'train --plan': (path, out) => [
    'train',
    '--plan',
    '--from',
    path,
    ...data,
    '--out',
    out,
    ...steps,
    ...model,
  ],
  inspect: (path) => ['inspect', path, ...model],
}

const runs = (table: Readonly<Record<string, Command>>) =>
  Object.entries(table).flatMap(([name, command]) =>
    formats.map((format) => [name, format, command] as const),
  )
let free = 0
const run = async (command: Command, format: string) => {
  const out = at(`out-${++free}`)
  const result = await graftHere(command(at(format), out))
  expect(result.stderr.match(/graft: .*/s)?.[0] ?? '').toBe('')
  expect(result.code).toBe(0)
  return { ...result, out }
}

describe('graft answers with an adapter of any format as with the PEFT folder', () => {
  it.each(runs(answering))('%s: %s', async (_, format, command) => {
    const [expected, got] = [await run(command, 'peft'), await run(command, format)]
    // a table's columns are as wide as the paths in its head
    const strip = (text: string, name: string): string =>
      text.replaceAll(at(name), '').replaceAll(at('peft'), '').replaceAll(/\s+/g, ' ')
    expect(strip(got.stdout, format)).toBe(strip(expected.stdout, 'peft'))
  })
})

describe('graft makes of an adapter of any format what it makes of the PEFT folder', () => {
  it.each(runs(writing))('%s: %s', async (_, format, command) => {
    const { out } = await run(command, format)
    const { overall } = measureAdapterDifference(
      await loadAdapter(at('peft')),
      await loadAdapter(out),
    )
    expect(overall).toBeLessThan(1e-4)
  })
  it.each(runs(passing))('%s: %s', async (_, format, command) => {
    await run(command, format)
  })
  it('adapters: lists them all', async () => {
    const { stdout } = await graftHere(['adapters', scratch.path, '--json'])
    const { saved } = JSON.parse(stdout) as {
      saved: { path: string; kind: string; problem?: string }[]
    }
    for (const name of ['peft', 'x.gguf', 'mlx'])
      expect(saved).toContainEqual(expect.objectContaining({ path: at(name), kind: 'lora' }))
  })
})

describe('the library takes paths of any format', () => {
  it.each(formats)('merge and compress: %s', async (format) => {
    const expected = await loadAdapter(at('peft'))
    const base = 'stories260k'
    const merged = await merge([at(format)], { base })
    const { adapter: small } = await compress(at(format), { rank: 2, base })
    for (const adapter of [merged, small])
      expect(measureAdapterDifference(expected, adapter).overall).toBeLessThan(1e-4)
  })

  it('finds the base that a Modelfile names, and reports where none is named', async () => {
    expect((await merge([at('Modelfile')])).tensors.size).toBe(10)
    await expect(merge([at('x.gguf'), at('mlx')])).rejects.toThrow(
      'x.gguf, ' + at('mlx') + ': files of llama.cpp and mlx-lm are read for a base',
    )
  })
})
