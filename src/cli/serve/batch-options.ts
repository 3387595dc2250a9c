// The options of graft batch: those of graft serve that are about the model, and where results go.

import { flag, integer, string } from '../../base/schema.ts'
import { type Options, toOption } from '../command.ts'
import { serverOptions } from './server-options.ts'

export const batchOptions = {
  out: toOption(string({ filled: true, about: 'file of the results: one line per request' }), {
    valueName: 'results.jsonl',
    short: 'o',
    required: true,
  }),
  resume: flag({ about: 'continue where an earlier run was stopped' }),
  'at-a-time': integer({ from: 1, default: 8, about: 'requests answered at the same time' }),
  model: toOption(string({ about: 'the base model, as for graft serve' }), {
    valueName: 'model',
    short: 'm',
  }),
  adapter: serverOptions.adapter,
  registry: serverOptions.registry,
  'chat-template': serverOptions['chat-template'],
  threads: serverOptions.threads,
  weights: serverOptions.weights,
  date: serverOptions.date,
  'rope-scaling': serverOptions['rope-scaling'],
  'max-rows': serverOptions['max-rows'],
  'kv-bytes': serverOptions['kv-bytes'],
  'expert-bytes': serverOptions['expert-bytes'],
} satisfies Options
