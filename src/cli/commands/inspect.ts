// graft inspect: what is in a model or an adapter.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { defineCommand } from '../command.ts'
import { modelOptions } from '../open-model.ts'

const options = {
  weights: modelOptions.weights,
  threads: modelOptions.threads,
  prompts: {
    type: 'integer',
    least: 0,
    default: 100,
    about: 'prompts on which the fast path of a quantised model is compared with the exact one; 0: none',
  },
  all: { type: 'flag', about: 'every tensor, not only a summary' },
} as const

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'what is in a model or an adapter: shapes, bytes, norms, hash',
  usage: '<folder | file | name>',
  words: [1, 1],
  options,
  examples: [
    { command: 'graft inspect stories260k', about: 'a model of the catalogue' },
    { command: 'graft inspect model.gguf', about: 'a quantised model, and how far its fast path lies from the exact one' },
    { command: 'graft inspect .graft/quickstart --all', about: 'an adapter, tensor by tensor' },
  ],
  async run({ words, values, terminal }) {
    const source = words[0]!
    const isAdapter = (await stat(join(source, 'adapter_config.json')).catch(() => undefined))?.isFile() === true
    if (isAdapter) return (await import('../inspect-adapter.ts')).inspectAdapter(source, values, terminal)
    return (await import('../inspect-model.ts')).inspectModel(source, values, terminal)
  },
})
