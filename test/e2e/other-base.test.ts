// An adapter with another base than that of its training is refused with the names of both,
// wherever that can be detected: by the hash in its metadata, and by its copies of base weights.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/adapter.ts'
import { f32 } from '../../src/base/tensor.ts'
import { toFloat32 } from '../../src/formats/convert.ts'
import {
  createAdapter,
  loadAdapter,
  loadModel,
  type LoadedModel,
  merge,
  mergeIntoBase,
  saveAdapter,
  train,
} from '../../src/node/index.ts'
import { graftHere, jsonl, scratchFolder, storyRows } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const data = ['--data', at('rows.jsonl')]
const steps = ['--steps', '1', '--max-tokens', '32', '--threads', '1']
let model: LoadedModel

beforeAll(async () => {
  await writeFile(at('rows.jsonl'), jsonl(storyRows.slice(0, 8)))
  // the same model with its numbers rounded: another form of it, and another hash
  model = await loadModel('stories260k', { threads: 1 })
  await mergeIntoBase([await createAdapter('lora', { rank: 1 }, model)], {
    base: 'stories260k',
    out: at('other'),
    dtype: 'bf16',
    prompts: 0,
  })
  const { code, stderr } = await graftHere([
    'train',
    ...data,
    '--out',
    at('mine'),
    ...steps,
    '--model',
    'stories260k',
  ])
  if (code !== 0) throw new Error(stderr)
})
afterAll(async () => {
  await model.dispose()
  scratch.remove()
})

const other = ['--model', at('other')]
const commands: Readonly<Record<string, (out: string) => readonly string[]>> = {
  'train --from': (out) => [
    'train',
    '--from',
    at('mine'),
    ...data,
    '--out',
    out,
    ...steps,
    ...other,
  ],
  'train --teacher': (out) => [
    'train',
    '--teacher',
    at('mine'),
    ...data,
    '--out',
    out,
    ...steps,
    ...other,
  ],
  eval: () => ['eval', '--adapter', at('mine'), ...data, '--rows', '2', ...other],
  merge: (out) => ['merge', at('mine'), '--out', out, ...other],
  'merge --into-base': (out) => [
    'merge',
    at('mine'),
    '--into-base',
    '--prompts',
    '0',
    '--out',
    out,
    ...other,
  ],
  'compress --data': (out) => [
    'compress',
    at('mine'),
    '--rank',
    '1',
    ...data,
    '--out',
    out,
    ...other,
  ],
}

describe('by the hash of the base', () => {
  it.each(Object.entries(commands))(
    '%s refuses, unless any base is right',
    async (name, command) => {
      const refused = await graftHere(command(at(`refused ${name}`)))
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain('stories260k')
      expect(refused.stderr).toMatch(/other"? \(sha-256|\(other\)/)
      expect(refused.stderr).toMatch(/--any-base|anyBase/)
      const { code, stderr } = await graftHere([...command(at(`done ${name}`)), '--any-base'])
      expect(stderr.match(/graft: .*/s)?.[0] ?? '').toBe('')
      expect(code).toBe(0)
    },
  )

  it('run warns if --model names the other base, and answers', async () => {
    const { code, stderr } = await graftHere([
      'run',
      'Lily',
      '--max-tokens',
      '2',
      '-a',
      at('mine'),
      ...other,
    ])
    expect(code).toBe(0)
    expect(stderr).toMatch(/learned on "stories260k" \(sha-256 .*is used with "other"/)
  })

  it('the library refuses it as a reference too, and merges only with anyBase', async () => {
    const adapter = await loadAdapter(at('mine'))
    const pairs = [{ prompt: 'Lily', chosen: ' sat.', rejected: ' ran.' }]
    const options = { model: at('other'), data: pairs, loss: 'dpo', steps: 1 } as const
    await expect(train({ ...options, reference: adapter }).done).rejects.toThrow(
      'The adapter was trained on another base',
    )
    await expect(merge([adapter], { base: at('other') })).rejects.toThrow('sha-256 of the base')
    expect((await merge([adapter], { base: at('other'), anyBase: true })).kind).toBe('lora')
  })
})

describe('by copies of base weights', () => {
  const key = 'base_model.model.model.embed_tokens.base_layer.weight'
  const withCopy = async (factor: number): Promise<Adapter> => {
    const adapter = await createAdapter('lora', { rank: 1, targets: ['embed_tokens'] }, model)
    const table = await model.base.weights.read('model.embed_tokens.weight')
    const copy = f32(
      table.shape,
      toFloat32(table).map((value) => value * factor),
    )
    return { ...adapter, tensors: new Map([...adapter.tensors, [key, copy]]) }
  }

  it('training continues from the base’s own, and refuses others', async () => {
    const rows = [{ text: 'Lily had a cat.' }]
    const run = async (factor: number, path: string) => {
      await saveAdapter(await withCopy(factor), at(path))
      return train({ model, data: rows, steps: 1, adapter: at(path) }).done
    }
    expect((await run(1, 'own')).adapter.kind).toBe('lora')
    await expect(run(1.5, 'others')).rejects.toThrow("50 % away from the base's")
    const { stderr } = await graftHere([
      'train',
      '--from',
      at('others'),
      ...data,
      '--out',
      at('no'),
      ...steps,
      '--model',
      'stories260k',
    ])
    expect(stderr).toContain("50 % away from the base's")
  })

  it('gradients refuse others', async () => {
    await expect(
      model.gradients([[1, 2, 3]], [[1, 2, 3]], { adapter: await withCopy(1.5) }),
    ).rejects.toThrow("50 % away from the base's")
  })
})
