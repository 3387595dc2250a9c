// graft models: lists the base models of the catalogue and those on this machine, and fetches one.

import type { CatalogueEntry } from '../../catalogue/catalogue.ts'
import { oneOf } from '../../base/schema.ts'
import { checkValue, defineCommand, UsageError } from '../command.ts'
import { findModelPlace } from '../home/places.ts'
import { modelOptions, openModel, showDownloads } from '../shared/open-model.ts'
import { formatBytes, formatParameterCount } from '../ui/format.ts'
import { formatDescriptions, formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

const actions = oneOf(['list', 'cached', 'fetch', 'plan'])

export const modelsCommand = defineCommand({
  name: 'models',
  summary: 'base models: list, show the cache, fetch one, estimate its memory',
  usage: '[list | cached | fetch <model> | plan <model>]',
  positionals: [0, 2],
  options: { weights: modelOptions.weights },
  examples: [
    { command: 'graft models', about: 'the catalogue, and where each model is' },
    {
      command: 'graft models fetch smollm2-135m-instruct',
      about: 'into the cache, for use without a network',
    },
    {
      command: 'graft models fetch hf:Qwen/Qwen3-0.6B',
      about: 'any model of a supported architecture from the hub',
    },
    {
      command: 'graft models plan ./model.gguf',
      about: 'the memory that it needs, and what this machine has',
    },
    { command: 'graft models cached', about: 'files in the cache, with their sizes' },
  ],
  async run({ positionals: [action = 'list', name], values, terminal }) {
    checkValue(actions, action, 'action')
    const wantsModel = action === 'fetch' || action === 'plan'
    if (wantsModel && name === undefined)
      throw new UsageError(`${action} needs a model: graft models ${action} <model>`)
    if (values.weights !== undefined && action !== 'plan')
      throw new UsageError('--weights is for graft models plan.')
    if (!wantsModel && name !== undefined)
      throw new UsageError(`unexpected argument ${JSON.stringify(name)}.`)
    if (action === 'fetch') return fetchModel(name!, terminal)
    if (action === 'plan') {
      const { showModelPlan } = await import('../inspect/show-model-plan.ts')
      return showModelPlan(name!, values, terminal)
    }
    return action === 'cached' ? listCache(terminal) : listCatalogue(terminal)
  },
})

async function listCatalogue(terminal: Terminal) {
  const { catalogue } = await import('../../catalogue/catalogue.ts')
  const entries = await Promise.all(
    [...catalogue.values()].map(async (entry) => ({
      ...selectFields(entry),
      place: await findModelPlace(entry),
      needsBytes: await estimateNeed(entry),
    })),
  )
  const rows = entries.map(({ name, parameters, needsBytes, license, place, description }) => [
    name,
    formatParameterCount(parameters),
    formatBytes(needsBytes),
    license,
    place,
    description,
  ])
  for (const line of formatDescriptions(
    [['name', 'parameters', 'peak memory', 'licence', 'here', 'about'], ...rows],
    terminal.wrapColumns,
    ['left', 'right', 'right'],
  ))
    terminal.print(line)
  return entries
}

const selectFields = ({ name, description, license, parameters }: CatalogueEntry) => ({
  name,
  description,
  license,
  parameters,
})

/** Memory at the peak: of a model on this machine from its head, of others as if it were in f32. */
async function estimateNeed({ name, parameters }: CatalogueEntry): Promise<number> {
  const { planModel } = await import('../../node/prepared/plan-model.ts')
  const plan = await planModel(name, { offline: true }).catch(() => undefined)
  return plan?.memory.peakBytes ?? 4 * parameters
}

async function fetchEncoder(name: string, terminal: Terminal) {
  const { openTextEncoder } = await import('../../node/route/open-encoder.ts')
  const downloads = showDownloads(terminal)
  const encoder = await openTextEncoder(name, { terms: 0, onProgress: downloads.update })
  downloads.end()
  terminal.print(`${name}: sentence encoder, ${encoder.width} numbers of a text`)
  await encoder.dispose()
  return { name, modelType: 'encoder', width: encoder.width }
}

async function fetchModel(name: string, terminal: Terminal) {
  const { catalogue } = await import('../../catalogue/catalogue.ts')
  if (catalogue.get(name)?.encodes) return fetchEncoder(name, terminal)
  // opens it too: a model that cannot be used is not worth having
  const model = await openModel(name, {}, terminal)
  const { config, weights } = model.base
  const sizeBytes = [...weights.tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0)
  terminal.print(
    `${model.base.name}: ${config.modelType}, ${config.layers.length} layers, ${formatBytes(sizeBytes)} of weights in ${weights.name}`,
  )
  const result = {
    name: model.base.name,
    modelType: config.modelType,
    layers: config.layers.length,
    sizeBytes,
    path: weights.name,
  }
  await model.dispose()
  return result
}

/** What the cache keeps of models: downloads, hub files, prepared weights. */
const modelFolders: ReadonlySet<string> = new Set(['files', 'hub', 'prepared'])

async function listCache(terminal: Terminal) {
  const [{ getCacheDirectory }, { readdir, stat }, { join, relative, sep }] = await Promise.all([
    import('../../node/models/cache.ts'),
    import('node:fs/promises'),
    import('node:path'),
  ])
  const folder = getCacheDirectory()
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = found
    .filter((item) => item.isFile() && !item.name.endsWith('.lock'))
    .map((item) => join(item.parentPath, item.name))
    .filter((path) => modelFolders.has(relative(folder, path).split(sep)[0]!))
  const files = await Promise.all(
    paths.map(async (path) => ({
      path: relative(folder, path),
      sizeBytes: (await stat(path)).size,
    })),
  )
  for (const line of formatTable(
    files.map(({ path, sizeBytes }) => [formatBytes(sizeBytes), path]),
    ['right'],
  ))
    terminal.print(line)
  terminal.print(
    `${files.length} files, ${formatBytes(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))} in ${folder}`,
  )
  return { folder, files }
}
