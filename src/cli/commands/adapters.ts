// graft adapters: lists adapter kinds, target presets and the experts in a folder.

import { integer, isRecord, string } from '../../base/schema.ts'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GraftError } from '../../base/errors.ts'
import { defineCommand, toOption } from '../command.ts'
import { describePath } from '../shared/describe-path.ts'
import type { AdapterCost } from '../../adapters/cost.ts'
import { formatBytes, formatCount, formatParameterCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export const adaptersCommand = defineCommand({
  name: 'adapters',
  summary: 'list adapter kinds, target presets and the experts in a folder',
  usage: '[folder]',
  positionals: [0, 1],
  options: {
    model: toOption(
      string({ about: 'show what each kind costs on this base; nothing is trained' }),
      { valueName: 'model', short: 'm' },
    ),
    rank: integer({
      from: 1,
      about: 'with --model: rank of the kinds that have one (default: 16 for lora and dora)',
    }),
    targets: toOption(
      string({
        about: 'with --model: a preset, or names with commas (default: as graft train takes them)',
      }),
      { valueName: 'names' },
    ),
  },
  examples: [
    { command: 'graft adapters', about: 'kinds and presets, and the experts below this folder' },
    { command: 'graft adapters experts', about: 'the experts below another one' },
    {
      command: 'graft adapters --model smollm2-135m-instruct --rank 8',
      about: 'parameters, bytes and operations per token of every kind',
    },
    { command: 'graft inspect experts/legal', about: 'everything about one of them' },
  ],
  async run({ values, positionals: [folder = '.'], terminal }) {
    const { adapterKinds, targetPresets } = await import('../../adapters/index.ts')
    const [{ openBaseModel, listModules }, { resolveModel }] = await Promise.all([
      import('../../graph/index.ts'),
      import('../../node/models/resolve.ts'),
    ])
    const kinds = [...adapterKinds.values()].map(({ name, peftType, merge }) => ({
      name,
      peftType,
      merges: merge !== undefined,
    }))
    // presets name modules of a model; the embedded one has the usual names
    const sample = await openBaseModel(await resolveModel('stories260k'))
    const modules = listModules(sample.graph)
    const names = [...targetPresets].map(([name, choose]) => ({
      name,
      modules: [...new Set(choose(modules).map(({ path }) => path.split('.').at(-1)!))],
    }))
    await sample.weights.close()
    const costs = values.model === undefined ? undefined : await estimateCosts(values.model, values)
    const saved = await listSavedAdapters(folder)
    show(costs ?? kinds, names, saved, folder, terminal)
    return { kinds: costs ?? kinds, presets: names, saved }
  },
})

type Kind = {
  readonly name: string
  readonly peftType: string
  readonly merges: boolean
  readonly cost?: AdapterCost | string
}

/**
 * What every kind costs on a base, with the options that graft train takes; a sentence where a kind
 * does not have the ones that were given.
 */
async function estimateCosts(
  source: string,
  { rank, targets }: { rank?: number | undefined; targets?: string | undefined },
): Promise<Kind[]> {
  const [
    { adapterKinds, computeAdapterCost, targetPresets },
    { openBaseModel },
    { resolveModel },
    { getDefaultConfig },
    { parseTargets },
  ] = await Promise.all([
    import('../../adapters/index.ts'),
    import('../../graph/index.ts'),
    import('../../node/models/resolve.ts'),
    import('../../node/manifests/training-run.ts'),
    import('../shared/parse-targets.ts'),
  ])
  const base = await openBaseModel(await resolveModel(source))
  const given = {
    ...(rank !== undefined && { rank }),
    ...(targets !== undefined && { targets: parseTargets(targets, [...targetPresets.keys()]) }),
  }
  try {
    return [...adapterKinds.values()].map(({ name, peftType, merge, options }) => {
      const known = Object.fromEntries(Object.entries(given).filter(([key]) => key in options))
      return {
        name,
        peftType,
        merges: merge !== undefined,
        cost: attempt(() =>
          computeAdapterCost(name, { ...getDefaultConfig(name), ...known }, base.graph),
        ),
      }
    })
  } finally {
    await base.weights.close()
  }
}

function attempt<Result>(work: () => Result): Result | string {
  try {
    return work()
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return error.message
  }
}

interface SavedAdapter {
  readonly path: string
  readonly kind: string
  readonly base: string | null
  readonly parameters: number
  readonly sizeBytes: number
  readonly problem?: string
}

const deepest = 4 // experts/<name>/checkpoints/best is the deepest
const skipped = new Set(['node_modules', 'dist', '.git'])

/** The folders of an expert's parts, which are not experts themselves. */
async function listParts(folder: string): Promise<readonly string[]> {
  const { listPartFolders } = await import('../../adapters/files/joint-folder.ts')
  try {
    const json: unknown = JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'))
    return (isRecord(json) && listPartFolders(json, folder)) || []
  } catch {
    return [] // the folder is listed with what is wrong with it
  }
}

/** Paths of adapters in any format: folders with an adapter_config.json, .gguf files. */
async function listAdapterPaths(folder: string, depth = 0): Promise<string[]> {
  const items = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const own = items.some((item) => item.name === 'adapter_config.json') ? [folder] : []
  const files = items
    .filter((item) => item.isFile() && item.name.endsWith('.gguf'))
    .map((item) => join(folder, item.name))
  if (depth === deepest) return [...own, ...files]
  const parts = own.length > 0 ? await listParts(folder) : []
  const below = items
    .filter(({ name }) => !skipped.has(name) && !parts.includes(name))
    .filter((item) => item.isDirectory())
    .map((item) => join(folder, item.name))
  return [
    ...own,
    ...files,
    ...(await Promise.all(below.map((path) => listAdapterPaths(path, depth + 1)))).flat(),
  ]
}

async function listSavedAdapters(folder: string): Promise<SavedAdapter[]> {
  const { findAdapter } = await import('../inspect/inspect-sources.ts')
  const { locateAdapter } = await import('../../node/located-adapter.ts')
  const paths = (await listAdapterPaths(folder)).sort()
  const read = async (path: string): Promise<SavedAdapter[]> => {
    try {
      const found = await findAdapter(path)
      if (!found) return [] // a model in GGUF
      const { adapter, files } = await found.format.open(path, undefined)
      const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
      const sizeBytes = sizes.reduce((sum, size) => sum + size, 0)
      const parameters = [...adapter.tensors.values()].reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      )
      const base = adapter.baseModel ?? (await locateAdapter(path)).base ?? null
      return [{ path, kind: adapter.kind, base, parameters, sizeBytes }]
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      const nothing = { kind: '?', base: null, parameters: 0, sizeBytes: 0 }
      return [{ path, ...nothing, problem: error.message }]
    }
  }
  return (await Promise.all(paths.map(read))).flat()
}

