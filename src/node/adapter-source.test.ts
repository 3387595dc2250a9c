// Adapters of llama.cpp and mlx-lm, and Modelfiles, in every place that accepts an adapter.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { writeAdapterFormats } from '../../test/support/adapter-formats.ts'
import { graft, scratchFolder } from '../../test/support/cli.ts'
import { furthest } from '../../test/support/adapters.ts'
import { loadAdapter, loadModel, type LoadedModel } from './index.ts'
import { readModelfile } from './models/modelfile.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k', { threads: 1 })
  const options = { targets: ['q_proj'], start: 'random' as const, rank: 2 }
  const adapter = initializeAdapter('lora', options, model.base.graph, { seed: 3 })
  await writeAdapterFormats(scratch.path, adapter, model.base.graph)
  await writeFile(at('Modelfile.base'), 'FROM stories260k\n')
})

describe('loadAdapter', () => {
  it.each(['x.gguf', 'mlx', 'Modelfile', 'peft/adapter_config.json'])(
    'reads %s for a model',
    async (path) => {
      const ids = [[1, 5, 9, 30]]
      const adapter = await loadAdapter(at(path), { model })
      const expected = await model.logits(ids, { adapter: await loadAdapter(at('peft')) })
      const { data } = await model.logits(ids, { adapter })
      expect(furthest(data, expected.data)).toBeLessThan(1e-3)
    },
  )

  it('reports that they need a model, and what is not an adapter', async () => {
    await expect(loadAdapter(at('x.gguf'))).rejects.toThrow('loadAdapter(path, { model })')
    await expect(loadAdapter(at('mlx'))).rejects.toThrow('is an adapter of mlx-lm')
    await expect(loadAdapter(at('Modelfile.base'), { model })).rejects.toThrow(
      'has no ADAPTER line',
    )
    await expect(loadAdapter(at('mlx', 'x.bin'))).rejects.toThrow('there is no such directory')
    await expect(loadAdapter(at('x.gguf'), { modle: model } as never)).rejects.toThrow(
      'Did you mean "model"?',
    )
  })
})

describe('a Modelfile', () => {
  it('gives its base and its adapter, and names what is left out', async () => {
    expect(await readModelfile(at('Modelfile'))).toEqual({
      base: 'stories260k',
      adapter: at('x.gguf'),
      leftOut: ['PARAMETER', 'SYSTEM'],
    })
  })

  it('is a model where it has no adapter', async () => {
    expect((await loadModel(at('Modelfile.base'))).base.name).toBe('stories260k')
    await expect(loadModel(at('Modelfile'))).rejects.toThrow('Give it with --adapter')
  })
})

describe('graft run', () => {
  const run = (...args: string[]) =>
    graft(['run', 'Lily', '--max-tokens', '6', '--temperature', '0', ...args])

  it('answers with a GGUF adapter, one of mlx-lm, and a Modelfile as with the PEFT folder', async () => {
    const expected = await run('--adapter', at('peft'), '--model', 'stories260k')
    expect(expected.code).toBe(0)
    for (const path of ['x.gguf', 'mlx'])
      expect((await run('--adapter', at(path), '--model', 'stories260k')).stdout).toBe(
        expected.stdout,
      )
    const modelfile = await run('--adapter', at('Modelfile'))
    expect(modelfile.stdout).toBe(expected.stdout)
    expect(modelfile.stderr).toContain(
      'PARAMETER, SYSTEM left out; only FROM and ADAPTER are used.',
    )
  })

  it('reports that a GGUF adapter names no base', async () => {
    const { code, stderr } = await run('--adapter', at('x.gguf'))
    expect(code).toBe(1)
    expect(stderr).toContain('does not say which base it belongs to. Name it with --model.')
  })
})
