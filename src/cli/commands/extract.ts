// graft extract: the adapter between a base and a model that was tuned from it.

import { checkAbsent } from '../../node/files/atomic-write.ts'
import { defineCommand, UsageError } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'

const { model } = modelOptions

export const extractCommand = defineCommand({
  name: 'extract',
  summary: 'the adapter between a base and a model that was tuned from it',
  usage: '--base <model> --tuned <model> --rank <r> --out <folder>',
  positionals: [0, 0],
  options: {
    base: {
      ...model,
      short: 'b',
      required: true,
      about: 'the model to start from (directory, .gguf file, hf:owner/name or name)',
    },
    tuned: {
      ...model,
      short: 't',
      required: true,
      about: 'the model to arrive at, of the same form',
    },
    rank: { type: 'integer', least: 1, about: 'directions kept in each layer at most' },
    energy: {
      type: 'number',
      about:
        'the smallest rank that keeps this share of the squared singular values, in every layer by itself',
    },
    targets: {
      type: 'text',
      value: 'names',
      about:
        "layers to look at, with commas: q_proj,v_proj, or 'all-linear' (default), 'attention', 'mlp'",
    },
    out: {
      type: 'text',
      value: 'folder',
      short: 'o',
      required: true,
      about: 'where the adapter goes; must not exist yet',
    },
  },
  examples: [
    {
      command:
        'graft extract --base smollm2-135m-instruct --tuned my-model --rank 16 --out my-expert',
      about: 'the best rank 16 for each layer',
    },
    {
      command: 'graft extract --base base.gguf --tuned tuned.gguf --energy 0.9 --out my-expert',
      about: 'as much rank as nine tenths of the change need',
    },
  ],
  async run({ values, terminal }) {
    const { base, tuned, rank, energy, targets, out } = values
    if (rank === undefined && energy === undefined)
      throw new UsageError('--rank or --energy is missing.')
    await checkAbsent(out)
    const { extractFolder } = await import('../merge/extract-folder.ts')
    return extractFolder(
      { base, tuned, out },
      { rank, energy, targets: parseTargets(targets) },
      terminal,
    )
  },
})

/** A name of a preset stays one; anything else is a list of ends of paths. */
function parseTargets(text: string | undefined): readonly string[] | string | undefined {
  if (text === undefined || ['all-linear', 'attention', 'mlp', 'default'].includes(text))
    return text
  return text.split(',').map((name) => name.trim())
}
