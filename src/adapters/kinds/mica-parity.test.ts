// MiCA's start (init_lora_weights: mica) against PEFT: the directions that it takes from the base,
// what is trained, and what is served.

import { beforeAll, describe, expect, it } from 'vitest'
import { type Base, folderAt, parity, storiesBase } from '../../../test/support/adapters.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { type Adapter, listParameterSpecs } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { loadAdapter } from '../files/peft.ts'
import { getKind } from './kind-table.ts'
import { parityContract } from './parity.contract.ts'

parityContract({ name: 'mica/linear', base: storiesBase })
parityContract({
  name: 'mica/embedding',
  base: storiesBase,
  skip: {
    merge: 'the embedding of this base is tied to its head',
    slots: 'an embedding is served by an attached graph',
  },
})

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

const create = (options: object): Adapter =>
  initializeAdapter('lora', { start: 'mica', ...options }, base.model, { weightOf: base.weightOf })

describe('a start from minor components', () => {
  it.each([
    ['linear', { rank: 3, targets: ['k_proj', 'down_proj', 'up_proj'], layers: [1] }],
    ['embedding', { rank: 2, targets: ['embed_tokens'] }],
  ])('takes the directions of PEFT, up to their signs: %s', async (name, options) => {
    const theirs = await loadAdapter(folderAt(new URL(`mica/${name}/`, parity)))
    const fresh = create(options)
    expect([...fresh.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort())
    const isA = (key: string): boolean => /lora_(embedding_)?A/.test(key)
    const zeros = [...fresh.tensors].filter(([key]) => isA(key))
    expect(zeros.every(([, { data }]) => data.every((value) => Number(value) === 0))).toBe(true)
    for (const [key, { shape, data }] of [...fresh.tensors].filter((entry) => !isA(entry[0]))) {
      const own = data as Float32Array
      const [rows, rank] = shape as [number, number]
      const wanted = toFloat32(theirs.tensors.get(key)!)
      for (let r = 0; r < rank; r++) {
        let cosine = 0
        for (let o = 0; o < rows; o++) cosine += own[o * rank + r]! * wanted[o * rank + r]!
        expect(Math.abs(cosine), `${key} ${r}`).toBeCloseTo(1, 4)
      }
    }
  })

  it('trains A alone', () => {
    const adapter = create({ rank: 2, targets: ['q_proj'], loraBias: true })
    const trained = [...listParameterSpecs(base.model, adapter)].flatMap(([key, spec]) =>
      spec.trainable ? [key] : [],
    )
    expect(trained).toHaveLength(5)
    expect(trained.every((key) => key.endsWith('lora_A.weight'))).toBe(true)
  })

  it('is refused for a rank above the weight’s, and for DoRA', () => {
    expect(() => create({ rank: 33, targets: ['k_proj'] })).toThrow(
      'k_proj: mica takes 33 of the singular directions of its weight, which has 32',
    )
    expect(() => getKind('dora').complete({ start: 'mica' })).toThrow('only a plain LoRA starts')
    const json = { peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['q_proj'] }
    const file = { ...json, use_dora: true, init_lora_weights: 'mica' }
    expect(() => getKind('dora').readConfig(file, 'x')).toThrow('"mica" is not supported')
  })
})
