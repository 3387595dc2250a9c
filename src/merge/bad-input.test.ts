import { describe, expect, it } from 'vitest'
import type { Adapter } from '../adapters/adapter.ts'
import { MismatchError, NumericError, OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { createRandomAdapter, withConfig, smallShapes } from './fixture.contract.ts'
import { merge } from './merge.ts'
import type { MergeRecipe } from './method.ts'

const two = [1, 2].map((seed) => createRandomAdapter({ seed }))
const withTensor = (adapter: Adapter, key: string, tensor: Tensor): Adapter => ({
  ...adapter,
  tensors: new Map([...adapter.tensors, [key, tensor]]),
})
const queryB = 'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight'

/** What merging throws. */
function failure(adapters: readonly Adapter[], recipe: MergeRecipe): unknown {
  try {
    merge(adapters, recipe)
  } catch (error) {
    return error
  }
  return undefined
}

describe('a wrong recipe is refused', () => {
  it.each([
    [{ method: 'tis' }, 'did you mean "ties"'],
    [{ method: 'weighed' }, 'did you mean "weighted"'],
    [{ method: 'ties', density: 0 }, 'density: got 0, expected a number above 0 and at most 1'],
    [{ method: 'ties', density: 1.5 }, 'density: got 1.5'],
    [{ method: 'weighted', weights: [1] }, 'got 1, expected one for each of the 2 adapters'],
    [{ method: 'weighted', weights: [1, NaN] }, 'weights[1]: got NaN'],
    [{ method: 'weighted', weights: [1, -1], normalize: true }, 'they sum to 0'],
    [{ method: 'ties', weights: [1, -1] }, 'use task-arithmetic'],
    [{ method: 'slerp', t: 1.1 }, 't: got 1.1, expected a number from 0 to 1'],
    [{ method: 'weighted', rank: 0 }, 'rank: got 0'],
    [{ method: 'weighted', rank: 2.5 }, 'rank: got 2.5'],
    [{ method: 'weighted', energy: 2 }, 'energy: got 2'],
    [{ method: 'cat', rank: 4 }, 'it has no option "rank"'],
    [{ method: 'della', density: 0.1, epsilon: 0.2 }, 'density ± epsilon'],
    [{ method: 'peft-ties', majority: 'both' as 'total' }, 'majority: got "both"'],
  ] satisfies [MergeRecipe, string][])('%j', (recipe, message) => {
    expect(failure(two, recipe)).toBeInstanceOf(OptionError)
    expect(() => merge(two, recipe)).toThrow(message)
  })
  it('with everything that is wrong in one error', () => {
    const problems = ['density: got -1', 'rank: got 0', 'expected one for each', 'no option "t"']
    for (const problem of problems)
      expect(() => merge(two, { method: 'ties', density: -1, rank: 0, weights: [], t: 1 })).toThrow(
        problem,
      )
  })
  it('for an empty list, and SLERP for any number but two', () => {
    expect(() => merge([], { method: 'average' })).toThrow('there is no adapter to merge')
    for (const adapters of [two.slice(1), [...two, two[0]!]])
      expect(() => merge(adapters, { method: 'slerp' })).toThrow(
        `it is for 2 adapters, got ${adapters.length}`,
      )
  })
})

describe('adapters that do not fit are refused', () => {
  it('for NaN and infinity, naming every tensor', () => {
    const broken = (adapter: Adapter, key: string, value: number): Adapter => {
      const { shape, data } = adapter.tensors.get(key)!
      const values = (data as Float32Array).slice()
      values[values.length - 1] = value
      return withTensor(adapter, key, f32(shape, values))
    }
    const downA = 'base_model.model.model.layers.0.mlp.down_proj.lora_A.weight'
    const adapters = [broken(two[0]!, queryB, NaN), broken(two[1]!, downA, -Infinity)]
    expect(failure(adapters, { method: 'average' })).toBeInstanceOf(NumericError)
    for (const name of [`adapters[0] ${queryB}`, `adapters[1] ${downA}`])
      expect(() => merge(adapters, { method: 'ties' })).toThrow(name)
  })
  it('for other shapes and other bases, all in one error', () => {
    const other = {
      ...createRandomAdapter({
        seed: 3,
        shapes: { ...smallShapes, 'model.layers.0.self_attn.q_proj': [12, 8] },
      }),
      baseModel: 'large',
    }
    const odd = withTensor(two[1]!, queryB, f32([12, 2]))
    const error = failure([{ ...two[0]!, baseModel: 'small' }, other, odd], {
      method: 'average',
    }) as MismatchError
    expect(error).toBeInstanceOf(MismatchError)
    expect(error.mismatches).toEqual([
      { name: 'adapters[1]: base model', got: '"large"', expected: '"small"' },
      {
        name: 'adapters[1] model.layers.0.self_attn.q_proj',
        got: 'linear 8 → 12',
        expected: 'linear 9 → 12',
      },
      { name: `adapters[2] ${queryB}`, got: '[12, 2]', expected: '[12, 3]' },
    ])
  })
  it('for bases of one name and different hashes, unless that is meant', () => {
    const hashed = two.map((adapter, k) => ({
      ...adapter,
      metadata: { graft_base_sha256: `hash-${k}` },
    }))
    const error = failure(hashed, { method: 'average' }) as MismatchError
    expect(error.mismatches).toEqual([
      { name: 'adapters[1]: sha-256 of the base', got: '"hash-1"', expected: '"hash-0"' },
    ])
    expect(merge(hashed, { method: 'average', anyBase: true }).tensors.size).toBe(
      merge(two, { method: 'average' }).tensors.size,
    )
  })
  it('for keys that no module takes, and tensors that are missing', () => {
    const extra = withTensor(two[0]!, 'base_model.model.lm_head.weight', f32([2]))
    const lacking: Adapter = {
      ...two[1]!,
      tensors: new Map([...two[1]!.tensors].filter(([key]) => key !== queryB)),
    }
    const error = failure([extra, lacking], { method: 'average' }) as MismatchError
    expect(error.mismatches).toContainEqual({
      name: 'adapters[0] base_model.model.lm_head.weight',
      got: '[2]',
      expected: 'no such tensor',
    })
    expect(error.mismatches).toContainEqual({
      name: `adapters[1] ${queryB}`,
      got: 'nothing',
      expected: '[0, 3]',
    })
  })
  it('for kinds whose sizes or changes need the base, saying what to pass', () => {
    const scales = new Map([
      ['base_model.model.model.layers.0.self_attn.q_proj.ia3_l', f32([12, 1])],
    ])
    expect(() =>
      merge([{ ...withConfig(two[0]!, {}), kind: 'ia3', tensors: scales }], {
        method: 'average',
      }),
    ).toThrow("pass the base's model")
  })
  it('by the methods on A and B apart for different ranks and trained biases', () => {
    expect(() =>
      merge([two[0]!, createRandomAdapter({ seed: 5, rank: 2 })], { method: 'peft-linear' }),
    ).toThrow('needs equal ranks')
    const biased = withConfig(two[0]!, { loraBias: true })
    expect(failure([biased], { method: 'peft-ties' })).toBeInstanceOf(UnsupportedError)
  })

  it('that save modules whole, which would be lost', () => {
    const error = failure([two[0]!, withConfig(two[1]!, { modulesToSave: ['norm', 'lm_head'] })], {
      method: 'ties',
    })
    expect(error).toBeInstanceOf(UnsupportedError)
    expect(String(error)).toContain('adapters[1] norm, adapters[1] lm_head')
  })
  it('that act behind invocation tokens only, by every method', () => {
    const activated = withConfig(two[1]!, { invocationTokens: [5, 9] })
    for (const method of ['weighted', 'cat', 'peft-linear']) {
      expect(failure([two[0]!, activated], { method })).toBeInstanceOf(UnsupportedError)
      expect(() => merge([two[0]!, activated], { method })).toThrow(
        /adapters\[1\] is activated by tokens/,
      )
    }
  })
})
