// graft eval: how well a base model or an expert does on rows of a JSONL file.

import { defineCommand } from '../command.ts'
import { adapterOption, modelOptions, openExpert } from '../open-model.ts'
import { table } from '../ui/table.ts'

export const evaluate = defineCommand({
  name: 'eval',
  summary: 'loss, and with --generate exact match, of a model or an expert on rows',
  usage: '--data <file.jsonl>',
  words: [0, 0],
  options: {
    ...modelOptions,
    ...adapterOption,
    data: { type: 'text', value: 'file.jsonl', short: 'd', required: true, about: 'rows as for graft train' },
    rows: { type: 'integer', least: 1, about: 'only the first rows' },
    system: { type: 'text', value: 'text', about: "system message for rows that have none (default: the expert's own)" },
    'max-tokens': { type: 'integer', least: 2, default: 512, about: 'longer rows are cut' },
    generate: { type: 'flag', about: 'also write the answers and compare them with the rows' },
    'new-tokens': { type: 'integer', least: 1, default: 96, about: 'tokens of an answer at most' },
    stop: { type: 'text', value: 'text', about: 'end answers where this text would begin' },
  },
  examples: [
    { command: 'graft eval --data rows.jsonl --model stories260k', about: "the base model's loss" },
    { command: 'graft eval --data rows.jsonl --adapter my-expert --generate', about: 'an expert, with its answers compared' },
  ],
  async run({ values, terminal, signal }) {
    const [{ readDataFile }, { scoreLoss }, { scoreAnswers }] = await Promise.all([
      import('../../node/data.ts'),
      import('../evaluation/loss.ts'),
      import('../evaluation/answers.ts'),
    ])
    const whole = await readDataFile(values.data)
    const data = { ...whole, rows: whole.rows.slice(0, values.rows) }
    const { model, adapter, system: known } = await openExpert(values, terminal)
    const system = values.system ?? known
    const options = { model, adapter, data, terminal, signal, maxTokens: values['max-tokens'], ...(system !== undefined && { system }) }
    const loss = await scoreLoss(options)
    const stop = values.stop === undefined ? {} : { stop: [values.stop] }
    const answers = values.generate ? await scoreAnswers({ ...options, ...stop, maxTokens: values['new-tokens'] }) : undefined
    const lines = [...Object.entries(loss), ...Object.entries(answers ?? {})].filter(([, value]) => value !== null)
    for (const line of table(lines.map(([name, value]) => [name, shown(value)]))) terminal.print(line)
    return { model: model.base.name, adapter: values.adapter ?? null, data: values.data, ...loss, ...answers }
  },
})

const shown = (value: number | null): string => (Number.isInteger(value) ? String(value) : value!.toFixed(4))
