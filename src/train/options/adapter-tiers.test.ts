// Tiers and classes of tasks, and their cost on bases of several sizes, as in docs/tiers.md.

import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { computeAdapterCost } from '../../adapters/cost.ts'
import { OptionError } from '../../base/errors.ts'
import { buildModelGraph } from '../../graph/build-model.ts'
import { getArchitecture } from '../../graph/models/architecture-table.ts'
import { computeTier, getTierRecipe, listTierOptions, tierRecipes } from './adapter-tiers.ts'

const createGraph = (given: object) => {
  const json = {
    model_type: 'llama',
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
    ...given,
  }
  return buildModelGraph(getArchitecture(json).readConfig(json))
}

/** Shapes of config.json as the hub has them. */
const bases = {
  'SmolLM2-135M': createGraph({
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49_152,
    tie_word_embeddings: true,
  }),
  'Qwen2.5-7B': createGraph({
    model_type: 'qwen2',
    hidden_size: 3584,
    intermediate_size: 18_944,
    num_hidden_layers: 28,
    num_attention_heads: 28,
    num_key_value_heads: 4,
    vocab_size: 152_064,
  }),
  'Mistral-7B': createGraph({
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 32_768,
  }),
  'Llama-2-7B': createGraph({
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    vocab_size: 32_000,
  }),
}

/** Millions of bytes in 16 bits. */
function computeMegabytes(name: string, base: keyof typeof bases): number {
  const { kind, config } = getTierRecipe(name)
  return computeAdapterCost(kind, config, bases[base], 'f16').bytes / 1e6
}

const aims = { ultralight: [1, 5], medium: [10, 20], heavy: [20, 50] } as const

describe('tiers', () => {
  it.each([
    ['ultralight', 'ia3+prompt-tuning', undefined],
    ['medium', 'dora', 12],
    ['heavy', 'dora', 24],
    ['json', 'ia3+prompt-tuning', undefined],
    ['style', 'ia3+prompt-tuning', undefined],
    ['typescript', 'dora', 12],
    ['sql', 'dora', 16],
    ['cypher', 'dora', 24],
    ['classification', 'dora', 8],
  ])('%s is %s of rank %s', (name, kind, rank) => {
    const recipe = getTierRecipe(name)
    expect([recipe.kind, recipe.config['rank']]).toEqual([kind, rank])
  })

  it('are there in full; another name is refused with the nearest', () => {
    expect(tierRecipes.size).toBe(9)
    expect(() => getTierRecipe('hevy')).toThrow(OptionError)
    expect(() => getTierRecipe('hevy')).toThrow('Did you mean "heavy"?')
  })

  it.each([...tierRecipes.keys()])('%s takes what its tier may on a base of 7 B', (name) => {
    const [least, most] = aims[getTierRecipe(name).tier]
    const size = computeMegabytes(name, 'Qwen2.5-7B')
    expect(size).toBeGreaterThanOrEqual(least)
    expect(size).toBeLessThanOrEqual(most)
  })

  it('take what the table in docs/tiers.md says', async () => {
    const page = await readFile(new URL('../../../docs/tiers.md', import.meta.url), 'utf8')
    for (const name of tierRecipes.keys()) {
      const line = page.split('\n').find((each) => each.startsWith(`| \`${name}\``)) ?? ''
      const cells = line.split('|').slice(1, -1)
      const shown = cells.slice(3, 7).map((cell) => cell.trim())
      const sizes = Object.keys(bases).map((base) =>
        computeMegabytes(name, base as keyof typeof bases).toPrecision(3),
      )
      expect([name, shown]).toEqual([name, sizes])
    }
  })

  it('lend rank and layers to another kind, as far as it has them', () => {
    expect(listTierOptions(getTierRecipe('sql'), 'lora')).toEqual({
      rank: 16,
      targets: 'attention',
    })
    expect(listTierOptions(getTierRecipe('sql'), 'ia3')).toEqual({ targets: 'attention' })
  })

  it.each([
    ['lora', { rank: 8 }, 'medium'],
    ['dora', { rank: 16 }, 'heavy'],
    ['ia3', {}, 'ultralight'],
    ['lora', { rank: 4, modulesToSave: ['lm_head'] }, 'heavy'],
    [
      'ia3+lora',
      {
        parts: [
          { kind: 'ia3', config: {} },
          { kind: 'lora', config: { rank: 4 } },
        ],
      },
      'medium',
    ],
  ])('of a %s with %j is found: %s', (kind, config, tier) => {
    expect(computeTier({ kind, config })).toBe(tier)
  })
})
