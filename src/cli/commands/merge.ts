// graft merge: merges several experts into one adapter, or into the weights of a base.

import { flag, integer, number, oneOf, string, withInfo } from '../../base/schema.ts'
import type { MergedType, MergeRecipe } from '../../merge/index.ts'
import { methodOptions } from '../../merge/merge-options.ts'
import { checkAbsent } from '../../node/files/atomic-write.ts'
import { checkValue, defineCommand, toOption, UsageError, withoutDefault } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

const recipeOptions = {
  method: toOption(
    string({
      about:
        'how to merge; graft merge --methods lists the methods and their options (default: weighted)',
    }),
    { valueName: 'name' },
  ),
  weights: toOption(
    string({ about: `${methodOptions.weights.about}; with a negative one: --weights=-1,0.5` }),
    { valueName: 'w1,w2,...' },
  ),
  normalize: flag({ about: methodOptions.normalize.about ?? '' }),
  density: withoutDefault(methodOptions.density),
  t: withoutDefault(methodOptions.t),
  epsilon: withoutDefault(methodOptions.epsilon),
  gamma: withoutDefault(methodOptions.gamma),
  majority: withoutDefault(methodOptions.majority),
  rank: withoutDefault(methodOptions.rank),
  energy: withoutDefault(methodOptions.energy),
  seed: withoutDefault(methodOptions.seed),
} as const

export const mergeCommand = defineCommand({
  name: 'merge',
  summary: 'merge several experts into one adapter, or into the weights of a base',
  usage: '<adapter folders...> --out <folder> [--into-base]',
  positionals: [0, Infinity],
  options: {
    ...recipeOptions,
    out: toOption(
      string({
        about:
          'folder of the result, or with --into-base a file that ends in .gguf; it must not exist yet',
      }),
      { valueName: 'folder', short: 'o' },
    ),
    model: withInfo(modelOptions.model, {
      about:
        'the base, to check the adapters against; needed for DoRA, IA3 and LoKr (directory, .gguf file, hf:owner/name or name)',
    }),
    'any-base': flag({
      about:
        'allow adapters of bases that differ in name or hash, such as two quantisations of one model',
    }),
    'into-base': flag({
      about:
        'write the whole base (--model, else the one the adapters name) with the adapters in its weights',
    }),
    dtype: oneOf(['f32', 'f16', 'bf16', 'q8_0'], {
      about:
        "with --into-base: type of a folder's tensors, or of those that change in a GGUF (default: their own, if it can be written)",
    }),
    prompts: integer({
      from: 0,
      about:
        'with --into-base: prompts on which the written model is compared with base and adapters (default: 8; 0: none)',
    }),
    methods: flag({ about: 'list the methods' }),
  },
  examples: [
    {
      command: 'graft merge coder security --method ties --density 0.5 --rank 16 --out both',
      about: 'by sign election, cut to rank 16',
    },
    {
      command: 'graft merge coder security --weights 0.7,0.3 --out both',
      about: 'the exact weighted sum',
    },
    {
      command: 'graft merge coder --into-base --out coder-model',
      about: 'the whole model with the expert in its weights, as a folder',
    },
    {
      command: 'graft merge coder --into-base --model model.gguf --out coder.gguf',
      about:
        'the same for llama.cpp; a quantised base is quantised again where it changes, and the shift of its logits is shown',
    },
    { command: 'graft merge --methods', about: 'every method with its options' },
  ],
  async more() {
    const { mergeMethods } = await import('../../merge/method-table.ts')
    const rows = [...mergeMethods.values()].map(({ name, formula }) => [`  ${name}`, formula])
    return [
      '',
      'methods (K adapters with weights w, s a sign; details: docs/merge.md):',
      ...formatTable(rows),
    ]
  },
  async run({ values, positionals, terminal, commandLine: command }) {
    const { mergeMethods } = await import('../../merge/method-table.ts')
    if (values.methods) return listMethods([...mergeMethods.values()], terminal)
    if (positionals.length === 0)
      throw new UsageError(
        'an argument is missing: graft merge <adapter folders...> --out <folder>',
      )
    if (values.out === undefined) throw new UsageError('--out is missing.')
    await checkAbsent(values.out)
    if (values['into-base']) {
      const { mergeFoldersIntoBase } = await import('../merge/merge-into-base.ts')
      return mergeFoldersIntoBase(
        positionals,
        readRecipe(values),
        readIntoBaseOptions(values, values.out),
        terminal,
      )
    }
    const misplaced = (['dtype', 'prompts'] as const).filter((name) => values[name] !== undefined)
    if (misplaced.length > 0)
      throw new UsageError(`--${misplaced.join(' and --')} is for --into-base.`)
    const { mergeFolders } = await import('../merge/merge-folders.ts')
    return mergeFolders(
      positionals,
      readRecipe(values),
      { out: values.out, model: values.model, anyBase: values['any-base'], command },
      terminal,
    )
  },
})

interface IntoBaseValues {
  readonly model: string | undefined
  readonly dtype: MergedType | undefined
  readonly prompts: number | undefined
  readonly 'any-base': boolean
}

const readIntoBaseOptions = (
  { model, dtype, prompts, 'any-base': anyBase }: IntoBaseValues,
  out: string,
) => ({
  anyBase,
  model,
  dtype,
  prompts,
  out,
})

type RecipeValues = {
  readonly [Name in keyof typeof recipeOptions]: string | number | boolean | undefined
}

/** What was given and nothing else, so that a method can refuse an option that it does not have. */
function readRecipe(values: RecipeValues): MergeRecipe {
  const { method = 'weighted', weights, normalize } = values
  const plain = ['density', 't', 'epsilon', 'gamma', 'majority', 'rank', 'energy', 'seed'] as const
  return {
    method: String(method),
    ...(weights === undefined ? {} : { weights: String(weights).split(',').map(parseWeight) }),
    ...(normalize === true ? { normalize } : {}),
    ...Object.fromEntries(
      plain.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])),
    ),
  }
}

function parseWeight(text: string): number {
  const weight = text.trim() === '' ? text : Number(text)
  checkValue(number(), Number.isNaN(weight) ? text : weight, '--weights')
  return Number(weight)
}

interface MethodRow {
  readonly name: string
  readonly formula: string
  readonly summary: string
  readonly options: readonly string[]
}

function listMethods(methods: readonly MethodRow[], { print }: Terminal) {
  for (const line of formatTable(
    methods.map(({ name, summary, options }) => [name, summary, options.join(', ')]),
  ))
    print(line)
  return {
    methods: methods.map(({ name, formula, summary, options }) => ({
      name,
      formula,
      summary,
      options,
    })),
  }
}
