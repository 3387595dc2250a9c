// Adapters by role: a rank and target layers that suit a task, for vectors of any width and for any
// language model.

import { OptionError } from '../base/errors.ts'
import { findNearestName } from '../base/suggest.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { Adapter } from './adapter.ts'
import { configureAdapter, type AdapterRecipe, toAdapterMetadata } from './adapter-config.ts'
import { computeAdapterCost, type AdapterCost } from './cost.ts'
import {
  type AdapterBase,
  type AdapterTarget,
  type CreateAdapterOptions,
  initializeAdapter,
  resolveBase,
} from './create-adapter.ts'
import { listAdaptableModules } from './adapted-layers.ts'
import { createStandaloneModel } from './vectors/model.ts'
import { getKind } from './kinds/kind-table.ts'
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
  if (role) return role
  const names = [...roles.keys()]
  const meant = typeof name === 'string' ? findNearestName(name, names) : undefined
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  throw new OptionError(`There is no role "${name}".${hint} There are: ${names.join(', ')}.`)
}

/** Layers that have several of the usual projections in one weight. */
const fused: Readonly<Record<string, string>> = {
  q_proj: 'qkv_proj',
  k_proj: 'qkv_proj',
  v_proj: 'qkv_proj',
  gate_proj: 'gate_up_proj',
  up_proj: 'gate_up_proj',
}

/**
 * A role's recipe with this model's layer names: the fused layer where queries, keys and values (or
 * gate and up) share one. Throws OptionError if the model has none of the layers.
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
 * A role with your own kind and options: rank, alpha and targets default to the role's, if the kind
 * has that option. With another rank, alpha is the kind's default for that rank.
 */
export function completeRole(
  name: string,
  model: ModelGraph,
  { kind, config: own = {} }: Pick<AdapterRecipe, 'kind'> & Partial<Pick<AdapterRecipe, 'config'>>,
): AdapterRecipe {
  const role = 'targets' in own ? getRole(name) : resolveRole(name, model)
  const { options } = getKind(kind)
  const left = Object.entries(role.config).filter(
    ([option]) => Object.hasOwn(options, option) && !(option === 'alpha' && 'rank' in own),
  )
  return { ...role, kind, config: Object.assign(Object.fromEntries(left), own) }
}

/** A base for a role: a language model, or the width of vectors. */
export type RoleBase = AdapterTarget | number

const resolveRoleBase = (base: RoleBase, what: string): AdapterBase =>
  typeof base === 'number' ? createStandaloneModel(base) : resolveBase(base, what)

/**
 * A new adapter of a role, for a language model or for vectors of a width: `createRole('coder',
 * 768)`.
 */
export function createRole(
  name: string,
  base: RoleBase,
  options: CreateAdapterOptions = {},
): Adapter {
  const { graph, name: baseModel, weightOf } = resolveRoleBase(base, 'createRole')
  const { config, ...recipe } = resolveRole(name, graph)
  return initializeAdapter(recipe.kind, config, graph, {
    ...(baseModel !== undefined && { baseModel }),
    ...(weightOf && { weightOf }),
    ...options,
    metadata: { ...toAdapterMetadata({ ...recipe, config }), ...options.metadata },
  })
}

/** The cost of a role's adapter for a language model, or for vectors of a width. */
export function computeRoleCost(name: string, base: RoleBase): AdapterCost {
  const { graph } = resolveRoleBase(base, 'computeRoleCost')
  return computeAdapterCost('lora', resolveRole(name, graph).config, graph)
}
