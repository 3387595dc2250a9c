import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NumericError } from '../base/errors.ts'
import { f32 } from '../base/tensor.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { loadAdapter, saveAdapter } from './adapters.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-adapters-'))
})
afterAll(() => rm(directory, { recursive: true }))

const adapter = (value: number) => ({
  kind: 'lora',
  config: getKind('lora').complete({ rank: 1, targets: ['q'] }),
  tensors: new Map([
    ['base_model.model.q.lora_A.weight', f32([1, 4], [1, 2, 3, value])],
    ['base_model.model.q.lora_B.weight', f32([2, 1], [1, value])],
  ]),
})

describe('saveAdapter into a directory', () => {
  it('leaves one file of tensors, whatever was there before', async () => {
    const path = join(directory, 'expert')
    for (const [dtype, file] of [
      [undefined, 'adapter_model.safetensors'],
      ['int4', 'adapter_model.int4.safetensors'],
      ['int8', 'adapter_model.int8.safetensors'],
      ['f16', 'adapter_model.safetensors'],
    ] as const) {
      await saveAdapter(adapter(4), path, { dtype })
      expect((await readdir(path)).sort()).toEqual(['adapter_config.json', file])
      expect((await loadAdapter(path)).tensors.size).toBe(2)
    }
  })

  it('writes nothing if a value is NaN or infinite', async () => {
    const path = join(directory, 'broken')
    await expect(saveAdapter(adapter(NaN), path, { dtype: 'int4' })).rejects.toThrow(NumericError)
    await expect(saveAdapter(adapter(1e6), path, { dtype: 'f16' })).rejects.toThrow('65504')
    expect(await readdir(directory)).not.toContain('broken')
  })
})
