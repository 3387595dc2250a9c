// graft compress: reduces an expert to a lower rank and reports the loss.

import { integer, number, string, withInfo } from '../../base/schema.ts'
import { checkAbsent } from '../../node/files/atomic-write.ts'
import { defineCommand, toOption, UsageError } from '../command.ts'
import { anyBaseOption, modelOptions } from '../shared/open-model.ts'

export const compressCommand = defineCommand({
  name: 'compress',
  summary: "lower an expert's rank, measure the loss, and repair it by a short training",
  usage: '<adapter folder> --rank <r> --out <folder>',
  positionals: [1, 1],
  options: {
    ...modelOptions,
    model: withInfo(modelOptions.model, {
      about: "the base, to measure on (default: the expert's own)",
    }),
    rank: integer({ from: 1, about: 'most directions that each module keeps' }),
    energy: number({
      about:
        'the smallest rank that keeps this share of the squared singular values, chosen for each module',
    }),
    data: toOption(
      string({ about: 'rows to measure on: loss before and after, and how far predictions moved' }),
      { valueName: 'file.jsonl', short: 'd' },
    ),
    heal: toOption(
      integer({
        from: 1,
        about: 'steps of recovery training: the small expert learns from the large one, on --data',
      }),
      { valueName: 'steps' },
    ),
    'learning-rate': number({ from: 0, default: 5e-4, about: 'of the recovery training' }),
    'max-tokens': integer({ from: 2, default: 256, about: 'longer rows are cut' }),
    seed: integer({ default: 0, about: "of the rows' order in the recovery training" }),
    ...anyBaseOption,
    out: toOption(string({ about: 'folder of the result; it must not exist yet' }), {
      valueName: 'folder',
      short: 'o',
      required: true,
    }),
  },
  examples: [
    {
      command: 'graft compress my-expert --rank 4 --out small',
      about: 'the best rank 4 of every module',
    },
    {
      command: 'graft compress my-expert --rank 4 --data rows.jsonl --heal 50 --out small',
      about: 'measured, repaired, and measured again',
    },
    {
      command: 'graft compress my-expert --energy 0.95 --out small',
      about: 'the rank that the energy needs',
    },
  ],
  async run({ values, positionals, terminal, signal, commandLine: command }) {
    const { rank, energy, data, heal, out } = values
    if (rank === undefined && energy === undefined) throw new UsageError('give --rank or --energy.')
    if (heal !== undefined && data === undefined)
      throw new UsageError('--heal needs rows to train on: --data <file.jsonl>.')
    await checkAbsent(out)
    const { compressFolder } = await import('../merge/compress-folder.ts')
    const learning = {
      learningRate: values['learning-rate'],
      maxTokens: values['max-tokens'],
      seed: values.seed,
    }
    return compressFolder(
      positionals[0]!,
      { rank, energy, data, heal, out, ...learning, command, model: values },
      { terminal, signal },
    )
  },
})
