// createAdapter as users call it: by model, with each kind's own options.
import { beforeAll, describe, expect, it } from 'vitest'
import { type Base, memorySink, storiesBase } from '../../test/support/adapters.ts'
import { OptionError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { createAdapter, initializeAdapter } from './create-adapter.ts'
import { createFromRecipe } from './adapter-config.ts'
import { attach } from './attach.ts'
import { encodeGgufAdapter } from './files/gguf.ts'
import { saveAdapter } from './files/peft.ts'
import { createRole } from './roles.ts'
import { HotSwap } from './serving/hot-swap.ts'
import { attachSlots } from './serving/slots.ts'
import { createStandalone } from './vectors/create.ts'
import { createStandaloneModel } from './vectors/model.ts'

let base: Base
let read: string[]
/** A model as far as createAdapter looks at it. */
let model: {
  base: { name: string; graph: Base['model']; weights: { read(name: string): Promise<Tensor> } }
}

beforeAll(async () => {
  base = await storiesBase()
  const weights = {
    async read(name: string) {
      read.push(name)
      return base.weightOf(name)
    },
  }
  model = { base: { name: 'stories260k', graph: base.model, weights } }
})

const kinds = [
  ['lora', { rank: 2, targets: ['q_proj'] }],
  ['dora', { rank: 2, targets: ['q_proj'] }],
  ['pissa', { rank: 2, targets: ['q_proj', 'v_proj'] }],
  ['olora', { rank: 2, targets: ['q_proj'] }],
  ['lora', { rank: 2, targets: ['q_proj'], modulesToSave: ['model.norm'] }],
  ['prompt-tuning', { virtualTokens: 3, start: 'vocabulary' }],
  ['prefix-tuning', { virtualTokens: 3 }],
  ['ia3', {}],
] as const

describe('createAdapter', () => {
  it.each(kinds)(
    'makes a %s adapter of a model what its graph and weights give',
    async (kind, config) => {
      read = []
      const expected = initializeAdapter(kind, config, base.model, {
        seed: 5,
        weightOf: base.weightOf,
        baseModel: 'stories260k',
      })
      const options = { seed: 5 }
      expect(await createAdapter(kind, config as never, model, options)).toEqual(expected)
      expect(await createAdapter(kind, config as never, model.base, options)).toEqual(expected)
      const { weightOf } = base
      const baseModel = 'stories260k'
      expect(
        await createAdapter(kind, config as never, base.model, { seed: 5, weightOf, baseModel }),
      ).toEqual(expected)
    },
  )

  it('reads each weight that the kind needs once, and no other', async () => {
    read = []
    await createAdapter('pissa', { rank: 2, targets: ['q_proj'] }, model)
    expect(read).toEqual(
      Array.from({ length: 5 }, (_, i) => `model.layers.${i}.self_attn.q_proj.weight`),
    )
    read = []
    await createAdapter('lora', { rank: 2, targets: ['q_proj'] }, model)
    expect(read).toEqual([])
  })

  it.each([
    [{ rankPattern: { nope_proj: 3 } }, 'rankPattern: "nope_proj" matches no target module'],
    [{ alphaPattern: { 'layers.9.*': 3 } }, 'alphaPattern: "layers.9.*" matches no target module'],
    [{ alpha: 0 }, 'alpha: got 0, expected a number above 0'],
    [{ alphaPattern: { q_proj: -1 } }, 'alphaPattern'],
    [{ exclude: ['o_prj'] }, 'exclude: "o_prj" matches no module'],
    [{ exclude: '.*nope.*' }, 'exclude: ".*nope.*" matches no module'],
    [
      { modulesToSave: ['norm', 'lm_hed'] },
      'modulesToSave: "lm_hed" matches no module with weights',
    ],
    [{ layersPattern: ['layers'] }, 'layersPattern: chooses nothing without layers'],
  ])('refuses %j, which would leave the adapter as it is', async (options, message) => {
    for (const kind of ['lora', 'dora', 'lokr', 'loha', 'pissa'] as const)
      await expect(createAdapter(kind, { targets: ['q_proj'], ...options }, model)).rejects.toThrow(
        message,
      )
  })

  it('takes names to leave out that no target has, and norms to save', async () => {
    const config = { targets: ['q_proj'], exclude: ['lm_head'], modulesToSave: ['norm'] }
    const { tensors } = await createAdapter('lora', config, model)
    expect([...tensors.keys()].filter((key) => key.includes('norm'))).toHaveLength(11)
  })

  it('refuses feedForward of IA3 that is no target', async () => {
    const make = (config: object) => createAdapter('ia3', config, model)
    await expect(make({ feedForward: ['down_prj'] })).rejects.toThrow(
      'IA3 options: feedForward: ["down_prj"] is not one of the targets k_proj, v_proj, down_proj.',
    )
    await expect(make({ targets: ['q_proj'], feedForward: ['down_proj'] })).rejects.toThrow(
      '["down_proj"] is not one of the targets q_proj.',
    )
    expect((await make({ targets: ['q_proj'] })).tensors.size).toBe(5)
    expect(
      (await make({ targets: ['1.mlp.down_proj'], feedForward: ['down_proj'] })).tensors.size,
    ).toBe(1)
  })

  it('names the option that was probably meant, in types and at run time', async () => {
    const wrong = [
      // @ts-expect-error rnk is no option
      createAdapter('lora', { rnk: 3 }, model),
      // @ts-expect-error a DoRA has no bias on B
      createAdapter('dora', { loraBais: true }, model),
      // @ts-expect-error rank is a number
      createAdapter('pissa', { rank: '3' }, model),
      // @ts-expect-error lorra is no kind
      createAdapter('lorra', {}, model),
      // @ts-expect-error sed is no option
      createAdapter('lora', {}, model, { sed: 3 }),
      createAdapter('lora', {}, model, { seed: 0.5 }),
      // @ts-expect-error no configuration
      createAdapter('pissa', undefined, model),
    ]
    expect(
      (await Promise.allSettled(wrong)).map((each) => (each as PromiseRejectedResult).reason),
    ).toEqual([
      expect.objectContaining({
        message: 'LoRA options: there is no option "rnk". Did you mean "rank"?',
      }),
      expect.objectContaining({
        message: expect.stringContaining('DoRA options: there is no option "loraBais"'),
      }),
      expect.objectContaining({
        message: 'pissa options: rank: got "3", expected an integer ≥ 1.',
      }),
      expect.objectContaining({
        message: expect.stringContaining('trainable-tokens. Did you mean "lora"?'),
      }),
      expect.objectContaining({
        message: expect.stringContaining('no option "sed". Did you mean "seed"?'),
      }),
      expect.objectContaining({
        message: 'createAdapter options: seed: got 0.5, expected an integer.',
      }),
      expect.objectContaining({ message: 'pissa options: got undefined, expected an object.' }),
    ])
  })

  it.each([
    [undefined, 'got undefined'],
    ['stories260k', 'got "stories260k"'],
    [{ base: 3 }, 'got {"base":3}'],
    [Promise.resolve(), 'got a promise (await it first)'],
  ])('reports what a model is instead of %j', async (wrong, got) => {
    await expect(createAdapter('lora', {}, wrong as never)).rejects.toThrow(
      `createAdapter: model: ${got}, expected a model, an open base model or a model's graph.`,
    )
  })
})

describe('createFromRecipe', () => {
  it.each([
    [undefined, 'got undefined, expected a recipe'],
    ['coder', 'got "coder", expected a recipe'],
    [{ name: 'a', rank: 8 }, 'there is no option "rank"'],
    [{ name: 'a', config: 3 }, 'config: got 3, expected an object'],
    [{ name: 'a', tags: 'b' }, 'tags: got "b", expected a list'],
    [{ name: 'a', kind: 'dorra' }, 'no adapter kind "dorra"'],
    [{ name: 'a', config: { rnk: 8 } }, 'Did you mean "rank"?'],
  ])('refuses %j in words', async (recipe, message) => {
    const made = createFromRecipe(recipe as never, createStandaloneModel(8))
    await expect(made).rejects.toThrow(OptionError)
    await expect(made).rejects.toThrow(message)
  })
  it('takes a model, and reports what a wrong one is', async () => {
    const recipe = { name: 'a', kind: 'dora', config: { rank: 2 }, description: '', tags: [] }
    read = []
    expect((await createFromRecipe(recipe, model)).baseModel).toBe('stories260k')
    await expect(createFromRecipe(recipe, 8 as never)).rejects.toThrow('model: got 8')
  })
})

describe('createRole', () => {
  it('takes a model, its graph or a width, and suggests names', () => {
    expect(createRole('coder', model).baseModel).toBe('stories260k')
    expect(createRole('coder', base.model).baseModel).toBeUndefined()
    expect(createRole('coder', 8).baseModel).toBe('standalone-8')
    expect(() => createRole('coderr', 8)).toThrow('Did you mean "coder"?')
    expect(() => createRole('coder', '8' as never)).toThrow('createRole: model: got "8"')
  })
})

describe('options that do not exist', () => {
  it.each<[string, () => unknown]>([
    [
      'Did you mean "dtype"?',
      () => saveAdapter(createRole('coder', 8), memorySink(), { dtipe: 'f16' } as never),
    ],
    [
      'Did you mean "training"?',
      () => attach(base.model, createRole('coder', base.model), { trainig: true } as never),
    ],
    ['Did you mean "shift"?', () => attachSlots(base.model, { shfit: true } as never)],
    ['Did you mean "prepare"?', () => new HotSwap(1, { prepar: () => undefined } as never)],
    [
      'Did you mean "dtype"?',
      () =>
        encodeGgufAdapter(createRole('coder', base.model), base.model, { dtpe: 'f16' } as never),
    ],
    ['Did you mean "width"?', () => createStandalone('lora', {}, { widht: 8 } as never)],
  ])('are named: %s', async (message, call) => {
    await expect(async () => call()).rejects.toThrow(message)
  })
})
