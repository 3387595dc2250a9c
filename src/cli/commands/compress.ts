// graft compress: reduces an expert to a lower rank and reports the loss.

import { integer, number, string, withInfo } from '../../base/schema.ts'
import { checkAbsent } from '../../node/files/atomic-write.ts'
import { defineCommand, toOption, UsageError } from '../command.ts'
import { anyBaseOption, modelOptions } from '../shared/open-model.ts'

export const compressCommand = defineCommand({
  name: 'compress',
  summary: 'an expert at a lower rank, with what that lost, healed where wanted',
  usage: '<adapter folder> --rank <r> --out <folder>',
  positionals: [1, 1],
  options: {
    ...modelOptions,
    model: withInfo(modelOptions.model, {
      about: "the base, to measure on; the expert's own unless given",
    }),
    rank: integer({ from: 1, about: 'directions kept in each module at most' }),
    energy: number({
      about:
        'the smallest rank that keeps this share of the squared singular values, in every module by itself',
    }),
    data: toOption(
      string({ about: 'rows to measure on: loss before and after, and how far predictions moved' }),
      { valueName: 'file.jsonl', short: 'd' },
    ),
    heal: toOption(
      integer({
        from: 1,
        about: 'steps in which the small expert then learns from the large one, on --data',
      }),
      { valueName: 'steps' },
    ),
    'learning-rate': number({ from: 0, default: 5e-4, about: 'of the healing' }),
    'max-tokens': integer({ from: 2, default: 256, about: 'longer rows are cut' }),
    seed: integer({ default: 0, about: "of the rows' order while healing" }),
    ...anyBaseOption,
    out: toOption(string({ about: 'where the result goes; must not exist yet' }), {
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
      about: 'measured, healed, and measured again',
    },
    {
      command: 'graft compress my-expert --energy 0.95 --out small',
      about: 'as much rank as the energy needs',
    },
  ],
  async run({ values, positionals, terminal, signal, commandLine: command }) {
    const { rank, energy, data, heal, out } = values
    if (rank === undefined && energy === undefined)
      throw new UsageError('--rank or --energy is missing.')
    if (heal !== undefined && data === undefined)
      throw new UsageError('--heal wants rows to learn on: --data <file.jsonl>.')
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
