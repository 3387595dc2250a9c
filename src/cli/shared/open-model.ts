// Opens models and adapters for commands: download progress on stderr; the adapter's base and
// system message by default.

import { flag, string } from '../../base/schema.ts'
import type { Adapter } from '../../adapters/index.ts'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import type { LoadedModel, LoadModelOptions } from '../../node/index.ts'
import type { LocatedAdapter } from '../../node/located-adapter.ts'
import { loadFields } from '../../node/models/model-options.ts'
import type { TrustedKey } from '../../node/registry/trusted-keys.ts'
import { formatBytes } from '../ui/format.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'
import { toOption, type Options } from '../command.ts'
import { readGivenDate } from './date.ts'
import { parseRopeScaling } from './rope-scaling-option.ts'

export const defaultModel = 'smollm2-135m-instruct'
/** Part of the package. */
export const embeddedModel = 'stories260k'

/** Options of every command that computes with a model. */
export const modelOptions = {
  model: toOption(string({ about: `directory, .gguf file, hf:owner/name or catalogue name` }), {
    valueName: 'model',
    short: 'm',
  }),
  date: toOption(
    string({ about: "the date that chat templates print (default: the expert's own, or today)" }),
    {
      valueName: 'yyyy-mm-dd',
    },
  ),
  weights: loadFields.weights,
  threads: loadFields.threads,
} as const satisfies Options

/** The adapters that commands take. */
export const adapterForms = 'a folder as PEFT or mlx-lm saves it, a .gguf file or a Modelfile'

export const adapterOption = {
  adapter: toOption(string({ about: `expert to answer with: ${adapterForms}` }), {
    valueName: 'path',
    short: 'a',
  }),
} as const satisfies Options

export const anyBaseOption = {
  'any-base': flag({
    about:
      'allow experts that were trained on weights of another hash, such as another quantisation of the model',
  }),
} as const satisfies Options

export const planOption = {
  plan: flag({ about: 'print the memory that it will need, and open nothing' }),
} as const satisfies Options

export interface ModelValues {
  readonly model: string | undefined
  readonly date?: string | undefined
  readonly weights?: LoadModelOptions['weights']
  readonly threads?: number | undefined
  readonly 'rope-scaling'?: string | undefined
}

/** Loads a model, with a progress line for each file that has to be fetched. */
export async function openModel(
  source: string,
  { date, weights, threads, 'rope-scaling': scaling }: Omit<ModelValues, 'model'>,
  terminal: Terminal,
): Promise<LoadedModel> {
  const ropeScaling = parseRopeScaling(scaling)
  const { loadModel } = await import('../../node/model.ts') // the entry brings training along
  const downloads = showDownloads(terminal)
  const model = await loadModel(source, {
    threads,
    weights,
    ropeScaling,
    date: readGivenDate(date),
    today: new Date(),
    onProgress: downloads.update,
  })
  downloads.end()
  return model
}

/** A progress line for each file that is downloaded. */
export function showDownloads(terminal: Terminal): {
  readonly update: NonNullable<LoadModelOptions['onProgress']>
  readonly end: () => void
} {
  const lines = new Map<string, Progress>()
  return {
    update({ file, receivedBytes, totalBytes }) {
      const line = lines.get(file) ?? terminal.progress(file, totalBytes)
      lines.set(file, line)
      line.update(
        receivedBytes,
        totalBytes === undefined
          ? formatBytes(receivedBytes)
          : `${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`,
      )
    },
    end() {
      for (const line of lines.values()) line.end()
    },
  }
}

/**
 * The default model; if it cannot be fetched, the embedded one, with a line that gives the reason.
 */
export async function openDefaultModel(
  values: Omit<ModelValues, 'model'>,
  terminal: Terminal,
): Promise<LoadedModel> {
  try {
    return await openModel(defaultModel, values, terminal)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    terminal.note(
      `${error.message}\n\nAnswering with the embedded model ${embeddedModel}, which only knows children's stories.`,
    )
    return openModel(embeddedModel, values, terminal)
  }
}

export interface OpenedExpert {
  readonly model: LoadedModel
  readonly adapter: Adapter | undefined
  /** The system message of the expert's training, if its folder has one. */
  readonly system: string | undefined
}

/** Throws MismatchError if the expert was trained on another base, unless any base is allowed. */
export async function checkOwnBase(
  adapter: Adapter,
  { base }: LoadedModel,
  anyBase: boolean,
): Promise<void> {
  const { checkBaseHash } = await import('../../adapters/base-copy.ts')
  if (!anyBase) await checkBaseHash(adapter, base)
}

