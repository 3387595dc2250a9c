// graft serve: a model and its experts over HTTP.

import { defineCommand } from '../../command.ts'

export const serveCommand = defineCommand({
  name: 'serve',
  summary: 'serve a model and its experts over HTTP, for every OpenAI client',
  usage: '[model]',
  positionals: [0, 1],
  options: async () => (await import('../../serve/server-options.ts')).serverOptions,
  examples: [
    { command: 'graft serve', about: 'the default model at http://127.0.0.1:8080/v1' },
    {
      command: 'graft serve smollm2-135m-instruct --adapter coder=.graft/coder --port 8000',
      about: 'with an expert, which requests ask for as "model": "coder"',
    },
    {
      command: 'graft serve stories260k --adapter-folder ./adapters',
      about: 'requests may load experts from this folder',
    },
  ],
  async run(context) {
    const { runServer } = await import('../../serve/run-server.ts')
    return runServer(context)
  },
})
