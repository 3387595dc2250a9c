// graft merge: several experts into one adapter, or into the weights of a base.

import { stat } from 'node:fs/promises'
import { OptionError } from '../../base/errors.ts'
import type { MergeRecipe } from '../../merge/index.ts'
import { defineCommand, UsageError } from '../command.ts'
import { modelOptions } from '../open-model.ts'
import { table } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

const recipeOptions = {
  method: {
    type: 'text',
    value: 'name',
    about: 'how to merge; graft merge --methods lists the methods and their options (default: weighted)',
  },
  weights: { type: 'text', value: 'w1,w2,...', about: 'one per adapter, 1 each unless given; with a negative one: --weights=-1,0.5' },
  normalize: { type: 'flag', about: 'divide the weights by their sum' },
  density: { type: 'number', about: 'share of entries that are kept, above 0 and up to 1 (default 0.5)' },
  t: { type: 'number', about: 'slerp: 0 is the first adapter, 1 the second (default 0.5)' },
  epsilon: { type: 'number', about: 'della: how far keep probabilities reach from the density (default 0.1)' },
  gamma: { type: 'number', about: 'breadcrumbs: share of the largest entries that are dropped (default 0.01)' },
  majority: { type: 'text', choices: ['total', 'frequency'], about: 'peft-ties: how a sign is elected (default total)' },
  rank: { type: 'integer', least: 1, about: 'rank of the result at most' },
  energy: { type: 'number', about: 'the smallest rank that keeps this share of the squared singular values, in every module by itself' },
  seed: { type: 'integer', about: 'for methods that draw at random (default 0)' },
} as const

export const mergeCommand = defineCommand({
  name: 'merge',
  summary: 'several experts into one adapter, or into the weights of a base',
  usage: '<adapter folders...> --out <folder>',
  words: [0, Infinity],
  options: {
    ...recipeOptions,
    out: { type: 'text', value: 'folder', short: 'o', about: 'where the result goes; must not exist yet' },
    model: {
      ...modelOptions.model,
      about: 'the base, to check the adapters against; needed for DoRA, IA3 and LoKr (directory, .gguf file, hf:owner/name or name)',
    },
    methods: { type: 'flag', about: 'list the methods' },
  },
  examples: [
    { command: 'graft merge coder security --method ties --density 0.5 --rank 16 --out both', about: 'by sign election, cut to rank 16' },
    { command: 'graft merge coder security --weights 0.7,0.3 --out both', about: 'the exact weighted sum' },
    { command: 'graft merge --methods', about: 'every method with its options' },
  ],
  async run({ values, words, terminal }) {
    const { mergeMethods } = await import('../../merge/index.ts')
    if (values.methods) return listMethods([...mergeMethods.values()], terminal)
    if (words.length === 0) throw new UsageError('something is missing: graft merge <adapter folders...> --out <folder>')
    if (values.out === undefined) throw new UsageError('--out is missing.')
    if (await stat(values.out).catch(() => undefined))
      throw new OptionError(`${values.out}: exists already. Choose a folder that does not exist yet.`)
    const { mergeFolders } = await import('../merge-folders.ts')
    return mergeFolders(words, recipeOf(values), { out: values.out, model: values.model }, terminal)
  },
})

type RecipeValues = { readonly [Name in keyof typeof recipeOptions]: string | number | boolean | undefined }

/** What was given and nothing else, so that a method can refuse an option that it does not have. */
function recipeOf(values: RecipeValues): MergeRecipe {
  const { method = 'weighted', weights, normalize } = values
  const plain = ['density', 't', 'epsilon', 'gamma', 'majority', 'rank', 'energy', 'seed'] as const
  return {
    method: String(method),
    ...(weights === undefined ? {} : { weights: String(weights).split(',').map(numberOf) }),
    ...(normalize === true ? { normalize } : {}),
    ...Object.fromEntries(plain.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]]))),
  }
}

function numberOf(text: string): number {
  const number = text.trim() === '' ? NaN : Number(text)
  if (Number.isFinite(number)) return number
  throw new UsageError(`--weights wants numbers with commas between them, got ${JSON.stringify(text)}.`)
}

interface MethodRow {
  readonly name: string
  readonly summary: string
  readonly options: readonly string[]
}

function listMethods(methods: readonly MethodRow[], { print }: Terminal) {
  for (const line of table(methods.map(({ name, summary, options }) => [name, summary, options.join(', ')]))) print(line)
  return { methods: methods.map(({ name, summary, options }) => ({ name, summary, options })) }
}
