// graft capture: a proxy that keeps a teacher's calls as rows for training; graft capture replace:
// trains an expert that replaces the calls it can answer, and its router.

import { string } from '../../base/schema.ts'
import { captureFields, replaceFields } from '../../node/capture/capture-options.ts'
import { defineCommand, toOption } from '../command.ts'
import { defaultModel } from '../shared/open-model.ts'

export const captureCommand = defineCommand({
  name: 'capture',
  summary: "record a teacher's calls as training rows, by a proxy with OpenAI's API",
  usage: '--upstream <url> --out <rows.jsonl>',
  positionals: [0, 0],
  options: {
    upstream: toOption(captureFields.upstream, { valueName: 'url', required: true }),
    out: toOption(captureFields.out, { valueName: 'rows.jsonl', short: 'o', required: true }),
    consent: captureFields.consent,
    redact: toOption(captureFields.redact, { valueName: 'rules' }),
    'redact-pattern': toOption(
      string({ filled: true, about: 'a further rule: matches of the pattern become [name]' }),
      { valueName: 'name=pattern', many: true },
    ),
    host: captureFields.host,
    port: toOption(captureFields.port, { short: 'p' }),
  },
  examples: [
    {
      command: 'graft capture --upstream https://api.example.com/v1 --out calls.jsonl',
      about: "then point the client's baseURL to the address that it prints",
    },
    {
      command:
        'graft capture --upstream http://127.0.0.1:8080/v1 --out calls.jsonl --consent assume --redact-pattern case=C-[0-9]+',
      about: 'all calls, with case numbers taken out too',
    },
    {
      command: 'graft train --data calls.jsonl --out student',
      about: 'train on what was recorded',
    },
  ],
  async run({ values, terminal, signal }) {
    const { runCapture } = await import('../capture/run-capture.ts')
    return runCapture(values, terminal, signal)
  },
})

export const captureReplaceCommand = defineCommand({
  name: 'capture replace',
  summary: 'train an expert that replaces the captured calls it can answer, and its router',
  usage: '--data <calls.jsonl> --out <folder>',
  positionals: [0, 0],
  options: {
    data: toOption(string({ filled: true, about: 'captured rows' }), {
      valueName: 'calls.jsonl',
      short: 'd',
      required: true,
    }),
    out: toOption(string({ filled: true, about: 'folder for the expert and the router' }), {
      valueName: 'folder',
      short: 'o',
      required: true,
    }),
    model: toOption(string({ default: defaultModel, about: 'the base that is trained on' }), {
      valueName: 'model',
      short: 'm',
    }),
    metric: toOption(
      string({ default: 'token-f1', about: "judges answers by the teacher's: see graft eval" }),
      { valueName: 'name' },
    ),
    least: replaceFields.least,
    trust: toOption(replaceFields.trust, { valueName: 'share' }),
    held: toOption(replaceFields.held, { valueName: 'share' }),
    epochs: replaceFields.epochs,
    'learning-rate': replaceFields.learningRate,
    'new-tokens': replaceFields.newTokens,
    seed: replaceFields.seed,
  },
  examples: [
    {
      command: 'graft capture replace --data calls.jsonl --out replaced',
      about: 'then serve both with the command that it prints',
    },
  ],
  async run({ values, terminal, signal, commandLine }) {
    const { runReplace } = await import('../capture/run-replace.ts')
    return runReplace(values, { terminal, signal, commandLine })
  },
})