type Preset = { readonly name: string; readonly modules: readonly string[] }

function describeCost(cost: Kind['cost']): string[] {
  if (cost === undefined) return []
  if (typeof cost === 'string') return [cost]
  return [
    formatCount(cost.parameters),
    formatBytes(cost.bytes),
    formatParameterCount(cost.flopsPerToken),
  ]
}

function show(
  kinds: readonly Kind[],
  presets: readonly Preset[],
  saved: readonly SavedAdapter[],
  folder: string,
  { print, style }: Terminal,
): void {
  print(style.strong('kinds (--kind)'))
  const hasCosts = kinds.some(({ cost }) => cost !== undefined)
  const head = hasCosts ? [['', '', 'parameters', 'bytes in f32', 'operations a token']] : []
  const lines = kinds.map(({ name, peftType, cost }) => [
    `  ${name}`,
    `PEFT's ${peftType}`,
    ...describeCost(cost),
  ])
  for (const line of formatTable([...head, ...lines], ['left', 'left', 'right', 'right', 'right']))
    print(line)
  print(style.strong('presets (--targets)'))
  for (const line of formatTable(
    presets.map(({ name, modules }) => [`  ${name}`, modules.join(', ')]),
  ))
    print(line)
  print(style.strong(`saved below ${describePath(folder)}`))
  const rows = saved.map(({ path, kind, base, parameters, sizeBytes, problem }) =>
    problem === undefined
      ? [
          `  ${describePath(path)}`,
          kind,
          formatCount(parameters),
          formatBytes(sizeBytes),
          base ?? '',
        ]
      : [`  ${describePath(path)}`, style.bad(problem)],
  )
  for (const line of formatTable(rows)) print(line)
  if (saved.length === 0) print('  none; graft quickstart trains one')
}
