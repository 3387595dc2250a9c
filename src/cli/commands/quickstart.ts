// graft quickstart: the command; what it does is quickstart/run-quickstart.ts.

import { defineCommand } from '../command.ts'
import { quickstartOptions, smallModel } from '../quickstart/quickstart-options.ts'
import { defaultModel } from '../shared/open-model.ts'

export const quickstartCommand = defineCommand({
  name: 'quickstart',
  summary: 'train a first expert, see what it learned, swap it in and out: start here',
  usage: '',
  positionals: [0, 0],
  options: quickstartOptions,
  examples: [
    {
      command: 'graft quickstart',
      about: `on ${defaultModel}, fetched when needed; on the embedded model if it cannot be downloaded`,
    },
    { command: 'graft quickstart --quick', about: 'a first look in one minute' },
    {
      command: `graft quickstart --model ${smallModel}`,
      about: 'needs no download and takes seconds',
    },
  ],
  run: async (context) => (await import('../quickstart/run-quickstart.ts')).runQuickstart(context),
})
