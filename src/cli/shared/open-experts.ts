// Parses and opens one expert or a mixture for commands that generate: --adapter coder=0.7
// --adapter security=0.3, or both separated by a comma.

import { string } from '../../base/schema.ts'
import type { Adapter, Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import type { LoadedModel } from '../../node/index.ts'
import { toOption, type Options } from '../command.ts'
import { resolveAdapterBase, defaultModel, type ModelValues, openModel } from './open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

export const expertOption = {
  adapter: toOption(
    string({
      about:
        'expert to answer with: a folder as PEFT saves it; several, or one with a weight, are mixed as their weighted sum',
    }),
    { valueName: 'folder[=weight]', short: 'a', many: true },
  ),
} as const satisfies Options

export interface NamedExpert {
  readonly folder: string
  readonly weight: number
}

const betweenExperts = /(?<==[-+.\de]+)\s*,\s*/i
const withWeight = /^(.+)=([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/i

/**
 * 'coder=0.7, security=0.3' as folders and weights, 1 unless given. A comma counts behind a weight
 * only: folders may have one in their names.
 */
export const parseExperts = (texts: readonly string[]): NamedExpert[] =>
  texts
    .flatMap((text) => text.trim().split(betweenExperts))
    .map((text) => {
      const [, folder = text, weight = '1'] = withWeight.exec(text) ?? []
      return { folder, weight: Number(weight) }
    })

interface LoadedExpert extends NamedExpert {
  readonly adapter: Adapter
  /** The base and the system message that graft.json names. */
  readonly base: string | undefined
  readonly system: string | undefined
}

async function loadNamedExpert({ folder, weight }: NamedExpert): Promise<LoadedExpert> {
  const [{ loadAdapter }, { readExpertMetadata }] = await Promise.all([
    import('../../node/index.ts'),
    import('../../node/graft-json.ts'),
  ])
  const adapter = await loadAdapter(folder)
  const notes = await readExpertMetadata(folder)
  return { folder, weight, adapter, base: notes?.base, system: notes?.system }
}

/** One expert of weight 1 is itself. */
function toExpert(loaded: readonly LoadedExpert[]): Expert | undefined {
  const [first] = loaded
  if (loaded.length > 1 || (first && first.weight !== 1))
    return { mixture: loaded.map(({ adapter, weight }) => ({ adapter, weight })) }
  return first?.adapter
}

/**
 * The expert that the texts name, each of whose adapters fits the model. Throws MismatchError for
 * one that does not.
 */
export async function loadExpert(
  texts: readonly string[],
  { base }: LoadedModel,
): Promise<Expert | undefined> {
  const loaded = await Promise.all(parseExperts(texts).map(loadNamedExpert))
  await checkExperts(loaded, base)
  return toExpert(loaded)
}

async function checkExperts(
  loaded: readonly LoadedExpert[],
  base: LoadedModel['base'],
): Promise<void> {
  const { checkAdapter } = await import('../../adapters/index.ts')
  for (const { adapter } of loaded) checkAdapter(adapter, base.graph)
}

/**
 * The one base that all were taught on. Throws OptionError that names each one's where they differ.
 */
async function resolveCommonBase(loaded: readonly LoadedExpert[]): Promise<string> {
  const bases = await Promise.all(
    loaded.map(
      async ({ adapter, base, folder }) => base ?? (await resolveAdapterBase(adapter, folder)),
    ),
  )
  if (new Set(bases).size === 1) return bases[0]!
  const lines = loaded.map(({ folder }, i) => `${folder}: ${bases[i]}`)
  throw new OptionError(
    `These experts name different bases; only those of one base can be mixed. Name it with --model.\n  ${lines.join('\n  ')}`,
  )
}

type OpenDefault = (values: Omit<ModelValues, 'model'>, terminal: Terminal) => Promise<LoadedModel>

export interface OpenedExperts {
  readonly model: LoadedModel
  readonly adapter: Expert | undefined
  /**
   * The system message that the experts were taught with, where their folders say one and the same.
   */
  readonly system: string | undefined
  /**
   * What --adapter named, for results in JSON: a folder, or folders with their weights; null is the
   * base.
   */
  readonly named: string | readonly NamedExpert[] | null
}

/**
 * A model and who answers: without --model it is the experts' own base, without --adapter the base
 * alone; `openDefault` opens it where neither is named.
 */
export async function openExperts(
  values: ModelValues & { readonly adapter: readonly string[] | undefined },
  terminal: Terminal,
  openDefault: OpenDefault = (given, shown) => openModel(defaultModel, given, shown),
): Promise<OpenedExperts> {
  const named = parseExperts(values.adapter ?? [])
  const loaded = await Promise.all(named.map(loadNamedExpert))
  const source = values.model ?? (loaded.length > 0 ? await resolveCommonBase(loaded) : undefined)
  const model = await (source === undefined
    ? openDefault(values, terminal)
    : openModel(source, values, terminal))
  try {
    await checkExperts(loaded, model.base)
  } catch (error) {
    await model.dispose()
    throw error
  }
  const systems = new Set(loaded.map(({ system }) => system))
  if (systems.size > 1)
    terminal.note(
      'These experts were taught with different system messages; none is used unless --system gives one.',
    )
  const adapter = toExpert(loaded)
  const isOne = loaded.length === 1 && loaded[0]!.weight === 1
  return {
    model,
    adapter,
    system: systems.size === 1 ? loaded[0]!.system : undefined,
    named: loaded.length === 0 ? null : isOne ? loaded[0]!.folder : named,
  }
}
