// graft models: lists the base models of the catalogue and those on this machine, and fetches one.

import type { CatalogueEntry } from '../../catalogue/catalogue.ts'
import { oneOf } from '../../base/schema.ts'
import { checkValue, defineCommand, UsageError } from '../command.ts'
import { findModelPlace, getRunningFolder } from '../home/places.ts'
import { openModel } from '../shared/open-model.ts'
import { formatBytes, formatParameterCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

const actions = oneOf(['list', 'cached', 'fetch'])

export const modelsCommand = defineCommand({
  name: 'models',
  summary: 'base models: what there is, what is on this machine, fetch one',
  usage: '[list | cached | fetch <model>]',
  positionals: [0, 2],
  options: {},
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
    { command: 'graft models cached', about: 'files in the cache, with their sizes' },
  ],
  async run({ positionals: [action = 'list', name], terminal }) {
    checkValue(actions, action, 'action')
    if (action === 'fetch' && name === undefined)
      throw new UsageError('fetch wants a model: graft models fetch <model>')
    if (action !== 'fetch' && name !== undefined)
      throw new UsageError(`${JSON.stringify(name)} is one word too many.`)
    if (action === 'fetch') return fetchModel(name!, terminal)
    return action === 'cached' ? listCache(terminal) : listCatalogue(terminal)
  },
})

async function listCatalogue(terminal: Terminal) {
  const { catalogue } = await import('../../catalogue/catalogue.ts')
  const entries = await Promise.all(
    [...catalogue.values()].map(async (entry) => ({
      ...selectFields(entry),
      place: await findModelPlace(entry),
    })),
  )
  const rows = entries.map(({ name, parameters, license, place, description }) => [
    name,
    formatParameterCount(parameters),
    license,
    place,
    description,
  ])
  for (const line of formatTable(
    [['name', 'parameters', 'licence', 'here', 'about'], ...rows],
    ['left', 'right'],
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

async function fetchModel(name: string, terminal: Terminal) {
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

async function listCache(terminal: Terminal) {
  const [{ getCacheDirectory }, { readdir, stat }, { join, relative }] = await Promise.all([
    import('../../node/models/cache.ts'),
    import('node:fs/promises'),
    import('node:path'),
  ])
  const folder = getCacheDirectory()
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = found
    .filter((item) => item.isFile() && !item.name.endsWith('.lock'))
    .filter((item) => item.parentPath !== getRunningFolder())
    .map((item) => join(item.parentPath, item.name))
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
