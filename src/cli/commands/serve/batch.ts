// graft batch: answers a file of requests without a server.

import { defineCommand } from '../../command.ts'

export const batchCommand = defineCommand({
  name: 'batch',
  summary: 'answer a file of requests in OpenAI’s batch format, without a server',
  usage: '<requests.jsonl> --out <results.jsonl>',
  positionals: [1, 1],
  options: async () => (await import('../../serve/batch-options.ts')).batchOptions,
  examples: [
    {
      command: 'graft batch requests.jsonl --model stories260k --out results.jsonl',
      about: 'a line of results for each request',
    },
    {
      command:
        'graft batch requests.jsonl --adapter coder=.graft/coder --out results.jsonl --resume',
      about: 'with an expert, resuming a run that was stopped',
    },
  ],
  async run(context) {
    const { answerFile } = await import('../../serve/answer-file.ts')
    return answerFile(context)
  },
})
