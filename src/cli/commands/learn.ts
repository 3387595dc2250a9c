// graft learn: streams turns of a file through a model, and a user's tiers learn from each; or
// shows what is stored about a user.

import { flag, integer, string } from '../../base/schema.ts'
import { defineCommand, toOption, UsageError } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'
import { tierOptions } from '../shared/tier-options.ts'

/** --users is --store under the name that the server has for it. Throws UsageError for both. */
function withStore<
  Given extends { readonly store?: string | undefined; users?: string | undefined },
>(values: Given): Given {
  if (values.store !== undefined && values.users !== undefined)
    throw new UsageError('--store and --users are the same option; give one of them.')
  return { ...values, store: values.store ?? values.users }
}

export const learnCommand = defineCommand({
  name: 'learn',
  summary: 'learn from a file of turns, in order, for a user whose state is stored',
  usage: '',
  positionals: [0, 0],
  options: {
    ...modelOptions,
    data: toOption(
      string({ about: 'turns, in the formats of graft train; each answer is a turn' }),
      {
        valueName: 'file.jsonl',
        short: 'd',
      },
    ),
    adapter: toOption(
      string({ about: 'an expert that users start from, in place of the base alone' }),
      { valueName: 'folder', short: 'a' },
    ),
    user: toOption(string({ default: 'me', about: 'whose tiers learn' }), { valueName: 'name' }),
    store: toOption(
      string({
        about:
          'where users are stored: a folder, a SQLite file, postgres://… or s3://bucket/prefix; without it nothing is stored',
      }),
      { valueName: 'folder|file.db|url' },
    ),
    users: toOption(string({ about: 'the same as --store; graft serve uses this name' }), {
      valueName: 'folder|file.db|url',
    }),
    turns: integer({ from: 1, about: 'only the first n turns' }),
    system: string({ about: 'system message for rows that have none' }),
    ...tierOptions,
    canaries: toOption(
      string({
        about:
          'turns that must not get worse by more than 1 %; otherwise the tiers are rolled back',
      }),
      { valueName: 'file.jsonl' },
    ),
    consolidate: flag({
      about: 'afterwards train what was learned into the slow tier, if its validation gate passes',
    }),
    epochs: integer({
      from: 1,
      about: 'passes of the slow tier over what was learned (default: 2)',
    }),
    out: toOption(
      string({ about: 'folder for the slow tier as a PEFT adapter; it must not exist yet' }),
      { valueName: 'folder', short: 'o' },
    ),
    plot: toOption(string({ about: 'the loss curve' }), { valueName: 'file.svg' }),
    show: flag({ about: 'learn nothing: show what is stored of the user' }),
  },
  examples: [
    {
      command: 'graft learn --data rows.jsonl',
      about: 'how much the default base gains, turn by turn; nothing is stored',
    },
    {
      command: 'graft learn --data rows.jsonl --user ada --store users.db',
      about: "ada's state is stored, and the next run continues from it",
    },
    {
      command: 'graft learn --data rows.jsonl --user ada --store users.db --consolidate --out ada',
      about: 'and written as an adapter',
    },
    { command: 'graft learn --show --user ada --store users.db', about: 'what is stored of ada' },
  ],
  async run({ values: given, terminal, signal, setExitCode }) {
    const values = withStore(given)
    const { data, store, show, out, consolidate } = values
    if (show && store === undefined)
      throw new UsageError(
        '--show needs the place where users are stored: --store <folder|file.db>.',
      )
    if (!show && data === undefined)
      throw new UsageError('give --data, or --show to look at a user.')
    if (out !== undefined && !consolidate && store === undefined)
      throw new UsageError(
        '--out writes the slow tier, which is empty before a consolidation: add --consolidate.',
      )
    const { learnTurns, inspectUser } = await import('../learn/learn-stream.ts')
    if (show) return inspectUser(values, terminal)
    const result = await learnTurns({ ...values, data: data! }, { terminal, signal })
    if (result.reason === 'stopped' || (out !== undefined && result.out === null)) setExitCode(1)
    return result
  },
})
