// What graft serve does: finds the model and its experts, starts the server, shows how to call it,
// and shuts it down cleanly.

import { OptionError } from '../../base/errors.ts'
import type { VllmTask } from '../../node/serve/backend-options.ts'
import { startServer, type StartedServer } from '../../node/serve/start-server.ts'
import { fallbackTemplate } from '../../server/local/write-prompt.ts'
import { announceTask } from '../../node/files/running.ts'
import { type Context, UsageError } from '../command.ts'
import { getRunningFolder } from '../home/places.ts'
import type { Terminal } from '../ui/terminal.ts'
import { chooseServed } from './choose-served.ts'
import { type serverOptions, type ServeValues, toServerSettings } from './server-options.ts'

export async function runServer(context: Context<typeof serverOptions>): Promise<unknown> {
  const { values } = context
  if (values.on !== undefined && values.plan)
    throw new UsageError('--plan works only for a server on this machine; leave out --on.')
  if (values.on !== undefined) return (await import('./serve-on-ray.ts')).serveOnRay(context)
  checkRayOptions(values)
  return values.plan ? showPlan(context) : runHere(context)
}

/** Throws UsageError for options that are for --on. */
function checkRayOptions(values: ServeValues): void {
  const stray = (['adapters', 'replicas', 'resident'] as const).find(
    (name) => values[name] !== undefined,
  )
  if (stray !== undefined)
    throw new UsageError(
      `--${stray} is for --on, a Ray cluster. On one machine: --adapter name=path, or --adapter-folder.`,
    )
}

/** Throws UsageError where another program computes. */
async function showPlan({
  values,
  positionals,
  terminal,
}: Context<typeof serverOptions>): Promise<unknown> {
  if (values.backend === 'vllm')
    throw new UsageError(
      '--plan works only for a model that this program opens; leave out --backend vllm.',
    )
  const { showModelPlan } = await import('../inspect/show-model-plan.ts')
  const { model, ropeScaling } = await chooseServed(positionals[0], values, terminal)
  const { weights, kvBytes, kvElement, expertBytes } = toServerSettings(values)
  const engine = { kvBytes, kvElement, expertBytes }
  return showModelPlan(model, { weights, ropeScaling, engine }, terminal)
}

async function runHere({
  values,
  positionals,
  terminal,
  signal,
  version,
}: Context<typeof serverOptions>): Promise<unknown> {
  const served = await chooseServed(await findModel(values, positionals[0]), values, terminal)
  const { model, registry } = served
  const server = await startServer({
    ...toServerSettings(values),
    ...served,
    version,
  })
  const endTask = await announceTask(getRunningFolder(), {
    command: 'graft serve',
    about: server.url,
  })
  await showServer(server, { registry, backend: describeBackend(values) }, terminal)
  await new Promise<void>((stop) => {
    if (signal.aborted) stop()
    signal.addEventListener('abort', () => stop(), { once: true })
  })
  terminal.note('Finishing the running requests; new ones are refused.')
  const { isWhole, cutRequests } = await server.close()
  await endTask()
  if (!isWhole) terminal.note(`${cutRequests} requests were aborted.`)
  return { url: server.url, model, cutRequests }
}

/** The model that is given, else with vLLM as the backend the base that it serves. */
async function findModel(
  values: ServeValues,
  given: string | undefined,
): Promise<string | undefined> {
  const task = await readVllmTask(values)
  if (given !== undefined || !task) return given
  const { findVllmModel } = await import('../../node/serve/open-vllm.ts')
  return findVllmModel(task)
}

/** Throws UsageError for options that do not go together. */
async function readVllmTask(values: ServeValues): Promise<VllmTask | undefined> {
  const { commandNaming, toVllmTask } = await import('../../node/serve/backend-options.ts')
  try {
    return toVllmTask(toServerSettings(values), process.env, commandNaming)
  } catch (error) {
    if (error instanceof OptionError) throw new UsageError(error.message, { cause: error })
    throw error
  }
}

interface ShownPlaces {
  readonly registry: string | undefined
  /** The backend, if it is not this program. */
  readonly backend: string | undefined
}

const describeBackend = ({ backend, url }: ServeValues): string | undefined =>
  backend === 'vllm'
    ? `vLLM at ${url}: LoRA only; no embeddings, and no tiers that learn from users, because both need hidden states`
    : undefined

/**
 * An expert of a base without a chat template learned from plain prompts; it is asked as it
 * learned.
 */
function writeExample(
  hasTemplate: boolean,
  base: string,
  expert: string | undefined,
): { readonly path: 'completions' | 'chat/completions'; readonly body: string } {
  return hasTemplate || expert === undefined
    ? {
        path: 'chat/completions',
        body: `{"model":"${expert ?? base}","messages":[{"role":"user","content":"Hello"}]}`,
      }
    : {
        path: 'completions',
        body: `{"model":"${expert}","prompt":"Once upon a time","max_tokens":40}`,
      }
}

const describeFallback = (base: string): string =>
  `written as ChatML, because ${base} has no chat template; ask experts that learned from prompts at /v1/completions`

const describePlace = (name: string, text: string): string => `  ${name.padEnd(8)}  ${text}`

/** The first screen: where, what, and one example to copy for a shell and one for a program. */
async function showServer(
  server: StartedServer,
  { registry, backend }: ShownPlaces,
  terminal: Terminal,
): Promise<void> {
  const { url, service, access, restored, studio } = server
  const [{ name, chatTemplate }, experts, registered] = await Promise.all([
    service.describe(),
    service.listExperts(),
    service.findRegistered({}),
  ])
  const models = [name, ...experts.map((expert) => expert.name)]
  const hasTemplate = chatTemplate !== fallbackTemplate
  const example = writeExample(hasTemplate, name, experts[0]?.name)
  const { strong, faint } = terminal.style
  const lines = [
    `Serving ${strong(name)} at ${strong(`${url}/v1`)}`,
    '',
    ...(backend === undefined ? [] : [describePlace('backend', backend)]),
    describePlace('models', models.join(', ')),
    ...(studio === undefined
      ? []
      : [
          describePlace('studio', `${studio}, a page to train and compare experts in your browser`),
        ]),
    describePlace('tools', `${url}/mcp, for agents that speak MCP`),
    ...(backend === undefined
      ? [
          describePlace(
            'jobs',
            `${url}/v1/fine_tuning/jobs, training on rows uploaded to /v1/files`,
          ),
        ]
      : []),
    ...(registered.length > 0
      ? [
          describePlace(
            'registry',
            `${registry}, ${registered.length} expert${registered.length > 1 ? 's' : ''}`,
          ),
        ]
      : []),
    describePlace('access', access),
    ...(hasTemplate ? [] : [describePlace('chats', describeFallback(name))]),
    ...(restored.loaded.length > 0 ? [`  loaded again  ${restored.loaded.join(', ')}`] : []),
    ...restored.skipped.map((one) => `  not loaded again  ${one.name}`),
    '',
    faint('In a shell:'),
    `  curl ${url}/v1/${example.path} -H 'content-type: application/json' \\`,
    `    -d '${example.body}'`,
    faint('In a program (npm install openai):'),
    `  const client = new OpenAI({ baseURL: '${url}/v1', apiKey: 'none' })`,
    `  await client.${example.path.replace('/', '.')}.create(${example.body})`,
    '',
    faint('Ctrl-C stops it after the running requests.'),
  ]
  for (const line of lines) terminal.say(line)
}
