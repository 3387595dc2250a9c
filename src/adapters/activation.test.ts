// Activated LoRA compared with PEFT, and the functions that must refuse it.

import { beforeAll, describe, expect, it } from 'vitest'
import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32 } from '../base/tensor.ts'
import { findActivationStart, computeActiveFeed, NEVER } from './activation.ts'
import type { Adapter } from './adapter.ts'
import { initializeAdapter } from './create-adapter.ts'
import { attach } from './attach.ts'
import { mergeWeights } from './merge-weights.ts'
import { completeLora, readLoraConfig, writeLoraConfig } from './kinds/lora-config.ts'
import { getKind, getPeftKind } from './kinds/kind-table.ts'
import { mixServingWeights } from './serving/mixture.ts'
import { parityContract } from './kinds/parity.contract.ts'
import { computeServingWeights } from './serving/serving-weights.ts'
import { attachSlots, computeServingFeeds } from './serving/slots.ts'
import { type Base, folderAt, parity, storiesBase } from '../../test/support/adapters.ts'
import { loadAdapter } from './files/peft.ts'

const merge = 'PEFT cannot merge it: a weight is the same for every token'
for (const name of ['alora/span', 'alora/shift'])
  parityContract({ name, base: storiesBase, skip: { merge } })

describe('the start of a row', () => {
  it('is the first token of the last whole occurrence', () => {
    expect(findActivationStart([1, 7, 8, 7, 8, 3], [7, 8])).toBe(3)
    expect(findActivationStart([7, 8, 7, 8, 7], [7, 8, 7])).toBe(2) // overlapping ones too
    expect(findActivationStart([5], [5])).toBe(0)
    expect(findActivationStart([1, 2, 7], [7, 8])).toBe(NEVER)
    expect(findActivationStart([], [7])).toBe(NEVER)
  })

  it('is counted from the position of the first new token', () => {
    expect([...computeActiveFeed([2, NEVER, 0, 5], 3, [0, 4, 9, 4]).data]).toEqual([
      0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1,
    ])
  })
})

describe('an activated LoRA', () => {
  let base: Base
  let adapter: Adapter
  beforeAll(async () => {
    base = await storiesBase()
    adapter = await loadAdapter(folderAt(new URL('alora/span/', parity)))
  })

  it('keeps its tokens through its file; an empty list is a plain LoRA, as to PEFT', () => {
    expect(adapter.config.invocationTokens).toEqual([17, 44, 17])
    const fresh = initializeAdapter('lora', { invocationTokens: [5, 9] }, base.model, { seed: 1 })
    const json = {
      ...writeLoraConfig(completeLora({ invocationTokens: [5, 9] })),
      peft_type: 'LORA',
    }
    expect(json).toMatchObject({ alora_invocation_tokens: [5, 9] })
    expect(readLoraConfig(json, 'file').invocationTokens).toEqual(fresh.config.invocationTokens)
    expect(
      readLoraConfig({ ...json, alora_invocation_tokens: [] }, 'file').invocationTokens,
    ).toBeUndefined()
    expect(writeLoraConfig(completeLora({}))).not.toHaveProperty('alora_invocation_tokens')
  })

  it('is not merged into a weight, and the error says why', () => {
    expect(() => [...mergeWeights(base.model, adapter, base.weightOf)]).toThrow(UnsupportedError)
    expect(() => [...mergeWeights(base.model, adapter, base.weightOf)]).toThrow(
      /activated by tokens[^]*the same for every token/,
    )
  })

  it('has no place in slots that always act', () => {
    expect(() => computeServingFeeds(adapter, attachSlots(base.model))).toThrow(
      /q_proj: its slot has no activation/,
    )
  })

  it('is asked for only by graphs that hold one', () => {
    const feeds = (options: Readonly<Record<string, unknown>>) =>
      attach(base.model, {
        kind: 'lora',
        config: completeLora(options),
      }).blocks[2]!.graph.inputs.map(({ name }) => name)
    expect(feeds({ targets: ['q_proj'], invocationTokens: [3] })).toContain('active')
    expect(feeds({ targets: ['q_proj'] })).not.toContain('active')
    expect(attachSlots(base.model).blocks[2]!.graph.inputs.map(({ name }) => name)).not.toContain(
      'active',
    )
  })

  it('mixes with adapters of the same tokens only', () => {
    const other = initializeAdapter('lora', { targets: ['up_proj'], start: 'random' }, base.model, {
      seed: 1,
    })
    const same = initializeAdapter(
      'lora',
      { targets: ['q_proj', 'o_proj'], start: 'random', invocationTokens: [17, 44, 17] },
      base.model,
      {
        seed: 1,
      },
    )
    const mixed = (...adapters: Adapter[]) =>
      mixServingWeights(
        adapters.map((one) => ({ forms: computeServingWeights(one, base.model), weight: 0.5 })),
      )
    expect(() => mixed(adapter, other)).toThrow(
      /act from different tokens on: 17,44,17; all tokens/,
    )
    const forms = mixed(adapter, same)
    expect([...forms.values()].every(({ invocation }) => invocation?.length === 3)).toBe(true)
    expect(forms.get('model.layers.1.self_attn.q_proj')!.A.shape).toEqual([12, 64])
  })

  it('refuses embeddings, kinds that PEFT does not activate, and an empty list', () => {
    const make = (kind: string, options: Readonly<Record<string, unknown>>) => () =>
      initializeAdapter(kind, options, base.model, { seed: 1, weightOf: () => f32([0]) })
    expect(make('lora', { targets: ['embed_tokens'], invocationTokens: [3] })).toThrow(
      /activated LoRA acts on linear layers/,
    )
    for (const kind of ['dora', 'pissa', 'olora'])
      expect(make(kind, { invocationTokens: [3] })).toThrow(/only a plain LoRA/)
    expect(make('lora', { invocationTokens: [] })).toThrow(OptionError)
    expect(make('lora', { invocationTokens: [1.5] })).toThrow(OptionError)
    const dora = {
      ...writeLoraConfig(completeLora({ invocationTokens: [5] })),
      use_dora: true,
      peft_type: 'LORA',
    }
    expect(() => getPeftKind(dora, 'file').readConfig(dora, 'file')).toThrow(
      /alora_invocation_tokens together with use_dora/,
    )
    expect(
      getKind('lora').readConfig({ ...dora, use_dora: false }, 'file').invocationTokens,
    ).toEqual([5])
  })
})
