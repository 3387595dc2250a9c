// Options of the tiers: one row each, with its bounds and its default. Independent of models and
// users.

import {
  either,
  type Field,
  type Fields,
  type GivenOptions,
  integer,
  listOf,
  naturalNumber,
  number,
  object,
  oneOf,
  positiveInteger,
  string,
  type ValueOf,
} from '../../base/schema.ts'

/** Rows that both fast tiers have. */
const adamRows = {
  /** Factor of the running mean of gradients (Adam's β₁). Default 0.9. */
  momentum: number({ from: 0, below: 1, default: 0.9 }),
  /** Share of the weights subtracted at a step, times the learning rate. Default 0. */
  decay: number({ from: 0, default: 0 }),
}

/** The fast tier at the head. */
export const headTierFields = {
  /** 1 to 16. Default 4. */
  rank: integer({ from: 1, to: 16, default: 4 }),
  /** Adam's step size. Default 2e-3 (docs/learn-results.md has measurements of others). */
  learningRate: number({ above: 0, default: 2e-3 }),
  /**
   * Largest relative step: no step moves the turn's own hidden states by more than this share of
   * their length, on average. Default 0.1.
   */
  trust: number({ above: 0, to: Infinity, default: 0.1 }),
  momentum: adamRows.momentum,
  decay: adamRows.decay,
  /** Of the random start of A. Default 0. */
  seed: number({ default: 0 }),
}
export type HeadTierOptions = GivenOptions<typeof headTierFields>

/** Each user's fast tier on layers. */
export const layerTierFields = {
  /** Adam's step size. Default 5e-3 (docs/learn-results.md has measurements of others). */
  learningRate: number({ above: 0, default: 5e-3 }),
  /**
   * Largest relative step: no step changes a module's weight by more than this share of its
   * Frobenius norm. Default 0.01.
   */
  trust: number({ above: 0, to: Infinity, default: 0.01 }),
  momentum: adamRows.momentum,
  decay: adamRows.decay,
}
export type LayerTierOptions = GivenOptions<typeof layerTierFields>

/** `{ modules: 'all-linear', layers: { last: 2 } }` */
export interface TierTargets {
  /** 'head', a preset of adapters ('all-linear'), or ends of module names ('v_proj'). */
  readonly modules: string | readonly string[]
  /**
   * Numbers of layers, or the last ones. Default: all. Layers below the lowest of them take part in
   * no backward pass.
   */
  readonly layers?: readonly number[] | { readonly last: number }
  /**
   * How many modules take each step: those with the largest gradients (running mean). Default: all.
   */
  readonly top?: number
}

/** Layers of a model: their numbers, or the last ones. */
export const layersField = either(
  listOf(naturalNumber, { least: 1 }),
  object({ last: positiveInteger }),
)

export type LayerChoice = ValueOf<typeof layersField>

export const tierTargetsFields = {
  modules: either(string(), listOf(string())),
  layers: layersField,
  top: positiveInteger,
} satisfies Record<keyof TierTargets, Field>

const where = object(tierTargetsFields) as unknown as Field<TierTargets>

/** Fast tiers on layers, as one program for all users of a model. */
export const layerTiersFields = {
  ...layerTierFields,
  /** The target modules. Default: all linear layers of the last two layers. */
  where,
  /** 1 to 16. Default 2. */
  rank: integer({ from: 1, to: 16, default: 2 }),
  /** Of the random start of A. Default 0. */
  seed: number({ default: 0 }),
}
export type LayerTiersOptions = GivenOptions<typeof layerTiersFields>

/** The memory tier. */
export const memoryFields = {
  /**
   * Largest number of entries; a new one then replaces the one with the lowest usefulness score.
   * Default 10,000.
   */
  capacity: integer({ from: 1, to: 1_000_000, default: 10_000 }),
  /**
   * Inverse temperature θ at the start, before it is learned: how steeply similarity counts.
   * Default 80 (docs/learn-results.md has the measurements).
   */
  sharpness: number({ above: 0, default: 80 }),
}
export type MemoryTierOptions = GivenOptions<typeof memoryFields>

/** Options of a tier, or false for none. */
const createTierField = <const Of extends Fields>(fields: Of) =>
  either(object(fields), oneOf([false]))

/** A user's tiers over the head. */
export const tierStackFields = {
  /** The fast tier; false: none. */
  fast: createTierField(headTierFields),
  /** The memory; false: none. */
  memory: createTierField(memoryFields),
}
export type TierStackOptions = GivenOptions<typeof tierStackFields>

/** As `tierStackFields`, where the fast tier may also be on layers; the default is the head. */
export const placedTierFields = {
  /**
   * The fast tier; false: none. With `where` it is on layers instead of at the head, and the
   * defaults are rank 2, learningRate 5e-3 and trust 0.01. `{ head, layers }` are the options of
   * two fast tiers that learn together; nothing else may be present too them.
   */
  fast: createTierField({
    ...headTierFields,
    where,
    head: object(headTierFields),
    layers: object(layerTiersFields),
  }),
  memory: tierStackFields.memory,
}

/**
 * How many tokens of the vocabulary a gradient looks at: the top k of each position and its target,
 * or all.
 */
export const breadthField = either(positiveInteger, oneOf(['all']))
export type Breadth = number | 'all'
