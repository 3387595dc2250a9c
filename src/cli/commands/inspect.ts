// graft inspect: shows what a model or an adapter contains.

import { flag, integer, withInfo } from '../../base/schema.ts'
import { defineCommand } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'

const options = {
  weights: modelOptions.weights,
  threads: modelOptions.threads,
  prompts: integer({
    from: 0,
    default: 100,
    about:
      'prompts on which the fast path of a quantised model is compared with the exact one; 0: none',
  }),
  norms: flag({ about: 'of a model: the norm of every weight; reads the whole file' }),
  model: withInfo(modelOptions.model, {
    about:
      "of an adapter: its base, for values that depend on the base's weights (DoRA, IA3) or graph (VeRA)",
  }),
  all: flag({ about: 'every tensor, not only a summary' }),
} as const

export const inspectCommand = defineCommand({
  name: 'inspect',
  summary: 'show what is in a model or an adapter: shapes, bytes, norms, hash',
  usage: '<folder | file | name>',
  positionals: [1, 1],
  options,
  examples: [
    { command: 'graft inspect stories260k', about: 'a model of the catalogue' },
    {
      command: 'graft inspect model.gguf',
      about: 'a quantised model, and the error of its fast path',
    },
    { command: 'graft inspect .graft/quickstart --all', about: 'an adapter, tensor by tensor' },
    {
      command: 'graft inspect lora.gguf',
      about: "an adapter of llama.cpp; mlx-lm's folders are read too",
    },
  ],
  async run({ positionals, values, terminal }) {
    const source = positionals[0]!
    const found = await (await import('../inspect/inspect-sources.ts')).findAdapter(source)
    if (found) {
      const [{ inspectAdapter }, { showAdapter }] = await Promise.all([
        import('../inspect/inspect-adapter.ts'),
        import('../inspect/inspect-adapter-view.ts'),
      ])
      const { result, tensors } = await inspectAdapter(found.path, found.format, values)
      showAdapter(result, tensors, values.all, terminal)
      return result
    }
    return (await import('../inspect/inspect-model.ts')).inspectModel(source, values, terminal)
  },
})
