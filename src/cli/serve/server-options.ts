// The options of graft serve, from the tables of the server, and their values as it takes them.

import { integer, string, withInfo } from '../../base/schema.ts'
import { batchesFields } from '../../node/serve/state/open-batches.ts'
import { jobsFields } from '../../node/serve/state/open-jobs.ts'
import { filesFields } from '../../node/serve/state/open-files.ts'
import { serveOperationFields } from '../../node/serve/open-operations.ts'
import { registryFields } from '../../node/serve/open-registered.ts'
import { backendFields } from '../../node/serve/backend-options.ts'
import { routingFields } from '../../node/serve/routing-options.ts'
import { servingFields } from '../../node/serve/open-serving.ts'
import { serverFields } from '../../node/serve/start-server.ts'
import { studioFields } from '../../node/serve/studio/open-studio.ts'
import { engineFields } from '../../runtime/engine/engine-options.ts'
import { type Options, toOption, type Values } from '../command.ts'
import { adapterForms, modelOptions, planOption } from '../shared/open-model.ts'
import { ropeScalingOption } from '../shared/rope-scaling-option.ts'
import { stateOption } from './state-option.ts'

const { model: _model, ...loadOptions } = modelOptions
const operation = serveOperationFields

export const serverOptions = {
  adapter: toOption(
    string({
      about: `expert to serve: ${adapterForms}, and its name; default: the path's last part`,
    }),
    { valueName: 'name=path', short: 'a', many: true },
  ),
  host: operation.host,
  port: toOption(serverFields.port, { short: 'p' }),
  'without-keys': operation.withoutKeys,
  alias: toOption(string({ filled: true, about: 'another name of the base' }), {
    valueName: 'name',
    many: true,
  }),
  'chat-template': toOption(
    string({ about: "a file with a chat template, in place of the base's own" }),
    { valueName: 'file' },
  ),
  ...loadOptions,
  ...ropeScalingOption,
  isolation: servingFields.isolation,
  learn: servingFields.learn,
  users: toOption(servingFields.users, { valueName: 'url|file.db|folder' }),
  'user-bytes': servingFields.userBytes,
  'drain-seconds': serverFields.drainSeconds,
  'max-rows': withInfo(engineFields.maxRows, { about: 'answers written at the same time' }),
  'kv-bytes': withInfo(engineFields.kvBytes, {
    about: 'bytes of keys and values that answers and cached prefixes share (default: 1 GiB)',
  }),
  'kv-element': withInfo(engineFields.kvElement, { about: 'element type of keys and values' }),
  'expert-bytes': withInfo(engineFields.expertBytes, {
    about: 'bytes of the slots of resident experts (default: 512 MiB)',
  }),
  'max-wait-ms': withInfo(engineFields.maxWaitMs, {
    about: 'milliseconds after which a waiting request has priority',
  }),
  'prompt-products': engineFields.promptProducts,
  speculate: engineFields.speculate,
  'train-share': servingFields.trainShare,
  state: stateOption,
  plan: planOption.plan,
  backend: backendFields.backend,
  url: toOption(backendFields.url, { valueName: 'url' }),
  shared: toOption(backendFields.shared, { valueName: 'folder' }),
  on: toOption(
    string({
      filled: true,
      about: 'serve on a Ray cluster: ray://host:8265; its token: RAY_AUTH_TOKEN',
    }),
    { valueName: 'ray://host:port' },
  ),
  adapters: toOption(
    string({ filled: true, about: 'with --on: the folder of experts that every machine sees' }),
    { valueName: 'folder' },
  ),
  replicas: toOption(
    string({ filled: true, about: 'with --on: servers, as a number or a range (default: 2)' }),
    { valueName: 'least..most' },
  ),
  resident: withInfo(integer({ from: 1 }), {
    about: 'with --on: experts that each server keeps at a time (default: 32)',
  }),
  'adapter-folder': toOption(
    string({ filled: true, about: 'folder from which requests may load experts' }),
    { valueName: 'folder', many: true },
  ),
  registry: toOption(
    withInfo(registryFields.registry, {
      about:
        'folder of the registry whose experts requests may name, or "none"; GRAFT_REGISTRY, else ~/.local/share/graft/experts',
    }),
    { valueName: 'folder' },
  ),
  'registry-bytes': registryFields.registryBytes,
  router: toOption(routingFields.router, { valueName: 'router.json' }),
  'route-log': toOption(routingFields.routeLog, { valueName: 'log.jsonl' }),
  'route-log-prompts': routingFields.routeLogPrompts,
  upstream: toOption(routingFields.upstream, { valueName: 'url' }),
  'upstream-model': toOption(routingFields.upstreamModel, { valueName: 'model' }),
  'escalate-below': routingFields.escalateBelow,
  'require-signed': toOption(
    string({
      filled: true,
      about: 'load only experts signed with this public key; several may be given',
    }),
    { valueName: 'key.pem', many: true },
  ),
  cors: toOption(string({ about: 'origin whose pages may use the server; *: all' }), {
    valueName: 'origin',
    many: true,
  }),
  'without-studio': studioFields.withoutStudio,
  'open-metrics': operation.openMetrics,
  log: toOption(operation.log, { valueName: 'stderr|off|file' }),
  'log-prompts': operation.logPrompts,
  'requests-per-minute': operation.requestsPerMinute,
  'tokens-per-minute': operation.tokensPerMinute,
  concurrent: operation.concurrent,
  'max-requests': operation.maxRequests,
  'max-body-bytes': operation.maxBodyBytes,
  'max-file-bytes': filesFields.maxFileBytes,
  'files-bytes': filesFields.filesBytes,
  'batch-requests': batchesFields.batchRequests,
  'max-jobs': jobsFields.maxJobs,
  'max-tokens': operation.maxTokens,
  'max-prompt-tokens': operation.maxPromptTokens,
  'max-answers': operation.maxAnswers,
  'max-seconds': operation.maxSeconds,
} satisfies Options

