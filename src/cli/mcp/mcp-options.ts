// The options of graft mcp: those of graft serve that are about the model, not about HTTP.

import { pickOptions } from '../../base/schema.ts'
import type { Options } from '../command.ts'
import { serverOptions, toServerSettings, type ServeValues } from '../serve/server-options.ts'

const {
  adapter,
  alias,
  threads,
  weights,
  date,
  isolation,
  learn,
  speculate,
  state,
  registry,
  router,
} = serverOptions

export const mcpOptions = {
  adapter,
  alias,
  'chat-template': serverOptions['chat-template'],
  threads,
  weights,
  date,
  'rope-scaling': serverOptions['rope-scaling'],
  isolation,
  learn,
  'max-rows': serverOptions['max-rows'],
  'kv-bytes': serverOptions['kv-bytes'],
  'expert-bytes': serverOptions['expert-bytes'],
  speculate,
  'train-share': serverOptions['train-share'],
  state,
  registry,
  'registry-bytes': serverOptions['registry-bytes'],
  'require-signed': serverOptions['require-signed'],
  router,
  'route-log': serverOptions['route-log'],
  'route-log-prompts': serverOptions['route-log-prompts'],
  upstream: serverOptions.upstream,
  'upstream-model': serverOptions['upstream-model'],
  'escalate-below': serverOptions['escalate-below'],
} satisfies Options

/** As startMcp takes them; `fields` names what it takes. */
export const toMcpSettings = (
  values: Partial<ServeValues>,
  fields: Readonly<Record<string, unknown>>,
) => pickOptions(toServerSettings(values as ServeValues), fields)
