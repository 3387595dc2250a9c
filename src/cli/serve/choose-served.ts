// What graft serve and graft mcp offer: the model, its experts and the registry, from the command
// line.

import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { NotFoundError, OptionError, StorageError } from '../../base/errors.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { isPostgresAddress } from '../../node/registry/postgres-address.ts'
import { readGivenDate } from '../shared/date.ts'
import { defaultModel, embeddedModel, findExpert, showDownloads } from '../shared/open-model.ts'
import { parseRopeScaling } from '../shared/rope-scaling-option.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { ServeValues } from './server-options.ts'

interface NamedPath {
  readonly name: string
  readonly path: string
}

type ServedValues = Pick<
  ServeValues,
  'registry' | 'adapter' | 'rope-scaling' | 'date' | 'chat-template'
>

/** As startServer takes it. Throws what finding the model and its experts throws. */
export async function chooseServed(
  given: string | undefined,
  values: ServedValues,
  terminal: Terminal,
) {
  const registry = await chooseRegistry(values.registry, terminal)
  const adapters = await Promise.all(
    parseAdapters(values.adapter ?? []).map((one) => locateNamed(one, registry)),
  )
  return {
    model: await chooseModel(given, adapters, terminal),
    adapters,
    registry,
    ropeScaling: parseRopeScaling(values['rope-scaling']),
    date: readGivenDate(values.date),
    chatTemplate: await readTemplate(values),
  }
}

const readTemplate = async ({
  'chat-template': path,
}: ServedValues): Promise<string | undefined> =>
  path === undefined
    ? undefined
    : readFile(path, 'utf8').catch((cause: unknown) => {
        throw new NotFoundError(`--chat-template ${path}: cannot be read.`, { cause })
      })

/** Where an expert is: a path, a name of the registry such as coder@stable, or a released one. */
async function locateNamed(
  { name, path }: NamedPath,
  registry: string | undefined,
): Promise<NamedPath> {
  const { findNamedExpert, requireExpertPath } = await import('../../node/library/released.ts')
  const found = await findNamedExpert(path, registry ?? null)
  return { name, path: found ?? resolve(await requireExpertPath(path)) }
}

/** The registry that is named, else this user's, where that can be made; "none": no registry. */
async function chooseRegistry(
  given: string | undefined,
  terminal: Terminal,
): Promise<string | undefined> {
  if (given === 'none') return undefined
  if (given !== undefined) return isPostgresAddress(given) ? given : resolve(given)
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
      `${error.message}\n\nServing the embedded model ${embeddedModel}, which only knows children's stories.`,
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
    `These experts name different bases, and a server has one base. Name it: graft serve <model>.\n  ${lines.join('\n  ')}`,
  )
}
