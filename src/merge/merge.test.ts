import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Adapter } from '../adapters/adapter.ts'
import { resolveRankAndScale } from '../adapters/kinds/lora.ts'
import type { LoraConfig } from '../adapters/kinds/lora-config.ts'
import { f32 } from '../base/tensor.ts'
import {
  computeDeltas,
  computeDistance,
  expectClose,
  createRandomAdapter,
  computeNorm,
  withConfig,
  smallShapes,
  sumDeltas,
} from './fixture.contract.ts'
import { merge, type ModuleReport } from './merge.ts'
import type { MergeMethod, MergeRecipe } from './method.ts'
import { mergeMethods } from './method-table.ts'

const methods = [...mergeMethods.values()]
const three = [1, 2, 3].map((seed) => createRandomAdapter({ seed }))
const weights = [1, 0.7, 0.4]

/** A recipe for any method: weights where it takes them, a rank large enough to lose nothing. */
const recipeFor = (method: MergeMethod, own: readonly number[]): MergeRecipe => ({
  method: method.name,
  ...(method.options.includes('weights') ? { weights: own } : {}),
  ...(method.options.includes('rank') ? { rank: 14 } : {}),
})

/** One module whose ΔW is exactly these rows. */
function adapterOf(rows: readonly (readonly number[])[]): Adapter {
  const columns = rows[0]!.length
  const path = 'model.layers.0.mlp.up_proj'
  const adapter = createRandomAdapter({
    seed: 1,
    rank: columns,
    shapes: { [path]: [rows.length, columns] },
    config: { alpha: columns },
  })
  const identity = Float32Array.from({ length: columns * columns }, (_, i) =>
    i % (columns + 1) === 0 ? 1 : 0,
  )
  return {
    ...adapter,
    tensors: new Map([
      [`base_model.model.${path}.lora_A.weight`, f32([columns, columns], identity)],
      [`base_model.model.${path}.lora_B.weight`, f32([rows.length, columns], rows.flat())],
    ]),
  }
}
const entriesOf = (adapter: Adapter): number[] => [...[...computeDeltas(adapter).values()][0]!]
const rounded = (values: readonly number[]): number[] =>
  values.map((value) => Math.round(value * 1e4) / 1e4 + 0)

describe('every method', () => {
  it.each(methods)('$name: keeps its promises about order and single adapters', (method) => {
    const { anyOrder, oneIsItself } = method.promises
    const own = method.adapters === 2 ? three.slice(0, 2) : three
    const recipe = recipeFor(method, weights.slice(0, own.length))
    const forwards = computeDeltas(merge(own, recipe))
    if (anyOrder) {
      const backwards = merge(
        own.toReversed(),
        recipeFor(method, weights.slice(0, own.length).toReversed()),
      )
      expectClose(computeDeltas(backwards), forwards, 1e-5)
    }
    if (oneIsItself)
      expectClose(
        computeDeltas(merge([three[0]!], recipeFor(method, [1]))),
        computeDeltas(three[0]!),
        1e-6,
      )
    expect([...forwards.keys()].sort()).toEqual(Object.keys(smallShapes).sort())
  })
  it.each(methods)(
    '$name: is the same twice, leaves its inputs alone, and describes itself',
    (method) => {
      const own = method.adapters === 2 ? three.slice(0, 2) : three
      const before = structuredClone(own.map(({ tensors }) => tensors))
      const run = (): unknown => merge(own, recipeFor(method, weights.slice(0, own.length)))
      expect(run()).toEqual(run())
      expect(own.map(({ tensors }) => tensors)).toEqual(before)
      expect(method.summary).toMatch(/\.$/)
    },
  )
  it.each(
    methods.filter(
      ({ space, options }) =>
        space === 'entries' && options.includes('density') && options.includes('weights'),
    ),
  )('$name: with density 1, one adapter of weight 1 is itself', ({ name }) => {
    expectClose(
      computeDeltas(merge([three[0]!], { method: name, density: 1, weights: [1] })),
      computeDeltas(three[0]!),
      1e-5,
    )
  })
})

