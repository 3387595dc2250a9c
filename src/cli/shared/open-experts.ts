// Parses and opens one expert or a mixture for commands that generate: --adapter coder=0.7
// --adapter security=0.3, or both separated by a comma.

import { string } from '../../base/schema.ts'
import type { Adapter, Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import type { LoadedModel } from '../../node/index.ts'
import { toOption, type Options } from '../command.ts'
import {
  adapterForms,
  defaultModel,
  findExpert,
  type FoundExpert,
  type ModelValues,
  reportOtherBase,
  openModel,
} from './open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

export const expertOption = {
  adapter: toOption(
    string({
      about: `expert to answer with: ${adapterForms}; several, or one with a weight, are mixed as their weighted sum`,
    }),
    { valueName: 'path[=weight]', short: 'a', many: true },
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

type FoundNamedExpert = NamedExpert & FoundExpert

interface LoadedExpert extends NamedExpert {
  readonly adapter: Adapter
}

async function findNamedExpert(
  { folder, weight }: NamedExpert,
  terminal: Terminal,
): Promise<FoundNamedExpert> {
  const { system, findBase, load } = await findExpert(folder, terminal)
  return { folder, weight, system, findBase, load }
}

const loadAll = (
  found: readonly FoundNamedExpert[],
  model: Pick<LoadedModel, 'base'>,
): Promise<LoadedExpert[]> =>
  Promise.all(
    found.map(async ({ folder, weight, load }) => ({ folder, weight, adapter: await load(model) })),
  )

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
  model: LoadedModel,
  terminal: Terminal,
): Promise<Expert | undefined> {
  const named = parseExperts(texts)
  const found = await Promise.all(named.map((one) => findNamedExpert(one, terminal)))
  return toExpert(await loadAll(found, model))
}

/**
 * The one base that all were taught on. Throws OptionError that names each one's where they differ.
 */
async function resolveCommonBase(loaded: readonly FoundNamedExpert[]): Promise<string> {
  const bases = await Promise.all(loaded.map(({ findBase }) => findBase()))
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
  const found = await Promise.all(named.map((one) => findNamedExpert(one, terminal)))
  const source = values.model ?? (found.length > 0 ? await resolveCommonBase(found) : undefined)
  const model = await (source === undefined
    ? openDefault(values, terminal)
    : openModel(source, values, terminal))
  let loaded: LoadedExpert[]
  try {
    loaded = await loadAll(found, model)
    // only where it may be another one: the hash takes as long as reading the base once more
    if (values.model !== undefined)
      for (const { folder, adapter } of loaded)
        await reportOtherBase(folder, adapter, model, terminal)
  } catch (error) {
    await model.dispose()
    throw error
  }
  const systems = new Set(found.map(({ system }) => system))
  if (systems.size > 1)
    terminal.note(
      'These experts were taught with different system messages; none is used unless --system gives one.',
    )
  const adapter = toExpert(loaded)
  const isOne = loaded.length === 1 && loaded[0]!.weight === 1
  return {
    model,
    adapter,
    system: systems.size === 1 ? found[0]!.system : undefined,
    named: loaded.length === 0 ? null : isOne ? loaded[0]!.folder : named,
  }
}
