// What graft serve does: finds the model and its experts, starts the server, shows how to ask it,
// and ends it well.

import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { NotFoundError, OptionError, StorageError } from '../../base/errors.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { startServer, type StartedServer } from '../../node/serve/start-server.ts'
import { announceTask } from '../../node/files/running.ts'
import type { Context } from '../command.ts'
import { getRunningFolder } from '../home/places.ts'
import { readGivenDate } from '../shared/date.ts'
import { defaultModel, embeddedModel, findExpert, showDownloads } from '../shared/open-model.ts'
import { parseRopeScaling } from '../shared/rope-scaling-option.ts'
import type { Terminal } from '../ui/terminal.ts'
import { type serverOptions, type ServeValues, toServerSettings } from './server-options.ts'

interface NamedPath {
  readonly name: string
  readonly path: string
}

export async function runServer({
  values,
  positionals,
  terminal,
  signal,
  version,
}: Context<typeof serverOptions>): Promise<unknown> {
  const registry = await chooseRegistry(values.registry, terminal)
  const adapters = await Promise.all(
    parseAdapters(values.adapter ?? []).map((one) => locateNamed(one, registry)),
  )
  const named = positionals[0] ?? (await findBackendModel(values))
  const model = await chooseModel(named, adapters, terminal)
  const ropeScaling = parseRopeScaling(values['rope-scaling'])
  const date = readGivenDate(values.date)
  const chatTemplate = await readTemplate(values)
  const server = await startServer({
    ...toServerSettings(values),
    model,
    adapters,
    registry,
    version,
    ropeScaling,
    date,
    chatTemplate,
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
  terminal.note('Answering what runs; new requests are refused.')
  const { isWhole, cutRequests } = await server.close()
  await endTask()
  if (!isWhole) terminal.note(`${cutRequests} requests were cut off.`)
  return { url: server.url, model, cutRequests }
}

const readTemplate = async ({ 'chat-template': path }: ServeValues): Promise<string | undefined> =>
  path === undefined
    ? undefined
    : readFile(path, 'utf8').catch((cause: unknown) => {
        throw new NotFoundError(`--chat-template ${path}: cannot be read.`, { cause })
      })

/** With vLLM as the backend: the base that it serves. Throws OptionError for wrong options. */
async function findBackendModel(values: ServeValues): Promise<string | undefined> {
  const { toVllmTask } = await import('../../node/serve/backend-options.ts')
  const task = toVllmTask(toServerSettings(values), process.env)
  if (!task) return undefined
  const { findVllmModel } = await import('../../node/serve/open-vllm.ts')
  return findVllmModel(task)
}

/** Where an expert lies: a path, a name of the registry such as coder@stable, or a released one. */
async function locateNamed(
  { name, path }: NamedPath,
  registry: string | undefined,
): Promise<NamedPath> {
  const { findNamedExpert } = await import('../../node/library/released.ts')
  const found = await findNamedExpert(path, registry ?? null)
  return { name, path: found ?? resolve(path) }
}

/** The registry that is named, else this user's, where that can be made; "none": no registry. */
async function chooseRegistry(
  given: string | undefined,
  terminal: Terminal,
): Promise<string | undefined> {
  if (given !== undefined) return given === 'none' ? undefined : resolve(given)
  const { getRegistryDirectory } = await import('../../node/registry/registry-directory.ts')
  const { openRegistry } = await import('../../node/registry/open-registry.ts')
  const usual = getRegistryDirectory()
  try {
    await (await openRegistry(usual)).close()
    return usual
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    terminal.note(`${error.message} Requests cannot name registered experts.`)
    return undefined
  }
}

/** 'coder=path' or a path, whose last part is the name: of coder@stable it is coder. */
function parseAdapters(texts: readonly string[]): NamedPath[] {
  const named = texts.map((text) => {
    const [, name, path] = /^([^=/\\]+)=(.+)$/s.exec(text) ?? []
    return name === undefined || path === undefined
      ? { name: basename(resolve(text)).replace(/\.gguf$|@.*$/i, ''), path: text }
      : { name, path }
  })
  const names = named.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new OptionError(`Two experts are named ${twice}: name them, as in --adapter other=path.`)
  return named
}

/** The model that is named, else the experts' own base, else the default one. */
async function chooseModel(
  given: string | undefined,
  adapters: readonly NamedPath[],
  terminal: Terminal,
): Promise<string> {
  const downloads = showDownloads(terminal)
  const fetchModel = async (source: string): Promise<string> => {
    const found = await resolveModel(source, { onProgress: downloads.update })
    downloads.end()
    if ('gguf' in found) await found.gguf.close?.()
    return source
  }
  if (given !== undefined) return fetchModel(given)
  if (adapters.length > 0) return fetchModel(await findCommonBase(adapters, terminal))
  try {
    return await fetchModel(defaultModel)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    terminal.note(
      `${error.message}\n\nServing the embedded model ${embeddedModel}, which knows children's stories only.`,
    )
    return embeddedModel
  }
}

async function findCommonBase(adapters: readonly NamedPath[], terminal: Terminal): Promise<string> {
  const bases = await Promise.all(
    adapters.map(async ({ path }) => (await findExpert(path, terminal)).findBase()),
  )
  if (new Set(bases).size === 1) return bases[0]!
  const lines = adapters.map(({ path }, i) => `${path}: ${bases[i]}`)
  throw new OptionError(
    `These experts name different bases, and a server has one. Name it: graft serve <model>.\n  ${lines.join('\n  ')}`,
  )
}

interface ShownPlaces {
  readonly registry: string | undefined
  /** Who computes, where that is not this program. */
  readonly backend: string | undefined
}

const describeBackend = ({ backend, url }: ServeValues): string | undefined =>
  backend === 'vllm'
    ? `vLLM at ${url}: LoRA only; no embeddings, and no tiers that learn from users, because both need hidden states`
    : undefined

/** The first screen: where, what, and one example to copy for a shell and one for a program. */
async function showServer(
  server: StartedServer,
  { registry, backend }: ShownPlaces,
  terminal: Terminal,
): Promise<void> {
  const { url, service, access, restored } = server
  const [{ name }, experts, registered] = await Promise.all([
    service.describe(),
    service.listExperts(),
    service.findRegistered({}),
  ])
  const models = [name, ...experts.map((expert) => expert.name)]
  const asked = experts[0]?.name ?? name
  const body = `{"model":"${asked}","messages":[{"role":"user","content":"Hello"}]}`
  const { strong, faint } = terminal.style
  const lines = [
    `Serving ${strong(name)} at ${strong(`${url}/v1`)}`,
    '',
    ...(backend === undefined ? [] : [`  backend  ${backend}`]),
    `  models  ${models.join(', ')}`,
    ...(registered.length > 0
      ? [`  registry  ${registry}, ${registered.length} expert${registered.length > 1 ? 's' : ''}`]
      : []),
    `  access  ${access}`,
    ...(restored.loaded.length > 0 ? [`  loaded again  ${restored.loaded.join(', ')}`] : []),
    ...restored.skipped.map((one) => `  not loaded again  ${one.name}`),
    '',
    faint('In a shell:'),
    `  curl ${url}/v1/chat/completions -H 'content-type: application/json' \\`,
    `    -d '${body}'`,
    faint('In a program (npm install openai):'),
    `  const client = new OpenAI({ baseURL: '${url}/v1', apiKey: 'none' })`,
    `  await client.chat.completions.create(${body})`,
    '',
    faint('Ctrl-C ends it; what runs is answered first.'),
  ]
  for (const line of lines) terminal.say(line)
}
