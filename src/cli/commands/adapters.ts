// graft adapters: which kinds and presets there are, and which experts lie in a folder.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { GraftError } from '../../base/errors.ts'
import { defineCommand } from '../command.ts'
import { shownPath } from '../shown-path.ts'
import { bytes, count } from '../ui/format.ts'
import { table } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export const adapters = defineCommand({
  name: 'adapters',
  summary: 'adapter kinds, target presets, and the experts in a folder',
  usage: '[folder]',
  words: [0, 1],
  options: {},
  examples: [
    { command: 'graft adapters', about: 'kinds and presets, and the experts below this folder' },
    { command: 'graft adapters experts', about: 'the experts below another one' },
    { command: 'graft inspect experts/legal', about: 'everything about one of them' },
  ],
  async run({ words: [folder = '.'], terminal }) {
    const { adapterKinds, presets } = await import('../../adapters/index.ts')
    const [{ openBaseModel, modulesOf }, { resolveModel }] = await Promise.all([
      import('../../graph/index.ts'),
      import('../../node/resolve.ts'),
    ])
    const kinds = [...adapterKinds.values()].map(({ name, peftType, merge }) => ({ name, peftType, merges: merge !== undefined }))
    const sample = await openBaseModel(await resolveModel('stories260k')) // presets name modules of a model; the embedded one has the usual names
    const modules = modulesOf(sample.graph)
    const names = [...presets].map(([name, choose]) => ({
      name,
      modules: [...new Set(choose(modules).map(({ path }) => path.split('.').at(-1)!))],
    }))
    await sample.weights.close()
    const saved = await savedBelow(folder)
    show(kinds, names, saved, folder, terminal)
    return { kinds, presets: names, saved }
  },
})

interface Saved {
  readonly path: string
  readonly kind: string
  readonly base: string | null
  readonly parameters: number
  readonly sizeBytes: number
  readonly problem?: string
}

const deepest = 4 // experts/<name>/checkpoints/best is as deep as they lie
const skipped = new Set(['node_modules', 'dist', '.git'])

/** Folders that hold an adapter_config.json, the folder itself included. */
async function adapterFolders(folder: string, depth = 0): Promise<string[]> {
  const items = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const own = items.some((item) => item.name === 'adapter_config.json') ? [folder] : []
  if (depth === deepest) return own
  const below = items.filter((item) => item.isDirectory() && !skipped.has(item.name)).map((item) => join(folder, item.name))
  return [...own, ...(await Promise.all(below.map((path) => adapterFolders(path, depth + 1)))).flat()]
}

async function savedBelow(folder: string): Promise<Saved[]> {
  const { loadAdapter } = await import('../../node/adapters.ts')
  const paths = (await adapterFolders(folder)).sort()
  return Promise.all(
    paths.map(async (path) => {
      try {
        const { kind, baseModel, tensors } = await loadAdapter(path)
        const sizeBytes = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0)
        const parameters = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
        return { path, kind, base: baseModel ?? null, parameters, sizeBytes }
      } catch (error) {
        if (!GraftError.isInstance(error)) throw error
        return { path, kind: '?', base: null, parameters: 0, sizeBytes: 0, problem: error.message }
      }
    }),
  )
}

type Kind = { readonly name: string; readonly peftType: string; readonly merges: boolean }
type Preset = { readonly name: string; readonly modules: readonly string[] }

function show(
  kinds: readonly Kind[],
  presets: readonly Preset[],
  saved: readonly Saved[],
  folder: string,
  { print, style }: Terminal,
): void {
  print(style.strong('kinds (--kind)'))
  for (const line of table(kinds.map(({ name, peftType }) => [`  ${name}`, `PEFT's ${peftType}`]))) print(line)
  print(style.strong('presets (--targets)'))
  for (const line of table(presets.map(({ name, modules }) => [`  ${name}`, modules.join(', ')]))) print(line)
  print(style.strong(`saved below ${shownPath(folder)}`))
  const rows = saved.map(({ path, kind, base, parameters, sizeBytes, problem }) =>
    problem === undefined
      ? [`  ${shownPath(path)}`, kind, count(parameters), bytes(sizeBytes), base ?? '']
      : [`  ${shownPath(path)}`, style.bad(problem)],
  )
  for (const line of table(rows)) print(line)
  if (saved.length === 0) print('  none; graft quickstart makes one')
}
