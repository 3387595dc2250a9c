// graft data: shows how files of rows are read, before training.

import { integer, oneOf, string, withInfo } from '../../base/schema.ts'
import type { CheckOptions } from '../../train/datasets/check-data.ts'
import {
  checkValue,
  type Context,
  defineCommand,
  toOption,
  UsageError,
  withoutDefault,
} from '../command.ts'
import { readDate } from '../shared/date.ts'
import { modelOptions, openModel } from '../shared/open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

const actions = oneOf(['check'])

/** The default of graft train. */
const usualTokens = 512

const options = {
  model: withInfo(modelOptions.model, {
    about: "also counts tokens, and shows rows in this model's chat template",
  }),
  date: modelOptions.date,
  system: toOption(string({ about: 'system message for rows that have none; with --model' }), {
    valueName: 'text',
  }),
  'max-tokens': withoutDefault(
    integer({ from: 2, default: usualTokens, about: 'longer rows are cut; with --model' }),
  ),
  rows: integer({ from: 0, default: 3, about: 'rows that are shown' }),
} as const

type DataValues = Context<typeof options>['values']

export const dataCommand = defineCommand({
  name: 'data',
  summary: 'check a file of rows: format, learned text, what is left out and why',
  usage: 'check <file.jsonl ...>',
  positionals: [2, 100],
  options,
  examples: [
    {
      command: 'graft data check rows.jsonl',
      about: 'the format, and the learned text of three rows',
    },
    {
      command: 'graft data check rows.jsonl --model stories260k',
      about: 'also tokens, and rows as the model reads them',
    },
    { command: 'graft data check rows.jsonl --json', about: 'the same as JSON, for programs' },
  ],
  async run({ positionals: [action, ...files], values, terminal, setExitCode }) {
    checkValue(actions, action, 'action')
    for (const name of ['system', 'max-tokens', 'date'] as const)
      if (values[name] !== undefined && values.model === undefined)
        throw new UsageError(`--${name} depends on a model; name one with --model.`)
    const [{ readDataFiles }, { checkData }, { describeCheck }] = await Promise.all([
      import('../../node/data.ts'),
      import('../../train/datasets/check-data.ts'),
      import('../data/data-view.ts'),
    ])
    const data = await readDataFiles(files)
    const check = checkData(data, await openCheckOptions(values, terminal))
    for (const line of describeCheck(check, terminal.style)) terminal.print(line)
    if (check.refusedRows > 0 || check.learnedRows === 0) setExitCode(1)
    return check
  },
})

/** Opens the model only for its tokenizer and chat template. */
async function openCheckOptions(values: DataValues, terminal: Terminal): Promise<CheckOptions> {
  if (values.model === undefined) return { samples: values.rows }
  const model = await openModel(values.model, {}, terminal)
  const { tokenizer, chatTemplate, name } = model.base
  await model.dispose()
  if (!tokenizer)
    throw new UsageError(`--model: ${name} has no tokenizer (tokenizer.json); name another model.`)
  return {
    samples: values.rows,
    encoding: {
      model: name,
      tokenizer,
      maxTokens: values['max-tokens'] ?? usualTokens,
      now: readDate(values.date),
      ...(chatTemplate !== undefined && { chatTemplate }),
      ...(values.system !== undefined && { system: values.system }),
    },
  }
}
