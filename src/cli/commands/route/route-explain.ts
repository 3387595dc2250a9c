// graft route explain: where a router sends a prompt, and the evidence for it.

import { string } from '../../../base/schema.ts'
import { defineCommand, toOption } from '../../command.ts'
import { modelOptions } from '../../shared/open-model.ts'

const { date: _date, ...ownModelOptions } = modelOptions

export const routeExplainCommand = defineCommand({
  name: 'route explain',
  summary: 'show where a router sends a prompt, and why: nearest examples, terms that counted',
  usage: '<router.json> <prompt>',
  positionals: [2, 2],
  options: {
    experts: toOption(string({ about: "folder of experts' folders; other experts are an error" }), {
      valueName: 'folder',
    }),
    ...ownModelOptions,
  },
  examples: [
    {
      command: 'graft route explain router.json "Which customers bought twice?"',
      about: 'the decision, its scores and its reasons',
    },
  ],
  async run({ values, positionals, terminal, signal }) {
    const { explainRoute } = await import('../../route/explain-route.ts')
    const [path, text] = positionals as [string, string]
    return explainRoute(path, text, values, terminal, signal)
  },
})
