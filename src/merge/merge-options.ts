// The options of merging, one row each: the library and graftlm/node check and describe options by
// these rows. Independent of adapters and methods.

import {
  createField,
  describeValue,
  either,
  flag,
  integer,
  isRecord,
  listOf,
  number,
  oneOf,
  positiveInteger,
  string,
  unchecked,
  withInfo,
  type Field,
} from '../base/schema.ts'

/** One weight for each adapter: by position, or by the adapter's name. */
export type MergeWeights = readonly number[] | Readonly<Record<string, number>>

const expectedWeights = 'a list of numbers, or an object with a number for each adapter’s name'

const isWeight = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)

/** Problems bear the position or the name of the weight. */
const weights: Field<MergeWeights> = {
  ...createField<MergeWeights>(
    expectedWeights,
    {
      anyOf: [
        { type: 'array', items: { type: 'number' } },
        { type: 'object', additionalProperties: { type: 'number' } },
      ],
    },
    (value) => (Array.isArray(value) || isRecord(value)) && Object.values(value).every(isWeight),
    { about: 'one per adapter (default: 1 each)' },
  ),
  findProblems(value, name) {
    if (!Array.isArray(value) && !isRecord(value))
      return [`${name}: got ${describeValue(value)}, expected ${expectedWeights}`]
    return Object.entries(value).flatMap(([key, weight]) =>
      isWeight(weight) ? [] : [`${name}[${key}]: got ${describeValue(weight)}, expected a number`],
    )
  },
}

/** What methods take; which method takes which is in its row. */
export const methodOptions = {
  weights,
  normalize: flag({ about: 'divide the weights by their sum', default: false }),
  density: number({
    above: 0,
    to: 1,
    default: 0.5,
    about: 'share of entries that are kept, above 0 and up to 1',
  }),
  t: number({ from: 0, to: 1, default: 0.5, about: 'slerp: 0 is the first adapter, 1 the second' }),
  epsilon: number({
    from: 0,
    below: 1,
    about:
      'della: how far keep probabilities reach from the density; 0.1, less where the density is near 0 or 1',
  }),
  gamma: number({
    from: 0,
    below: 1,
    default: 0.01,
    about: 'breadcrumbs: share of the largest entries that are dropped',
  }),
  majority: oneOf(['total', 'frequency'], {
    default: 'total',
    about: 'peft-ties: how a sign is elected',
  }),
  rank: withInfo(positiveInteger, { about: 'rank of the result at most' }),
  energy: number({
    above: 0,
    to: 1,
    about:
      'the smallest rank that keeps this share of the squared singular values, chosen for each module',
  }),
  seed: integer({ default: 0, about: 'for methods that draw at random' }),
}

export const mergedDtypes = ['f32', 'f16', 'bf16'] as const

/** What the result is. */
export const resultOptions = {
  name: string({ filled: true, about: 'name of the result, in its metadata' }),
  tags: listOf(string(), { about: 'tags of the result, in its metadata' }),
  dtype: oneOf(mergedDtypes, { default: 'f32', about: 'element type of the result’s tensors' }),
  targets: either(string(), listOf(string()), {
    about: 'modules to merge: a preset, ends of names, or a regular expression (default: all)',
  }),
}

/** What merging is given besides its options. */
export const mergeContext = {
  base: unchecked('the base’s graph as { model, weightOf }'),
  anyBase: flag({
    default: false,
    about: 'also adapters of bases that differ in name or hash, such as two quantisations',
  }),
  onModule: unchecked('a function that is called after each module'),
}

export const mergeOptions = {
  method: string({ default: 'weighted', about: 'a row of mergeMethods' }),
  ...methodOptions,
  ...resultOptions,
  ...mergeContext,
}
