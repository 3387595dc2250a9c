// Named settings of adapters (kind, rank and layers): tiers by the memory and time that they cost,
// and classes of tasks with a suitable tier and rank.

import { OptionError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'

/** The names in an expert's manifest. */
export type AdapterTier = 'ultralight' | 'medium' | 'heavy'

export interface TierRecipe {
  /** A tier, or a class of tasks. */
  readonly name: string
  readonly tier: AdapterTier
  readonly kind: string
  /** The options of the kind. */
  readonly config: Readonly<Record<string, unknown>>
  readonly about: string
}

/** Factors and a soft prompt, without matrices. */
const createUltralight = (name: string, about: string): TierRecipe => ({
  name,
  tier: 'ultralight',
  kind: 'ia3+prompt-tuning',
  config: {},
  about,
})

const mediumRank = 12

const createDora = (name: string, rank: number, about: string): TierRecipe => ({
  name,
  tier: getRankTier(rank),
  kind: 'dora',
  config: { rank, targets: 'attention' },
  about,
})

const getRankTier = (rank: number): AdapterTier => (rank <= mediumRank ? 'medium' : 'heavy')

export const tierRecipes: ReadonlyMap<string, TierRecipe> = new Map(
  [
    createUltralight('ultralight', 'a form or a tone: what the base can do, done reliably'),
    createDora('medium', mediumRank, 'a task that the base half knows'),
    createDora('heavy', 24, 'a task that is new to the base'),
    createUltralight('json', 'answers in JSON'),
    createUltralight('style', 'a tone, a length, a persona'),
    createDora('typescript', 12, 'TypeScript'),
    createDora('sql', 16, 'queries in SQL'),
    createDora('cypher', 24, 'queries in Cypher'),
    createDora('classification', 8, 'one of a few labels'),
  ].map((recipe) => [recipe.name, recipe]),
)

/** Throws OptionError with the nearest name. */
export function getTierRecipe(name: string): TierRecipe {
  const recipe = tierRecipes.get(name)
  if (recipe) return recipe
  const names = [...tierRecipes.keys()]
  const meant = findNearestName(name, names)
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  throw new OptionError(`There is no tier "${name}".${hint} There are: ${names.join(', ')}.`)
}

/** The options of a recipe that another kind also has: rank and targets. */
export function listTierOptions(
  { kind: own, config }: TierRecipe,
  kind: string,
): Readonly<Record<string, unknown>> {
  if (kind === own) return config
  const { options } = getKind(kind)
  return Object.fromEntries(Object.entries(config).filter(([name]) => Object.hasOwn(options, name)))
}

/** The tier of any adapter: ultralight without matrices, else by its rank. */
export function computeTier({
  kind,
  config,
}: {
  readonly kind: string
  readonly config: object
}): AdapterTier {
  const { rank, parts, modulesToSave } = config as Readonly<Record<string, unknown>>
  if (Array.isArray(modulesToSave) && modulesToSave.length > 0) return 'heavy'
  if (Array.isArray(parts)) {
    const tiers = parts.filter(isRecord).map((part) => computeTier(part as never))
    return (['heavy', 'medium'] as const).find((tier) => tiers.includes(tier)) ?? 'ultralight'
  }
  return typeof rank === 'number' && kind !== 'vera' ? getRankTier(rank) : 'ultralight'
}
