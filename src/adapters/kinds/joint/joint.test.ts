// Joint kinds run the contract suite of a kind; which kinds can be combined, and their files.

import { describe, expect, it } from 'vitest'
import { FormatError, MismatchError, OptionError, UnsupportedError } from '../../../base/errors.ts'
import { createAdapter } from '../../create-adapter.ts'
import { loadAdapter, saveAdapter } from '../../files/peft.ts'
import { joinAdapters, splitAdapter, withoutVirtualParts } from '../../joint/joint-adapters.ts'
import { mergeWeights } from '../../merge-weights.ts'
import { adapterKindContract, type KindCase } from '../kind.contract.ts'
import { getKind, toKindName } from '../kind-table.ts'
import { memorySink, storiesBase } from '../../../../test/support/adapters.ts'

const withPrompt = {
  freshTolerance: Infinity,
  skip: { merge: 'a soft prompt changes no weight', slots: 'its virtual tokens are attached' },
}
const fresh = { freshTolerance: 0 }

const cases: readonly [kinds: string, one: KindCase][] = [
  [
    'ia3+prompt-tuning',
    { name: 'the ultralight tier', options: { virtualTokens: 3 }, ...withPrompt },
  ],
  [
    'ia3+prefix-tuning',
    { name: 'scaled keys behind a prefix', options: { virtualTokens: 2 }, ...withPrompt },
  ],
  [
    'lora+prompt-tuning',
    {
      name: 'options of each under its name',
      options: {
        lora: { rank: 2, targets: ['q_proj', 'down_proj'] },
        'prompt-tuning': { virtualTokens: 2 },
      },
      ...withPrompt,
    },
  ],
  [
    'lora+ia3',
    {
      name: 'scaled behind what is added, on shared and on single layers',
      options: {
        lora: { rank: 2, targets: ['q_proj', 'v_proj', 'down_proj'], loraBias: true },
        ia3: { targets: ['k_proj', 'v_proj', 'down_proj'], feedForward: ['down_proj'] },
      },
      ...fresh,
      skip: { merge: 'the base has no bias for a shift' },
    },
  ],
  [
    'lora+ia3',
    {
      name: 'on all the same layers',
      options: { rank: 2, targets: ['q_proj', 'o_proj'] },
      ...fresh,
    },
  ],
  [
    'dora+ia3',
    {
      name: 'scaled behind new lengths',
      options: { dora: { rank: 2, targets: ['v_proj', 'down_proj'] } },
      freshTolerance: 1e-4,
      skip: { gradients: 'DoRA holds the norm constant in its gradients' },
    },
  ],
  [
    'lora+lokr',
    { name: 'two changes added', options: { rank: 2, targets: ['q_proj', 'up_proj'] }, ...fresh },
  ],
  ['lora+loha', { name: 'two changes added', options: { rank: 2, targets: ['q_proj'] }, ...fresh }],
  [
    'lokr+vera',
    { name: 'two changes added', options: { rank: 2, targets: ['q_proj', 'up_proj'] }, ...fresh },
  ],
  [
    'lora+ia3+prompt-tuning',
    {
      name: 'three',
      options: { rank: 2, virtualTokens: 2, lora: { targets: ['q_proj'] } },
      ...withPrompt,
    },
  ],
  [
    'pissa+ia3',
    {
      name: 'a start from the base',
      options: { rank: 2, pissa: { targets: ['q_proj', 'v_proj'] } },
      freshTolerance: 1e-4,
      skip: { seeds: 'the start is the base’s', files: 'its files are a plain LoRA’s: see below' },
    },
  ],
]

for (const [kind, one] of cases) adapterKindContract(kind, one)

describe('which kinds act together', () => {
  it('orders them from the base outwards, whatever order they are named in', () => {
    expect(getKind('prompt-tuning+ia3+lora').name).toBe('lora+ia3+prompt-tuning')
    expect(getKind(toKindName(['prompt-tuning', 'ia3']))).toMatchObject({
      name: 'ia3+prompt-tuning',
    })
    expect(getKind('ia3 + prompt-tuning').name).toBe('ia3+prompt-tuning')
  })
  it.each([
    ['prompt-tuning+prefix-tuning', /prompt-tuning and prefix-tuning: both put tokens before/],
    ['lora+dora', /lora and dora: DoRA sets the norm of each row of a weight/],
    ['lokr+dora', /lokr and dora: DoRA/],
    ['lora+pissa', /lora and pissa: both keep their matrices under PEFT’s names lora_/],
    ['ia3+ia3', /ia3 appears twice/],
    ['lora+trainable-tokens', /its option trainableTokens/],
  ])('refuses %s by name and reason', (kind, message) => {
    expect(() => getKind(kind)).toThrow(UnsupportedError)
    expect(() => getKind(kind)).toThrow(message)
  })
  it('names a kind that is not there', () => {
    expect(() => getKind('ia3+promt-tuning')).toThrow(
      /"promt-tuning"[^]*Did you mean "prompt-tuning"/,
    )
    expect(() => getKind(toKindName(['ia3']))).not.toThrow()
    expect(() => getKind('ia3+')).toThrow(OptionError)
  })
})

