// graft learn export: users' feedback as training rows.

import { oneOf, string } from '../../../base/schema.ts'
import { defineCommand, toOption } from '../../command.ts'

export const learnExportCommand = defineCommand({
  name: 'learn export',
  summary: "write users' feedback as training rows: corrections, thumbs, preferences",
  usage: '[--user <name>]',
  positionals: [0, 0],
  options: {
    user: toOption(string({ filled: true, about: 'whose turns (default: those of all users)' }), {
      valueName: 'name',
      many: true,
    }),
    store: toOption(
      string({
        about: 'where users are kept: a folder or a file.db (default: that of graft serve)',
      }),
      { valueName: 'folder|file.db' },
    ),
    as: oneOf(['answers', 'judged', 'pairs'], {
      default: 'answers',
      about:
        'answers: the right answers; judged: answers labelled good or bad; pairs: a better and a worse answer',
    }),
    model: toOption(
      string({ about: 'the base that answered; its tokenizer reads what is stored' }),
      {
        valueName: 'model',
        short: 'm',
      },
    ),
    adapter: toOption(string({ about: 'only feedback on this expert' }), {
      valueName: 'path',
      short: 'a',
    }),
    redact: toOption(
      string({
        default: 'all',
        about: 'what is removed from rows: emails, keys, cards, phones; all; none',
      }),
      { valueName: 'rules' },
    ),
    out: toOption(string({ about: 'the file that is written (default: stdout)' }), {
      valueName: 'rows.jsonl',
      short: 'o',
    }),
  },
  examples: [
    {
      command: 'graft learn export --user ada --out ada.jsonl',
      about: 'the answers that ada called right',
    },
    {
      command: 'graft learn export --as pairs --store users.db --out pairs.jsonl',
      about: 'for graft train --loss dpo',
    },
  ],
  async run({ values, terminal }) {
    const { exportTurns } = await import('../../improve/export-turns.ts')
    return exportTurns(values, terminal)
  },
})
