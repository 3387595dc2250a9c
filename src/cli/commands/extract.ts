// graft extract: extracts the adapter between a base and a model tuned from it.

import { integer, number, string, withInfo } from '../../base/schema.ts'
import { checkAbsent } from '../../node/files/atomic-write.ts'
import { defineCommand, toOption, UsageError } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'
import { parseTargets } from '../shared/parse-targets.ts'

const { model } = modelOptions
const presetNames = ['all-linear', 'attention', 'mlp', 'default']

export const extractCommand = defineCommand({
  name: 'extract',
  summary: 'extract an adapter from a base and a model that was tuned from it',
  usage: '--base <model> --tuned <model> --rank <r> --out <folder>',
  positionals: [0, 0],
  options: {
    base: toOption(
      withInfo(model, {
        about: 'the model to start from (directory, .gguf file, hf:owner/name or name)',
      }),
      { short: 'b', required: true },
    ),
    tuned: toOption(withInfo(model, { about: 'the tuned model, of the same form' }), {
      short: 't',
      required: true,
    }),
    rank: integer({ from: 1, about: 'most directions that each layer keeps' }),
    energy: number({
      about:
        'the smallest rank that keeps this share of the squared singular values, chosen for each layer',
    }),
    targets: toOption(
      string({
        about:
          "layers to compare, with commas: q_proj,v_proj, or 'all-linear' (default), 'attention', 'mlp'",
      }),
      { valueName: 'names' },
    ),
    out: toOption(string({ about: 'folder of the adapter; it must not exist yet' }), {
      valueName: 'folder',
      short: 'o',
      required: true,
    }),
  },
  examples: [
    {
      command:
        'graft extract --base smollm2-135m-instruct --tuned my-model --rank 16 --out my-expert',
      about: 'the best rank 16 for each layer',
    },
    {
      command: 'graft extract --base base.gguf --tuned tuned.gguf --energy 0.9 --out my-expert',
      about: 'the rank that nine tenths of the change need',
    },
  ],
  async run({ values, terminal, commandLine: command }) {
    const { base, tuned, rank, energy, targets, out } = values
    if (rank === undefined && energy === undefined) throw new UsageError('give --rank or --energy.')
    await checkAbsent(out)
    const { extractFolder } = await import('../merge/extract-folder.ts')
    return extractFolder(
      { base, tuned, out, command },
      {
        rank,
        energy,
        targets: targets === undefined ? undefined : parseTargets(targets, presetNames),
      },
      terminal,
    )
  },
})
