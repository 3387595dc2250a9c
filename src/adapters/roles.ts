// Adapters by what they are for: sizes and layers that suit a role, for a standalone model of any
// width and for any language model.

import { OptionError } from '../base/errors.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { Adapter, CreateAdapterOptions } from './adapter.ts'
import { configureAdapter, type AdapterRecipe, createFromRecipe } from './adapter-config.ts'
import { computeAdapterCost, type AdapterCost } from './cost.ts'
import { listAdaptableModules } from './adapted-layers.ts'
import { formatStandaloneBase } from './vectors/create.ts'
import { createStandaloneModel } from './vectors/model.ts'
import { listModuleNames } from './targets.ts'

const attention = ['q_proj', 'k_proj', 'v_proj', 'o_proj']

const createRecipe = (
  name: string,
  rank: number,
  targets: readonly string[],
  description: string,
  tags: readonly string[],
): AdapterRecipe =>
  configureAdapter(name)
    .rank(rank)
    .alpha(2 * rank)
    .targets(targets)
    .description(description)
    .tag(...tags)
    .build()

export const roles: ReadonlyMap<string, AdapterRecipe> = new Map(
  [
    createRecipe('coder', 16, attention, 'Writes, completes and explains code.', [
      'code',
      'completion',
      'debugging',
    ]),
    createRecipe(
      'researcher',
      8,
      ['q_proj', 'k_proj', 'v_proj'],
      'Reads sources, compares and sums up.',
      ['research', 'analysis', 'summary'],
    ),
    createRecipe(
      'security',
      16,
      [...attention, 'gate_proj', 'up_proj', 'down_proj'],
      'Finds weaknesses in code and settings.',
      ['security', 'vulnerability', 'audit'],
    ),
    createRecipe(
      'architect',
      12,
      ['q_proj', 'v_proj', 'gate_proj', 'up_proj'],
      'Designs systems and their parts.',
      ['architecture', 'design', 'scaling'],
    ),
    createRecipe(
      'reviewer',
      8,
      ['q_proj', 'v_proj'],
      'Judges changes against what they should do.',
      ['review', 'quality', 'correctness'],
    ),
  ].map((role) => [role.name, role]),
)

export function getRole(name: string): AdapterRecipe {
  const role = roles.get(name)
  if (!role)
    throw new OptionError(`There is no role "${name}". There are: ${[...roles.keys()].join(', ')}.`)
  return role
}

/** Layers that hold several of the usual ones in one weight. */
const fused: Readonly<Record<string, string>> = {
  q_proj: 'qkv_proj',
  k_proj: 'qkv_proj',
  v_proj: 'qkv_proj',
  gate_proj: 'gate_up_proj',
  up_proj: 'gate_up_proj',
}

/**
 * A role's recipe with the layers as this model calls them: where queries, keys and values (or gate
 * and up) lie in one layer, that one. Throws OptionError where the model has none of them.
 */
export function resolveRole(name: string, model: ModelGraph): AdapterRecipe {
  const role = getRole(name)
  const there = new Set(listModuleNames(listAdaptableModules(model)))
  const targets = [
    ...new Set(
      (role.config['targets'] as string[]).flatMap((target) =>
        [target, fused[target] ?? target].filter((each) => there.has(each)).slice(0, 1),
      ),
    ),
  ]
  if (targets.length === 0)
    throw new OptionError(
      `Role "${name}": the model has none of its layers; it has ${[...there].join(', ')}.`,
    )
  return { ...role, config: { ...role.config, targets } }
}

/**
 * A fresh adapter of a role: for a language model's graph, or for vectors of a width:
 * `createRole('coder', 768)`. Seed 0 unless given.
 */
export function createRole(
  name: string,
  base: ModelGraph | number,
  options: Partial<CreateAdapterOptions> = {},
): Adapter {
  if (typeof base !== 'number')
    return createFromRecipe(resolveRole(name, base), base, { seed: 0, ...options })
  const { graph, weightOf } = createStandaloneModel(base)
  return createFromRecipe(getRole(name), graph, {
    seed: 0,
    weightOf,
    baseModel: formatStandaloneBase(base),
    ...options,
  })
}

/** What a role's adapter costs on a model's graph, or on vectors of a width. */
export function computeRoleCost(name: string, base: ModelGraph | number): AdapterCost {
  const model = typeof base === 'number' ? createStandaloneModel(base).graph : base
  return computeAdapterCost('lora', resolveRole(name, model).config, model)
}
