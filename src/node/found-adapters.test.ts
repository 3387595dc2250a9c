// Adapters as they are found, through the model that users hold: what is read from disk is served,
// trained on and saved.

import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { toFloat32 } from '../formats/convert.ts'
import { furthest, parity, readTensors, rowsOf } from '../../test/support/adapters.ts'
import { scratchFolder } from '../../test/support/cli.ts'
import { loadAdapter, loadModel, saveAdapter, train, type LoadedModel } from './index.ts'

const scratch = scratchFolder()
let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k', { threads: 1 })
})

const readExpected = (name: string) =>
  readTensors(new URL(`found/${name}/expected.safetensors`, parity))
const readAdapter = (name: string) => loadAdapter(fileURLToPath(new URL(`found/${name}`, parity)))

describe.each(['embedding_beside', 'saved_both', 'saved_embedding', 'tokens'])('%s', (name) => {
  it('is served as PEFT serves it, token by token too', async () => {
    const adapter = await readAdapter(name)
    const expected = await readExpected(name)
    const ids = rowsOf(expected.get('input_ids')!)
    const logits = await model.logits(ids, { adapter })
    expect(furthest(logits.data, toFloat32(expected.get('logits')!))).toBeLessThan(1e-3)
    const text = await model.complete('Lily', { adapter, maxTokens: 4, temperature: 0 })
    const exact = await model.complete('Lily', {
      adapter,
      maxTokens: 4,
      temperature: 0,
      exact: true,
    })
    expect(text).toBe(exact)
  })
})

it('trained tokens are trained, saved and read again', async () => {
  const config = { rank: 2, targets: ['q_proj'], trainableTokens: [262, 400] }
  const data = [{ text: 'Lily had a cat. The cat was happy.' }]
  const { adapter } = await train({ model, data, steps: 5, adapter: { kind: 'lora', config } }).done
  const key = 'base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta'
  const rows = toFloat32(adapter.tensors.get(key)!)
  const table = toFloat32(await model.base.weights.read('model.embed_tokens.weight'))
  expect(
    furthest(rows, [...table.subarray(262 * 64, 263 * 64), ...table.subarray(400 * 64, 401 * 64)]),
  ).toBeGreaterThan(0)
  await saveAdapter(adapter, scratch.path)
  const loaded = await loadAdapter(scratch.path)
  expect(loaded.config.trainableTokens).toEqual([262, 400])
  expect(loaded.config.peft).toMatchObject({ trainable_token_indices: [262, 400] })
  expect(loaded.tensors).toEqual(adapter.tensors)
})
