// Language models inside of multimodal checkpoints.

import { describe, expect, it } from 'vitest'
import { UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { recentBase } from '../../../test/support/adapters.ts'
import { openBaseModel } from '../base-model.ts'
import { memoryFolder } from '../testing.ts'

/** The tiny Qwen 3.5 in a wrapper that names its tensors so. */
async function openWrapped(rename: (name: string) => string, more: object = {}) {
  const { model, weights } = await recentBase('qwen3_5_text')
  const { bos_token_id, ...text } = model.config.source
  const config = { model_type: 'qwen3_5', text_config: text, bos_token_id, ...more }
  const tensors = new Map<string, Tensor>(
    [...weights].map(([name, tensor]) => [rename(name), tensor]),
  )
  tensors.set('model.visual.blocks.0.attn.qkv.weight', f32([2, 2]))
  tensors.set('mtp.fc.weight', f32([2, 2]))
  const files = { 'config.json': JSON.stringify(config) }
  const folder = memoryFolder('wrapped', files, tensors)
  return { base: await openBaseModel({ name: 'wrapped', folder }), weights, bos: bos_token_id }
}

describe('a multimodal checkpoint', () => {
  it.each([
    ['model.language_model', (name: string) => name.replace(/^model\./, 'model.language_model.')],
    ['language_model', (name: string) => `language_model.${name}`],
  ])('is opened as its language model, named %s', async (_, rename) => {
    const { base, weights, bos } = await openWrapped(rename)
    expect(base.config).toMatchObject({ modelType: 'qwen3_5_text', bosTokenId: bos })
    expect([...base.weights.tensors.keys()].sort()).toEqual([...weights.keys()].sort())
    const name = 'model.layers.0.linear_attn.A_log'
    expect((await base.weights.read(name)).data).toEqual(weights.get(name)!.data)
    expect(base.config.source['model_type']).toBe('qwen3_5_text')
  })

  it('of an unknown language model names its type', async () => {
    const folder = memoryFolder('wrapped', {
      'config.json': JSON.stringify({ model_type: 'llava', text_config: { model_type: 'mamba' } }),
    })
    await expect(openBaseModel({ name: 'wrapped', folder })).rejects.toThrow(UnsupportedError)
    await expect(openBaseModel({ name: 'wrapped', folder })).rejects.toThrow('"llava"')
  })
})