describe('sums', () => {
  const arbitrary = fc.array(
    fc.record({
      seed: fc.integer(),
      rank: fc.integer({ min: 1, max: 6 }),
      weight: fc.integer({ min: -20, max: 20 }).map((tenths) => tenths / 10),
    }),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  it('cat, weighted and task-arithmetic equal the sum by definition, for any ranks and weights', () => {
    fc.assert(
      fc.property(arbitrary, (parts) => {
        const adapters = parts.map(({ seed, rank }) => createRandomAdapter({ seed, rank }))
        const own = parts.map(({ weight }) => weight)
        const expected = sumDeltas(adapters, own)
        for (const method of ['cat', 'weighted', 'task-arithmetic']) {
          const got = computeDeltas(merge(adapters, { method, weights: own }))
          const scale = computeNorm(own) || 1
          for (const [path, values] of expected)
            expect(
              computeNorm(values.map((value, i) => value - got.get(path)![i]!)) / scale,
            ).toBeLessThan(1e-4)
        }
      }),
      { seed: 1, numRuns: 40 },
    )
  })
  it('fold scales once: rsLoRA, rank and alpha patterns, in and out', () => {
    const adapters = [
      createRandomAdapter({ seed: 4, rank: 3, config: { rankStabilized: true } }),
      createRandomAdapter({
        seed: 5,
        rank: 2,
        config: { rank: 5, rankPattern: { q_proj: 2, down_proj: 2 }, alphaPattern: { q_proj: 7 } },
      }),
    ]
    expectClose(
      computeDeltas(merge(adapters, { method: 'weighted', weights: [0.5, -1.5] })),
      sumDeltas(adapters, [0.5, -1.5]),
      1e-6,
    )
  })
  it('normalise weights when asked, and take the mean for average', () => {
    expectClose(
      computeDeltas(merge(three, { method: 'weighted', weights: [2, 1, 1], normalize: true })),
      sumDeltas(three, [0.5, 0.25, 0.25]),
      1e-6,
    )
    expectClose(
      computeDeltas(merge(three, { method: 'average' })),
      sumDeltas(three, [1 / 3, 1 / 3, 1 / 3]),
      1e-6,
    )
  })
  it('take adapters with different targets: an absent module counts as zero', () => {
    const onlyQuery = createRandomAdapter({
      seed: 6,
      shapes: { 'model.layers.0.self_attn.q_proj': [12, 9] },
    })
    const merged = merge([three[0]!, onlyQuery], { method: 'average' })
    expectClose(computeDeltas(merged), sumDeltas([three[0]!, onlyQuery], [0.5, 0.5]), 1e-6)
    expect((merged.config as LoraConfig).targets).toEqual(['q_proj', 'down_proj'])
  })
  it('cut to the best rank, report what that lost, and lose less at a higher rank', () => {
    const residuals = [1, 2, 4, 6, 9].map((rank) => {
      const reports: ModuleReport[] = []
      const merged = merge(three, {
        method: 'weighted',
        rank,
        onModule: (report) => reports.push(report),
      })
      const got = computeDeltas(merged)
      const expected = sumDeltas(three, [1, 1, 1])
      for (const { module, residual } of reports)
        expect(computeDistance(got.get(module)!, expected.get(module)!)).toBeCloseTo(residual, 5)
      expect(reports.map((report) => report.rank)).toEqual([rank, rank])
      return reports[0]!.residual
    })
    expect(residuals).toEqual(residuals.toSorted((a, b) => b - a))
    expect(residuals[0]).toBeGreaterThan(0.5)
    expect(residuals[4]).toBeLessThan(1e-6)
  })
  it('keep an energy with its own rank in every module, which the configuration tells', () => {
    const merged = merge(three, { method: 'weighted', energy: 0.7 })
    const expected = sumDeltas(three, [1, 1, 1])
    for (const [path, values] of computeDeltas(merged))
      expect(1 - computeDistance(values, expected.get(path)!) ** 2).toBeGreaterThanOrEqual(0.7)
    const ranks = Object.keys(smallShapes).map((path) => {
      const { rank, scale } = resolveRankAndScale(merged.config as LoraConfig, {
        path,
        kind: 'linear',
        inFeatures: 1,
        outFeatures: 1,
        bias: false,
      })
      expect(scale).toBe(1)
      expect(merged.tensors.get(`base_model.model.${path}.lora_A.weight`)!.shape[0]).toBe(rank)
      return rank
    })
    expect(Math.max(...ranks)).toBeLessThan(7)
  })
})

describe('slerp', () => {
  const pair = three.slice(0, 2)
  it('is the first adapter at 0 and the second at 1', () => {
    expectClose(
      computeDeltas(merge(pair, { method: 'slerp', t: 0 })),
      computeDeltas(pair[0]!),
      1e-6,
    )
    expectClose(
      computeDeltas(merge(pair, { method: 'slerp', t: 1 })),
      computeDeltas(pair[1]!),
      1e-6,
    )
  })
  it('follows the formula on flattened tensors, which is not the chord', () => {
    const merged = computeDeltas(merge(pair, { method: 'slerp', t: 0.3 }))
    const one = computeDeltas(pair[0]!)
    const two = computeDeltas(pair[1]!)
    for (const [path, values] of merged) {
      const x = one.get(path)!
      const y = two.get(path)!
      const angle = Math.acos(
        x.reduce((sum, value, i) => sum + value * y[i]!, 0) / (computeNorm(x) * computeNorm(y)),
      )
      const arc = x.map(
        (value, i) =>
          (Math.sin(0.7 * angle) * value + Math.sin(0.3 * angle) * y[i]!) / Math.sin(angle),
      )
      expect(computeDistance(values, arc)).toBeLessThan(1e-5)
      expect(
        computeDistance(
          values,
          x.map((value, i) => 0.7 * value + 0.3 * y[i]!),
        ),
      ).toBeGreaterThan(0.05)
    }
  })
  it('is linear between parallel adapters, and where one lacks the module', () => {
    const twice = { ...pair[0]!, config: { ...pair[0]!.config, alpha: 12 } as Adapter['config'] }
    expectClose(
      computeDeltas(merge([pair[0]!, twice], { method: 'slerp', t: 0.5 })),
      sumDeltas([pair[0]!], [1.5]),
      1e-6,
    )
    const onlyQuery = createRandomAdapter({
      seed: 6,
      shapes: { 'model.layers.0.self_attn.q_proj': [12, 9] },
    })
    const down = 'model.layers.0.mlp.down_proj'
    const merged = computeDeltas(merge([pair[0]!, onlyQuery], { method: 'slerp', t: 0.25 })).get(
      down,
    )!
    expect(
      computeDistance(
        merged,
        computeDeltas(pair[0]!)
          .get(down)!
          .map((value) => 0.75 * value),
      ),
    ).toBeLessThan(1e-6)
  })
})

describe('methods on entries, against sums by hand', () => {
  const a = adapterOf([
    [4, -3, 0.1, 2],
    [1, 0.2, -5, 0.3],
  ])
  const b = adapterOf([
    [-1, -4, 6, 0.1],
    [2, 0.3, 3, -0.2],
  ])
  const run = (recipe: MergeRecipe, adapters = [a, b]): number[] =>
    rounded(entriesOf(merge(adapters, { rank: 2, ...recipe })))

  it('ties: trims to half, elects, averages those that agree', () => {
    // Trimmed a: 4 −3 · 2 | · · −5 ·   b: · −4 6 · | 2 · 3 ·   signs of the sums: + − + + | + · − ·
    expect(run({ method: 'ties', density: 0.5 })).toEqual([4, -3.5, 6, 2, 2, 0, -5, 0])
  })
  it('ties: elects and averages by weight', () => {
    expect(run({ method: 'ties', density: 0.5, weights: [1, 3] })).toEqual([
      4, -3.75, 6, 2, 2, 0, 3, 0,
    ])
  })
  it('peft-ties-svd: elects without weights and divides by the count', () => {
    expect(run({ method: 'peft-ties-svd', density: 0.5, weights: [1, 3] })).toEqual([
      4, -7.5, 18, 2, 6, 0, -5, 0,
    ])
  })
  it('magnitude-prune: sums what is left, also with negative weights', () => {
    expect(run({ method: 'magnitude-prune', density: 0.5, weights: [1, -1] })).toEqual([
      4, 1, -6, 2, -2, 0, -8, 0,
    ])
  })
  it('breadcrumbs: drops the largest too', () => {
    // One outlier of eight each (−5 and 6), then the four next.
    expect(run({ method: 'breadcrumbs', density: 0.5, gamma: 0.125 })).toEqual([
      3, -7, 0, 2, 3, 0, 3, 0,
    ])
  })
  it('sce: keeps what differs most, weighs by squares', () => {
    // Variances: 6.25 .25 8.7 .9 | .25 .0025 16 .0625; half of them: columns 0, 2, 3 of the first
    // row, 2 of the second. What is left of a: 4 .1 2 −5 (45.01), of b: −1 6 .1 3 (46.01).
    const wa = 45.01 / 91.02
    const wb = 46.01 / 91.02
    const agreeing = [4, 0, wa * 0.1 + wb * 6, wa * 2 + wb * 0.1, 0, 0, 0, 0]
    const result = run({ method: 'sce', density: 0.5 })
    expect(result).toEqual(rounded([...agreeing.slice(0, 6), -5, 0]))
  })
  it('della and dare keep everything at density 1', () => {
    for (const method of ['della', 'dare-ties'])
      expect(run({ method, density: 1 })).toEqual(run({ method: 'ties', density: 1 }))
    expect(run({ method: 'dare-linear', density: 1 })).toEqual([3, -7, 6.1, 2.1, 3, 0.5, -2, 0.1])
  })
})

describe('random methods', () => {
  const path = 'model.layers.0.mlp.up_proj'
  const adapters = [1, 2].map((seed) =>
    createRandomAdapter({ seed, rank: 2, shapes: { [path]: [6, 5] } }),
  )
  const mean = (method: string, runs: number): Float64Array => {
    const sum = new Float64Array(30)
    for (let seed = 0; seed < runs; seed++)
      computeDeltas(merge(adapters, { method, density: 0.6, seed, rank: 5 }))
        .get(path)!
        .forEach((value, i) => (sum[i]! += value / runs))
    return sum
  }
  it("dare-linear's expectation is the sum", () => {
    const expected = sumDeltas(adapters, [1, 1]).get(path)!
    expect(computeDistance(mean('dare-linear', 20), expected)).toBeGreaterThan(0.05)
    expect(computeDistance(mean('dare-linear', 2000), expected)).toBeLessThan(0.04)
  })
  it('della of one adapter has it for its expectation, and keeps large entries more often', () => {
    const counts = { small: 0, large: 0 }
    const one = adapterOf([[0.1, 0.2, 5, 6, 7, 0.3]])
    const sum = new Float64Array(6)
    for (let seed = 0; seed < 1500; seed++) {
      const got = entriesOf(merge([one], { method: 'della', density: 0.5, epsilon: 0.4, seed }))
      got.forEach((value, i) => (sum[i]! += value / 1500))
      counts.small += Math.abs(got[0]!) > 1e-3 ? 1 : 0
      counts.large += Math.abs(got[4]!) > 1e-3 ? 1 : 0
    }
    expect(computeDistance(sum, [0.1, 0.2, 5, 6, 7, 0.3])).toBeLessThan(0.05)
    expect(counts.small / 1500).toBeCloseTo(0.1, 1)
    expect(counts.large / 1500).toBeCloseTo(0.9, 1)
  })
  it.each(['dare-linear', 'dare-ties', 'della', 'peft-dare-linear', 'peft-dare-ties'])(
    '%s: another seed draws otherwise',
    (method) => {
      const run = (seed: number): Float64Array =>
        computeDeltas(merge(adapters, { method, density: 0.5, seed })).get(path)!
      expect(computeDistance(run(1), run(1))).toBe(0)
      expect(computeDistance(run(1), run(2))).toBeGreaterThan(0.05)
    },
  )
  it('modules do not share their random numbers', () => {
    const equal = {
      'model.layers.0.mlp.up_proj': [6, 5],
      'model.layers.1.mlp.up_proj': [6, 5],
    } as const
    const adapter = createRandomAdapter({ seed: 1, rank: 5, shapes: equal })
    const ones = new Map(
      [...adapter.tensors].map(([key, { shape, data }]) => [
        key,
        f32(shape, (data as Float32Array).fill(1)),
      ]),
    )
    const [first, second] = [
      ...computeDeltas(
        merge([{ ...adapter, tensors: ones }], { method: 'dare-linear', rank: 5 }),
      ).values(),
    ]
    expect(computeDistance(first!, second!)).toBeGreaterThan(0.1)
  })
})

describe('the result', () => {
  it('is a LoRA adapter of scale 1 with the base and the targets of its sources', () => {
    const sources = three.map((adapter) => ({ ...adapter, baseModel: 'tiny' }))
    const merged = merge(sources, { method: 'ties', rank: 2 })
    expect(merged).toMatchObject({
      kind: 'lora',
      baseModel: 'tiny',
      config: { rank: 2, alpha: 2, targets: ['q_proj', 'down_proj'] },
    })
  })
  it('names whole paths where the sources choose their modules in different ways', () => {
    const byLayer = withConfig(three[1]!, { layers: [0] })
    const merged = merge([three[0]!, byLayer], { method: 'average' })
    expect((merged.config as LoraConfig).targets).toEqual(Object.keys(smallShapes))
  })
  it('keeps biases on B', () => {
    const biased = withConfig(three[0]!, { loraBias: true })
    const shifts = new Map(
      Object.entries(smallShapes).map(([path, [rows]]) => [
        `base_model.model.${path}.lora_B.bias`,
        f32([rows], Array<number>(rows).fill(3)),
      ]),
    )
    const merged = merge(
      [{ ...biased, tensors: new Map([...biased.tensors, ...shifts]) }, three[1]!],
      {
        method: 'weighted',
        weights: [0.5, 1],
      },
    )
    // s = 2, so the output moves by 2·3; half of it.
    expect([
      ...(merged.tensors.get('base_model.model.model.layers.0.mlp.down_proj.lora_B.bias')!
        .data as Float32Array),
    ]).toEqual(Array(7).fill(3))
    expectClose(computeDeltas(merged), sumDeltas([three[0]!, three[1]!], [0.5, 1]), 1e-6)
  })
  it('takes embeddings', () => {
    const key = 'base_model.model.model.embed_tokens.lora_embedding_'
    const embedding = (seed: number): Adapter => {
      const plain = createRandomAdapter({ seed, rank: 2, shapes: { x: [4, 9] } })
      const [a, b] = [...plain.tensors.values()]
      return {
        ...withConfig(plain, { targets: ['embed_tokens'] }),
        tensors: new Map([
          [`${key}A`, a!],
          [`${key}B`, b!],
        ]),
      }
    }
    const merged = merge([embedding(1), embedding(2)], {
      method: 'weighted',
      weights: [1, -0.5],
      rank: 4,
    })
    const renamed = new Map(
      [...merged.tensors].map(([name, tensor]) => [
        name.replace(/lora_embedding_(.)/, 'lora_$1.weight'),
        tensor,
      ]),
    )
    const expected = sumDeltas(
      [
        createRandomAdapter({ seed: 1, rank: 2, shapes: { x: [4, 9] } }),
        createRandomAdapter({ seed: 2, rank: 2, shapes: { x: [4, 9] } }),
      ],
      [1, -0.5],
    )
    expect(
      computeDistance(
        [...computeDeltas({ ...merged, tensors: renamed }).values()][0]!,
        expected.get('x')!,
      ),
    ).toBeLessThan(1e-6)
  })
})
