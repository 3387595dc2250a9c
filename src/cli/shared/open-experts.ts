// Parses and opens the experts of commands that generate: --adapter coder=0.7 --adapter
// security=0.3, or both separated by a comma, and --next 40:poet.

import { string } from '../../base/schema.ts'
import type { Adapter, Expert } from '../../adapters/index.ts'
import { parseWeight } from '../../adapters/serving/expert-spec.ts'
import type { AnswerExpert } from '../../adapters/serving/fade.ts'
import type { PartWeight } from '../../adapters/serving/part-weight.ts'
import { OptionError } from '../../base/errors.ts'
import type { LoadedModel } from '../../node/index.ts'
import type { TrustedKey } from '../../node/registry/trusted-keys.ts'
import { toOption, type Options, UsageError } from '../command.ts'
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

export const nextOption = {
  next: toOption(
    string({
      about:
        'the expert that continues from a token of the answer: 40:poet, or 20-60:poet to fade over to it; base for the base alone',
    }),
    { valueName: 'token:path[=weight]', many: true },
  ),
} as const satisfies Options

export const trustOption = {
  'require-signed': toOption(
    string({ filled: true, about: 'use only experts signed with this public key' }),
    { valueName: 'key.pem', many: true },
  ),
} as const satisfies Options

export interface NamedExpert {
  readonly folder: string
  readonly weight: PartWeight
}

/** The expert that continues an answer from a token on. */
export interface NamedStage {
  readonly from: number
  readonly to: number
  readonly experts: readonly NamedExpert[]
}

const betweenExperts = /(?<==[-+.\de@/]+)\s*,\s*/i
const withWeight = /^(.+)=([^=]+)$/

/**
 * 'coder=0.7, security=0.3' as folders and weights, default 1; 'coder=0.8@10-29' by layer. A comma
 * separates only after a weight, because names of folders may contain one.
 */
export const parseExperts = (texts: readonly string[]): NamedExpert[] =>
  texts
    .flatMap((text) => text.trim().split(betweenExperts))
    .map((text) => {
      const [, folder, given] = withWeight.exec(text) ?? []
      const weight = given === undefined ? undefined : parseWeight(given)
      return weight === undefined ? { folder: text, weight: 1 } : { folder: folder!, weight }
    })

const nextForm = /^\s*(\d+)(?:-(\d+))?\s*:(.+)$/s

/** '40:poet', '20-60:poet=0.5,judge=0.5', '80:base'. Throws UsageError for anything else. */
export const parseStages = (texts: readonly string[]): NamedStage[] =>
  texts.map((text) => {
    const [, from, to = from, experts] = nextForm.exec(text) ?? []
    if (from === undefined || experts === undefined)
      throw new UsageError(
        `--next: got "${text}", expected a token of the answer and an expert: 40:poet, or 20-60:poet.`,
      )
    const named = experts.trim() === 'base' ? [] : parseExperts([experts])
    return { from: Number(from), to: Number(to), experts: named }
  })

type FoundNamedExpert = NamedExpert & FoundExpert

interface LoadedExpert extends NamedExpert {
  readonly adapter: Adapter
}

async function findNamedExpert(
  { folder, weight }: NamedExpert,
  terminal: Terminal,
  trustedKeys: readonly TrustedKey[] | undefined,
): Promise<FoundNamedExpert> {
  const { system, findBase, load } = await findExpert(folder, terminal, trustedKeys)
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
 * The expert that the texts name. Throws MismatchError for an adapter that does not fit the model.
 */
export async function loadExpert(
  texts: readonly string[],
  model: LoadedModel,
  terminal: Terminal,
): Promise<Expert | undefined> {
  const named = parseExperts(texts)
  const found = await Promise.all(named.map((one) => findNamedExpert(one, terminal, undefined)))
  return toExpert(await loadAll(found, model))
}

const readKeys = async (
  files: readonly string[] | undefined,
): Promise<readonly TrustedKey[] | undefined> =>
  files && (await import('../../node/registry/trusted-keys.ts')).readTrustedKeys(files)

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

/** The model that is named, else the experts' own base, else the default one. */
export async function findBaseOf(
  values: Pick<ModelValues, 'model'> & {
    readonly adapter: readonly string[] | undefined
    readonly next?: readonly string[] | undefined
  },
  terminal: Terminal,
): Promise<string> {
  if (values.model !== undefined) return values.model
  const stages = parseStages(values.next ?? []).flatMap(({ experts }) => experts)
  const all = [...parseExperts(values.adapter ?? []), ...stages]
  const found = await Promise.all(all.map((one) => findNamedExpert(one, terminal, undefined)))
  return found.length > 0 ? resolveCommonBase(found) : defaultModel
}

type OpenDefault = (values: Omit<ModelValues, 'model'>, terminal: Terminal) => Promise<LoadedModel>

export interface OpenedExperts {
  readonly model: LoadedModel
  /** The expert that reads the prompt. */
  readonly adapter: Expert | undefined
  /** The expert that answers: the same, or a fade that begins with it. */
  readonly answerer: AnswerExpert | undefined
  /** The system message of the experts' training, if they agree. */
  readonly system: string | undefined
  /**
   * What --adapter named, for results in JSON: a folder, or folders with their weights; null is the
   * base.
   */
  readonly named: string | readonly NamedExpert[] | null
  /** What --next named. */
  readonly next: readonly NamedStage[]
}

/**
 * A model and its expert: without --model it is the experts' own base, without --adapter the base
 * alone; `openDefault` opens it where neither is named.
 */
export async function openExperts(
  values: ModelValues & {
    readonly adapter: readonly string[] | undefined
    readonly next?: readonly string[] | undefined
    readonly 'require-signed'?: readonly string[] | undefined
  },
  terminal: Terminal,
  openDefault: OpenDefault = (given, shown) => openModel(defaultModel, given, shown),
): Promise<OpenedExperts> {
  const named = parseExperts(values.adapter ?? [])
  const next = parseStages(values.next ?? [])
  const all = [...named, ...next.flatMap(({ experts }) => experts)]
  const keys = await readKeys(values['require-signed'])
  if (keys && all.length === 0)
    throw new UsageError('--require-signed is about experts, and none is named: give --adapter.')
  const found = await Promise.all(all.map((one) => findNamedExpert(one, terminal, keys)))
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
      'These experts were trained with different system messages; none is used. --system sets one.',
    )
  const adapter = toExpert(loaded.slice(0, named.length))
  const isOne = named.length === 1 && named[0]!.weight === 1
  return {
    model,
    adapter,
    answerer: toAnswerer(adapter, next, loaded.slice(named.length)),
    system: systems.size === 1 ? found[0]!.system : undefined,
    named: named.length === 0 ? null : isOne ? named[0]!.folder : named,
    next,
  }
}

/** The first expert, then those that continue; `loaded` are theirs, one after the other. */
function toAnswerer(
  first: Expert | undefined,
  next: readonly NamedStage[],
  loaded: readonly LoadedExpert[],
): AnswerExpert | undefined {
  if (next.length === 0) return first
  let at = 0
  const later = next.map(({ from, to, experts }) => {
    const own = loaded.slice(at, (at += experts.length))
    return { expert: toExpert(own), from, to }
  })
  return { fade: [{ expert: first, from: 0, to: 0 }, ...later] }
}
