// graft improve: from users' feedback on an expert to its next version.

import { string } from '../../../base/schema.ts'
import { improveFields } from '../../../node/improve/improve-options.ts'
import { defineCommand, toOption } from '../../command.ts'

export const improveCommand = defineCommand({
  name: 'improve',
  summary: "train a better expert from users' feedback, try it, promote or withdraw it",
  usage: '<name>',
  positionals: [1, 1],
  options: {
    registry: toOption(
      string({
        about: 'folder of the registry; GRAFT_REGISTRY, else ~/.local/share/graft/experts',
      }),
      { valueName: 'folder' },
    ),
    store: toOption(
      string({
        about: 'where users are kept: a folder or a file.db (default: that of graft serve)',
      }),
      { valueName: 'folder|file.db' },
    ),
    model: toOption(string({ about: 'the base (default: the one that the expert names)' }), {
      valueName: 'model',
      short: 'm',
    }),
    share: toOption(improveFields.share, { valueName: 'share' }),
    votes: improveFields.leastVoters,
    canaries: toOption(improveFields.canaries, { valueName: 'rows.jsonl' }),
    rows: improveFields.leastRows,
    held: toOption(improveFields.held, { valueName: 'share' }),
    epochs: improveFields.epochs,
    'learning-rate': improveFields.learningRate,
    loss: improveFields.loss,
    redact: toOption(improveFields.redact, { valueName: 'rules' }),
    seed: improveFields.seed,
  },
  examples: [
    {
      command: 'graft improve coder',
      about: 'one step of the loop; run it every night, and it continues where it ended',
    },
    {
      command: 'graft improve coder --canaries canaries.jsonl --share 0.2',
      about: 'with rows that must not get worse, a fifth of requests for the new version',
    },
  ],
  async run({ values, positionals, terminal, signal, commandLine }) {
    const { runImprove } = await import('../../improve/run-improve.ts')
    return runImprove(positionals[0]!, values, { terminal, signal, commandLine })
  },
})