/** Reports both bases if the expert was trained on another base, or on another form of it. */
export async function reportOtherBase(
  path: string,
  adapter: Adapter,
  { base }: LoadedModel,
  terminal: Terminal,
): Promise<void> {
  const { findBaseHashMismatch } = await import('../../adapters/base-copy.ts')
  const mismatch = await findBaseHashMismatch(adapter, base)
  if (mismatch)
    terminal.note(
      `${path}: learned on ${mismatch.expected}, and is used with ${mismatch.got}: another base, or another quantisation of the same one.`,
    )
}

/**
 * A model, and an adapter that was trained on it: without --model it is the adapter's own base,
 * without --adapter the base alone.
 */
export async function openExpert(
  values: ModelValues & { readonly adapter: string | undefined; readonly 'any-base': boolean },
  terminal: Terminal,
): Promise<OpenedExpert> {
  if (values.adapter === undefined)
    return {
      model: await openModel(values.model ?? defaultModel, values, terminal),
      adapter: undefined,
      system: undefined,
    }
  const found = await findExpert(values.adapter, terminal)
  const model = await openModel(values.model ?? (await found.findBase()), values, terminal)
  try {
    const adapter = await found.load(model)
    await checkOwnBase(adapter, model, values['any-base'])
    return { model, adapter, system: found.system }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** An adapter on disk before its base is open. */
export interface FoundExpert {
  /** The system message of its training, if its folder has one. */
  readonly system: string | undefined
  /** Where its own base can be found. Throws OptionError if nothing names it. */
  findBase(): Promise<string>
  /** The adapter, which fits the model. Throws MismatchError if it does not. */
  load(model: Pick<LoadedModel, 'base'>): Promise<Adapter>
}

/**
 * Finds an adapter in any format; reports ignored lines of a Modelfile. `trustedKeys`: one of them
 * must have signed it.
 */
export async function findExpert(
  given: string,
  terminal: Terminal,
  trustedKeys?: readonly TrustedKey[],
): Promise<FoundExpert> {
  const { locateAdapter, readLocatedAdapter } = await import('../../node/located-adapter.ts')
  const { findNamedExpert, requireExpertPath } = await import('../../node/library/released.ts')
  const path = (await findNamedExpert(given)) ?? (await requireExpertPath(given))
  const located = trustedKeys
    ? await (
        await import('../../node/registry/locate-signed.ts')
      ).locateSignedAdapter(path, trustedKeys)
    : await locateAdapter(path)
  const { source, notes } = located
  const { leftOut = [] } = source
  if (leftOut.length > 0)
    terminal.note(`${path}: ${leftOut.join(', ')} left out; only FROM and ADAPTER are used.`)
  return {
    system: notes?.system,
    findBase: () => requireBase(located),
    async load({ base }) {
      const { checkAdapter } = await import('../../adapters/index.ts')
      const { checkBaseCopies, dropEqualEmbeddings } = await import('../../adapters/base-copy.ts')
      const adapter = await readLocatedAdapter(located, base)
      checkAdapter(adapter, base.graph)
      await checkBaseCopies(adapter, base.graph, (name) => base.weights.read(name))
      const { describeOwnText } = await import('../../node/own-text.ts')
      for (const note of describeOwnText(adapter.text, base)) terminal.note(`${path}: ${note}.`)
      return dropEqualEmbeddings(adapter, base.graph, (name) => base.weights.read(name))
    },
  }
}

/**
 * Where an adapter's own base can be found. Throws OptionError if nothing names it, NotFoundError
 * for a path that is not on this machine.
 */
async function requireBase({
  path,
  base,
  source,
  notes,
  adapter,
}: LocatedAdapter): Promise<string> {
  const isFolder = source.format === 'peft'
  if (base === undefined)
    throw new OptionError(
      `${path}: ${isFolder ? 'adapter_config.json ' : ''}does not say which base it belongs to. Name it with --model.`,
    )
  const { isOnThisMachine } = await import('../../node/models/base-name.ts')
  if (notes || source.base !== undefined || (await isOnThisMachine(base))) return base
  throw new NotFoundError(
    `${path}: ${isFolder ? 'its adapter_config.json' : 'it'} names the base "${adapter?.baseModel ?? base}", which is not on this machine. Name another with --model.`,
  )
}
