// Opens models and adapters for commands: download progress on stderr; the adapter's base and
// system message by default.

import { string } from '../../base/schema.ts'
import type { Adapter } from '../../adapters/index.ts'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import type { LoadedModel, LoadModelOptions } from '../../node/index.ts'
import { loadFields } from '../../node/models/model-options.ts'
import { formatBytes } from '../ui/format.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'
import { toOption, type Options } from '../command.ts'
import { readDate } from './date.ts'

export const defaultModel = 'smollm2-135m-instruct'
/** Travels with the package. */
const embeddedModel = 'stories260k'

/** Options of every command that computes with a model. */
export const modelOptions = {
  model: toOption(string({ about: `directory, .gguf file, hf:owner/name or catalogue name` }), {
    valueName: 'model',
    short: 'm',
  }),
  date: toOption(string({ about: 'the day that chat templates print; today unless given' }), {
    valueName: 'yyyy-mm-dd',
  }),
  weights: loadFields.weights,
  threads: loadFields.threads,
} as const satisfies Options

export const adapterOption = {
  adapter: toOption(string({ about: 'expert to answer with: a folder as PEFT saves it' }), {
    valueName: 'folder',
    short: 'a',
  }),
} as const satisfies Options

export interface ModelValues {
  readonly model: string | undefined
  readonly date?: string | undefined
  readonly weights?: LoadModelOptions['weights']
  readonly threads?: number | undefined
}

/** Loads a model, with a progress line for each file that has to be fetched. */
export async function openModel(
  source: string,
  { date, weights, threads }: Omit<ModelValues, 'model'>,
  terminal: Terminal,
): Promise<LoadedModel> {
  const { loadModel } = await import('../../node/index.ts')
  const lines = new Map<string, Progress>()
  const model = await loadModel(source, {
    threads,
    weights,
    date: readDate(date),
    onProgress: ({ file, receivedBytes, totalBytes }) => {
      const line = lines.get(file) ?? terminal.progress(file, totalBytes)
      lines.set(file, line)
      line.update(
        receivedBytes,
        totalBytes === undefined
          ? formatBytes(receivedBytes)
          : `${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`,
      )
    },
  })
  for (const line of lines.values()) line.end()
  return model
}

/**
 * The default model; the embedded one, with a line that says why, where the default one cannot be
 * fetched.
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
      `${error.message}\n\nAnswering with the embedded model ${embeddedModel}, which knows children's stories only.`,
    )
    return openModel(embeddedModel, values, terminal)
  }
}

export interface OpenedExpert {
  readonly model: LoadedModel
  readonly adapter: Adapter | undefined
  /** The system message that the expert was trained with, where its folder says. */
  readonly system: string | undefined
}

/**
 * A model, and the adapter that fits it: without --model it is the adapter's own base, without
 * --adapter the base alone.
 */
export async function openExpert(
  values: ModelValues & { readonly adapter: string | undefined },
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
    return { model, adapter: await found.load(model), system: found.system }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** An adapter on disk before its base is open. */
export interface FoundExpert {
  /** The system message that it was trained with, where its folder says. */
  readonly system: string | undefined
  /** Where its own base can be had. Throws OptionError where nothing says it. */
  findBase(): Promise<string>
  /** The adapter, which fits the model. Throws MismatchError where it does not. */
  load(model: Pick<LoadedModel, 'base'>): Promise<Adapter>
}

/** Finds an adapter in any format; says which lines of a Modelfile are left out. */
export async function findExpert(path: string, terminal: Terminal): Promise<FoundExpert> {
  const [{ loadAdapter }, { readExpertMetadata }, { findAdapterSource }, { getBaseSource }] =
    await Promise.all([
      import('../../node/index.ts'),
      import('../../node/graft-json.ts'),
      import('../../node/adapter-source.ts'),
      import('../../node/models/base-name.ts'),
    ])
  const source = await findAdapterSource(path)
  const { leftOut = [] } = source
  if (leftOut.length > 0)
    terminal.note(`${path}: ${leftOut.join(', ')} left out; only FROM and ADAPTER are used.`)
  const early = source.format === 'peft' ? await loadAdapter(source.path) : undefined
  const notes = await readExpertMetadata(source.path)
  return {
    system: notes?.system,
    async findBase() {
      if (source.base !== undefined) return getBaseSource(source.base)
      if (notes?.base !== undefined) return notes.base
      if (early) return resolveAdapterBase(early, path)
      throw new OptionError(`${path}: does not say which base it belongs to. Name it with --model.`)
    },
    async load({ base }) {
      const { checkAdapter } = await import('../../adapters/index.ts')
      const { checkBaseCopies, dropEqualEmbeddings } = await import('../../adapters/base-copy.ts')
      const adapter = early ?? (await loadAdapter(source.path, { model: base }))
      checkAdapter(adapter, base.graph)
      await checkBaseCopies(adapter, base.graph, (name) => base.weights.read(name))
      const { findUnusedText } = await import('../../node/own-text.ts')
      for (const left of await findUnusedText(source.path, base))
        terminal.note(`${path}: ${left} is not used; the base's is.`)
      return dropEqualEmbeddings(adapter, base.graph, (name) => base.weights.read(name))
    },
  }
}

/**
 * Where the base that an adapter's config names can be had. Throws OptionError where it names none,
 * NotFoundError for a path that is not on this machine.
 */
export async function resolveAdapterBase({ baseModel }: Adapter, folder: string): Promise<string> {
  const { getBaseSource, isOnThisMachine } = await import('../../node/models/base-name.ts')
  if (baseModel !== undefined && baseModel !== '') {
    const source = getBaseSource(baseModel)
    if (await isOnThisMachine(source)) return source
    throw new NotFoundError(
      `${folder}: its adapter_config.json names the base "${baseModel}", which is not on this machine. Name another with --model.`,
    )
  }
  throw new OptionError(
    `${folder}: adapter_config.json does not say which base it belongs to. Name it with --model.`,
  )
}
