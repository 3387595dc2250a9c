import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, beforeAll, describe, expect, it } from 'vitest'
import { transposeValues } from '../../adapters/kinds/matrices.ts'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import { measureAdapterChange } from '../../merge/index.ts'
import { loadAdapter } from '../../node/adapters.ts'
import { findAdapter } from './inspect-sources.ts'

const parity = (name: string): string =>
  new URL(`../../../test/parity/${name}`, import.meta.url).pathname
let directory: string
let path: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-sources-'))
})
beforeEach(async () => {
  path = await mkdtemp(join(directory, 'x'))
})
afterAll(() => rm(directory, { recursive: true }))

const turned = ({ shape, ...tensor }: Tensor): Tensor =>
  f32(
    [shape[1]!, shape[0]!],
    transposeValues(toFloat32({ shape, ...tensor }), shape[0]!, shape[1]!),
  )

/** A PEFT folder as mlx-lm would have saved it. */
async function writeMlx(
  name: string,
  parameters: object,
  change: (tensors: Map<string, Tensor>) => void = () => undefined,
): Promise<void> {
  const { tensors, kind } = await loadAdapter(parity(name))
  const own = new Map(
    [...tensors].map(([key, tensor]): [string, Tensor] => {
      const short = key.replace('base_model.model.', '')
      if (short.endsWith('lora_magnitude_vector'))
        return [short.replace('lora_magnitude_vector', 'm'), tensor]
      return [
        short.replace('lora_A.weight', 'lora_a').replace('lora_B.weight', 'lora_b'),
        turned(tensor),
      ]
    }),
  )
  change(own)
  await writeFile(join(path, 'adapters.safetensors'), Buffer.concat([...encodeSafetensors(own)]))
  await writeFile(
    join(path, 'adapter_config.json'),
    JSON.stringify({ fine_tune_type: kind, num_layers: 5, lora_parameters: parameters }),
  )
}

const open = async () => (await findAdapter(path))!.format.open(path, undefined)

describe('an mlx-lm folder', () => {
  it.each([
    ['lora_layers', { rank: 4, scale: 1, dropout: 0 }],
    ['dora_r6', { rank: 6, scale: 2, dropout: 0 }],
  ])('of %s has the modules and norms of the same adapter in PEFT’s', async (name, parameters) => {
    await writeMlx(name, parameters)
    const { format, adapter, stored } = await open()
    const expected = await loadAdapter(parity(name))
    expect([format, adapter.kind]).toEqual(['mlx-lm', expected.kind])
    const norms = (changes: ReturnType<typeof measureAdapterChange>) =>
      Object.fromEntries(changes.map(({ module, norm }) => [module.path, Math.round(1e4 * norm)]))
    expect(norms(measureAdapterChange(adapter))).toEqual(norms(measureAdapterChange(expected)))
    expect([...stored.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(
      [...expected.tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0),
    )
  })

  it('with half a pair, a stranger or no scale is refused with all of it', async () => {
    let half = ''
    let other = ''
    await writeMlx('lora_layers', { scale: 1 }, (tensors) => {
      half = [...tensors.keys()].find((key) => key.endsWith('lora_a'))!
      tensors.delete(half)
      other = [...tensors.keys()].findLast((key) => key.endsWith('lora_b'))!
      tensors.delete(other)
      tensors.set('model.norm.weight', f32([2]))
    })
    const error = await open().catch((reason: Error) => reason)
    expect(error).toBeInstanceOf(FormatError)
    expect(String(error)).toContain('model.norm.weight: no part of a LoRA')
    for (const module of [half.replace('.lora_a', ''), other.replace('.lora_b', '')])
      expect(String(error)).toContain(`${module}: has only one of its two matrices`)
    await writeMlx('lora_layers', {})
    await expect(open()).rejects.toThrow('lora_parameters.scale is not a number')
  })
})

describe('adapterAt', () => {
  it('knows PEFT’s folders, and files in them', async () => {
    expect(await findAdapter(parity('lora_qv_r8'))).toMatchObject({
      path: parity('lora_qv_r8'),
      format: { name: 'peft' },
    })
    expect(await findAdapter(join(parity('lora_qv_r8'), 'adapter_config.json'))).toMatchObject({
      path: parity('lora_qv_r8'),
    })
  })
  it('leaves models and what is not there to others', async () => {
    expect(await findAdapter('stories260k')).toBeUndefined()
    expect(await findAdapter(directory)).toBeUndefined()
    expect(await findAdapter(join(directory, 'nothing.gguf'))).toBeUndefined()
  })
  it('reports that a file of tensors alone is not an adapter', async () => {
    await writeFile(
      join(path, 'adapter_model.safetensors'),
      await readFile(join(parity('lora_qv_r8'), 'adapter_model.safetensors')),
    )
    await expect(findAdapter(join(path, 'adapter_model.safetensors'))).rejects.toThrow(
      NotFoundError,
    )
  })
})
