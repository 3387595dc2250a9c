// graft serve usage: what was used, by day, key, expert and user.

import { createField, flag, string } from '../../../base/schema.ts'
import { defineCommand, toOption } from '../../command.ts'
import { stateOption } from '../../serve/state-option.ts'

const createDay = (about: string) =>
  toOption(
    createField<string>(
      'a day such as 2026-11-30, in UTC',
      { type: 'string' },
      (value) => typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value),
      { about },
    ),
    { valueName: 'day' },
  )

export const serveUsageCommand = defineCommand({
  name: 'serve usage',
  summary: 'usage of graft serve by day, key, expert and user',
  usage: '',
  positionals: [0, 0],
  options: {
    from: createDay('the first day'),
    to: createDay('the last day'),
    key: toOption(string({ about: 'of this key only' }), { valueName: 'name' }),
    csv: flag({ about: 'print the rows as CSV' }),
    state: stateOption,
  },
  examples: [
    { command: 'graft serve usage', about: 'a table' },
    { command: 'graft serve usage --from 2026-11-01 --csv', about: 'for a spreadsheet' },
  ],
  async run({ values, terminal }) {
    const { showUsage } = await import('../../serve/show-usage.ts')
    return showUsage(values, terminal)
  },
})