describe('options', () => {
  const complete = (kind: string, given: Readonly<Record<string, unknown>>) =>
    getKind(kind).complete(given)
  it('go to every kind that has them, and under its name to one', () => {
    const config = complete('lora+ia3', {
      targets: ['q_proj'],
      rank: 4,
      ia3: { targets: ['k_proj'] },
    })
    expect(config).toMatchObject({
      targets: ['q_proj'],
      parts: [
        { kind: 'lora', config: { targets: ['q_proj'], rank: 4 } },
        { kind: 'ia3', config: { targets: ['k_proj'] } },
      ],
    })
  })
  it('are refused all at once, with the name that was meant', () => {
    const bad = { virtualToken: 3, rank: -1, ia3: { feedForwrd: [] } }
    expect(() => complete('lora+ia3+prompt-tuning', bad)).toThrow(OptionError)
    expect(() => complete('lora+ia3+prompt-tuning', bad)).toThrow(
      /virtualTokens"[^]*rank[^]*feedForward/,
    )
    expect(() => complete('ia3+prompt-tuning', { ia3: 3 })).toThrow(/ia3: expected an object/)
  })
  it('are refused where they exclude each other', () => {
    expect(() => complete('lora+loha', { lora: { dropout: 0.1 } })).not.toThrow()
    expect(() => complete('lora+vera', { lora: { dropout: 0.1 }, vera: { dropout: 0.2 } })).toThrow(
      /dropout: got 0.1 and 0.2/,
    )
    expect(() => complete('lora+prompt-tuning', { invocationTokens: [3] })).toThrow(
      /invocationTokens/,
    )
  })
})

describe('joinAdapters', () => {
  it('makes one expert of adapters that were trained apart, and takes it apart again', async () => {
    const { model, weightOf } = await storiesBase()
    const base = { graph: model, weightOf, name: 'stories260k' }
    const prompt = await createAdapter('prompt-tuning', { virtualTokens: 3 }, base)
    const scales = await createAdapter('ia3', {}, base)
    const joint = joinAdapters([prompt, scales])
    const made = await createAdapter(['ia3', 'prompt-tuning'], { virtualTokens: 3 }, base)
    expect(joint).toEqual(made)
    expect(splitAdapter(joint)).toEqual([scales, prompt])
    expect(withoutVirtualParts(joint)).toEqual(scales)
    expect(withoutVirtualParts(prompt)).toBe(undefined)
    expect(withoutVirtualParts(scales)).toBe(scales)
  })
  it('refuses adapters of different bases, and tensors that two of them have', async () => {
    const { model, weightOf } = await storiesBase()
    const base = { graph: model, weightOf, name: 'stories260k' }
    const scales = await createAdapter('ia3', {}, base)
    const other = { ...(await createAdapter('prompt-tuning', {}, base)), baseModel: 'llama' }
    expect(() => joinAdapters([scales, other])).toThrow(MismatchError)
    const saved = { targets: ['q_proj'], modulesToSave: ['norm'] }
    const [one, two] = [
      await createAdapter('lora', saved, base),
      await createAdapter('ia3', saved, base),
    ]
    expect(() => joinAdapters([one, two])).toThrow(/is a tensor of two adapters/)
  })
})

describe('the folder', () => {
  it('holds a folder for each part, and its own configuration last', async () => {
    const { model, weightOf } = await storiesBase()
    const base = { graph: model, weightOf, name: 'stories260k' }
    const adapter = await createAdapter(['ia3', 'prompt-tuning'], {}, base, {
      metadata: { name: 'x' },
    })
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    expect([...sink.files.keys()]).toEqual([
      'ia3/adapter_model.safetensors',
      'ia3/adapter_config.json',
      'prompt-tuning/adapter_model.safetensors',
      'prompt-tuning/adapter_config.json',
      'adapter_config.json',
    ])
    const read = (name: string) => JSON.parse(new TextDecoder().decode(sink.files.get(name)))
    expect(read('adapter_config.json')).toEqual({
      base_model_name_or_path: 'stories260k',
      graft_parts: ['ia3', 'prompt-tuning'],
      inference_mode: true,
      peft_type: 'GRAFT_JOINT',
    })
    expect(read('ia3/adapter_config.json').peft_type).toBe('IA3')
    expect(await loadAdapter(sink)).toEqual(
      expect.objectContaining({ kind: 'ia3+prompt-tuning', metadata: { name: 'x' } }),
    )
  })
  it('keeps a PiSSA part as a plain LoRA, and 8-bit parts', async () => {
    const { model, weightOf } = await storiesBase()
    const base = { graph: model, weightOf }
    const adapter = await createAdapter(['pissa', 'ia3'], { rank: 2, targets: ['q_proj'] }, base)
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    expect((await loadAdapter(sink)).kind).toBe('lora+ia3')
    const packed = memorySink()
    await saveAdapter(adapter, packed, { dtype: 'int8' })
    expect([...packed.files.keys()]).toContain('lora/adapter_model.int8.safetensors')
    expect((await loadAdapter(packed)).kind).toBe('lora+ia3')
  })
  it('is refused where a part is missing or of another kind, and where it names none', async () => {
    const { model, weightOf } = await storiesBase()
    const base = { graph: model, weightOf }
    const sink = memorySink()
    await saveAdapter(await createAdapter(['ia3', 'prompt-tuning'], {}, base), sink)
    const change = (name: string, json: object): void =>
      void sink.files.set(name, new TextEncoder().encode(JSON.stringify(json)))
    change('adapter_config.json', { peft_type: 'GRAFT_JOINT', graft_parts: ['ia3', '../x'] })
    await expect(loadAdapter(sink)).rejects.toThrow(FormatError)
    change('adapter_config.json', { peft_type: 'GRAFT_JOINT', graft_parts: ['lora', 'ia3'] })
    await expect(loadAdapter(sink)).rejects.toThrow(/lora: has no adapter_config.json/)
  })
})

describe('merging', () => {
  it('of a part with virtual tokens is refused, and reports what can be merged', async () => {
    const { model, weightOf } = await storiesBase()
    const adapter = await createAdapter(['ia3', 'prompt-tuning'], {}, { graph: model, weightOf })
    expect(() => [...mergeWeights(model, adapter, weightOf)]).toThrow(
      /ia3\+prompt-tuning[^]*prompt-tuning part changes no weight[^]*ia3/,
    )
  })
})
