import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { completeLora } from './lora-config.ts'
import { lora, resolveRankAndScale } from './lora.ts'

const module = (path: string, kind: ModuleInfo['kind'] = 'linear'): ModuleInfo => ({
  path,
  kind,
  inFeatures: 400,
  outFeatures: 30,
  bias: false,
  layer: 2,
})
const query = module('model.layers.2.self_attn.q_proj')

describe('rank and scale', () => {
  it('are alpha/R, or alpha/√R when rank-stabilised', () => {
    expect(resolveRankAndScale(completeLora({ rank: 16, alpha: 8 }), query)).toEqual({
      rank: 16,
      scale: 0.5,
    })
    expect(
      resolveRankAndScale(completeLora({ rank: 16, alpha: 8, rankStabilized: true }), query),
    ).toEqual({ rank: 16, scale: 2 })
  })

  it('follow the first pattern that matches the end of the path from the start of a part', () => {
    const config = completeLora({
      rank: 8,
      alpha: 8,
      rankPattern: { proj: 1, 'layers.[0-2].*q_proj': 4, q_proj: 2 },
      alphaPattern: { '^model.layers.2.self_attn.q_proj': 6 },
    })
    expect(resolveRankAndScale(config, query)).toEqual({ rank: 4, scale: 1.5 })
    expect(resolveRankAndScale(config, module('model.layers.3.self_attn.q_proj'))).toEqual({
      rank: 2,
      scale: 4,
    })
    expect(resolveRankAndScale(config, module('model.layers.3.self_attn.qq_proj'))).toEqual({
      rank: 8,
      scale: 1,
    })
  })
})

describe('the start', () => {
  const startOf = (options: object, at = query): [Float32Array, Float32Array] => {
    const specs = lora.parameters(
      completeLora({ targets: ['q_proj', 'embed_tokens'], ...options }),
      at,
    )
    return specs.map((spec) => spec.start(random(1), () => new Float32Array())) as [
      Float32Array,
      Float32Array,
    ]
  }
  const deviation = (values: Float32Array): number =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)

  it('is Kaiming-uniform for A, zero for B', () => {
    const [a, b] = startOf({ rank: 8 })
    expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(0.05) // 1/√400
    expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.049)
    expect(deviation(a)).toBeCloseTo(0.05 / Math.sqrt(3), 3)
    expect(b.every((value) => value === 0)).toBe(true)
  })

  it('is normal with deviation 1/R when gaussian, and B is not zero when random', () => {
    const [a, b] = startOf({ rank: 8, start: 'gaussian' })
    expect(deviation(a)).toBeCloseTo(1 / 8, 2)
    expect(deviation(b)).toBe(0)
    expect(deviation(startOf({ rank: 8, start: 'random' })[1])).toBeGreaterThan(0.1)
  })

  it('is zero for A and normal for B on an embedding', () => {
    const [a, b] = startOf({ rank: 8 }, module('model.embed_tokens', 'embedding'))
    expect(deviation(a)).toBe(0)
    expect(deviation(b)).toBeCloseTo(1, 0)
  })
})

describe('options', () => {
  it('get defaults: rank 8, alpha twice the rank, queries and values', () => {
    expect(completeLora({})).toMatchObject({
      rank: 8,
      alpha: 16,
      targets: 'default',
      dropout: 0,
      bias: 'none',
    })
    expect(completeLora({ rank: 4 }).alpha).toBe(8)
  })

  it('are refused all at once', () => {
    expect(() => completeLora({ rank: 1.5, dropout: 1, bias: 'some', lora_alpha: 3 })).toThrow(
      /there is no option "lora_alpha".*; rank: got 1.5, expected an integer ≥ 1; dropout: got 1, .*; bias: got "some", expected "none", "all", "lora_only"/,
    )
  })
})
