// graft route eval: how often a router is right, what it refuses, how far its confidence is from
// the truth; and an estimate of its reward on another router's log.

import { integer, string } from '../../../base/schema.ts'
import { defineCommand, toOption } from '../../command.ts'
import { modelOptions } from '../../shared/open-model.ts'

const { date: _date, ...ownModelOptions } = modelOptions

export const routeEvalCommand = defineCommand({
  name: 'route eval',
  summary: 'measure a router: coverage against errors, calibration, time',
  usage: '<router.json> --data <prompts.jsonl>',
  positionals: [1, 1],
  options: {
    data: toOption(string({ about: 'rows { "text", "expert" }; null: none of the experts' }), {
      valueName: 'prompts.jsonl',
      short: 'd',
    }),
    from: toOption(
      string({ about: "a router's log with rewards: estimates this router's reward on it" }),
      { valueName: 'log.jsonl' },
    ),
    experts: toOption(string({ about: "folder of experts' folders; other experts are an error" }), {
      valueName: 'folder',
    }),
    seed: integer({ default: 0, about: 'of the intervals' }),
    ...ownModelOptions,
  },
  examples: [
    {
      command: 'graft route eval router.json --data test.jsonl',
      about: 'accuracy, out-of-scope recall, coverage against errors',
    },
    {
      command: 'graft route eval router.json --from route.jsonl',
      about: 'IPS, SNIPS and doubly robust estimates from a log',
    },
  ],
  async run({ values, positionals, terminal, signal }) {
    const { evaluateRouterFile } = await import('../../route/evaluate-router-file.ts')
    return evaluateRouterFile(positionals[0]!, values, terminal, signal)
  },
})