export type ServeValues = Values<typeof serverOptions>

/** The values in the form of startServer, whose defaults apply to omitted ones. */
export const toServerSettings = (values: ServeValues) => ({
  host: values.host,
  port: values.port,
  withoutKeys: values['without-keys'],
  aliases: values.alias ?? [],
  threads: values.threads,
  weights: values.weights,
  isolation: values.isolation,
  learn: values.learn,
  users: values.users,
  userBytes: values['user-bytes'],
  drainSeconds: values['drain-seconds'],
  maxRows: values['max-rows'],
  kvBytes: values['kv-bytes'],
  kvElement: values['kv-element'],
  expertBytes: values['expert-bytes'],
  maxWaitMs: values['max-wait-ms'],
  promptProducts: values['prompt-products'],
  speculate: values.speculate,
  trainShare: values['train-share'],
  router: values.router,
  routeLog: values['route-log'],
  routeLogPrompts: values['route-log-prompts'] || undefined,
  upstream: values.upstream,
  upstreamModel: values['upstream-model'],
  escalateBelow: values['escalate-below'],
  state: values.state,
  backend: values.backend,
  url: values.url,
  shared: values.shared,
  adapterFolders: values['adapter-folder'] ?? [],
  registryBytes: values['registry-bytes'],
  requireSigned: values['require-signed'] ?? [],
  cors: values.cors ?? [],
  withoutStudio: values['without-studio'],
  openMetrics: values['open-metrics'],
  log: values.log,
  logPrompts: values['log-prompts'],
  requestsPerMinute: values['requests-per-minute'],
  tokensPerMinute: values['tokens-per-minute'],
  concurrent: values.concurrent,
  maxRequests: values['max-requests'],
  maxBodyBytes: values['max-body-bytes'],
  maxFileBytes: values['max-file-bytes'],
  filesBytes: values['files-bytes'],
  batchRequests: values['batch-requests'],
  maxJobs: values['max-jobs'],
  maxTokens: values['max-tokens'],
  maxPromptTokens: values['max-prompt-tokens'],
  maxAnswers: values['max-answers'],
  maxSeconds: values['max-seconds'],
})
