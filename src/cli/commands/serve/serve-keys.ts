// graft serve keys: the keys that requests to a server need.

import { string } from '../../../base/schema.ts'
import { limitFields } from '../../../server/keys/api-key.ts'
import { defineCommand, toOption, withAbout } from '../../command.ts'
import { stateOption } from '../../serve/state-option.ts'

export const serveKeysCommand = defineCommand({
  name: 'serve keys',
  summary: 'API keys of graft serve: add, list, revoke',
  usage: 'add <name> | list | revoke <name>',
  positionals: [1, 2],
  options: {
    scopes: toOption(
      string({
        about:
          'what the key may do: infer, feedback, train, or admin for all (default: infer,feedback)',
      }),
      { valueName: 'scope,…', many: true },
    ),
    'requests-per-minute': withAbout(limitFields.requestsPerMinute, 'requests per minute'),
    'tokens-per-minute': limitFields.tokensPerMinute,
    concurrent: limitFields.concurrent,
    state: stateOption,
  },
  examples: [
    { command: 'graft serve keys add laptop', about: 'a key for answers and feedback' },
    {
      command: 'graft serve keys add ci --scopes infer --requests-per-minute 60 --concurrent 4',
      about: 'with its own limits',
    },
    { command: 'graft serve keys revoke ci', about: 'refused from the next request on' },
  ],
  async run({ values, positionals, terminal }) {
    const { runKeyAction } = await import('../../serve/manage-keys.ts')
    const limits = {
      requestsPerMinute: values['requests-per-minute'],
      tokensPerMinute: values['tokens-per-minute'],
      concurrent: values.concurrent,
    }
    const { scopes, state } = values
    return runKeyAction(positionals, Object.assign({ scopes, state }, limits), terminal)
  },
})
