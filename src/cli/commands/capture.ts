// graft capture: a proxy that keeps a teacher's calls as rows for training.

import { string } from '../../base/schema.ts'
import { captureFields } from '../../node/capture/capture-options.ts'
import { defineCommand, toOption } from '../command.ts'

export const captureCommand = defineCommand({
  name: 'capture',
  summary: "keep a teacher's calls as rows for training: a proxy in OpenAI's shape",
  usage: '--upstream <url> --out <rows.jsonl>',
  positionals: [0, 0],
  options: {
    upstream: toOption(captureFields.upstream, { valueName: 'url', required: true }),
    out: toOption(captureFields.out, { valueName: 'rows.jsonl', short: 'o', required: true }),
    consent: captureFields.consent,
    redact: toOption(captureFields.redact, { valueName: 'rules' }),
    'redact-pattern': toOption(
      string({ filled: true, about: 'a further rule: what the pattern finds becomes [name]' }),
      { valueName: 'name=pattern', many: true },
    ),
    host: captureFields.host,
    port: toOption(captureFields.port, { short: 'p' }),
  },
  examples: [
    {
      command: 'graft capture --upstream https://api.example.com/v1 --out calls.jsonl',
      about: 'then set baseURL of the client to the address that it prints',
    },
    {
      command:
        'graft capture --upstream http://127.0.0.1:8080/v1 --out calls.jsonl --consent assume --redact-pattern case=C-[0-9]+',
      about: 'all calls, with case numbers taken out too',
    },
    { command: 'graft train --data calls.jsonl --out student', about: 'learn from what was kept' },
  ],
  async run({ values, terminal, signal }) {
    const { runCapture } = await import('../capture/run-capture.ts')
    return runCapture(values, terminal, signal)
  },
})
