// Merges adapter folders into one and reports what cutting to a rank loses. Everything is checked
// before a byte is written.

import type { Adapter } from '../../adapters/index.ts'
import { openBaseModel } from '../../graph/base-model.ts'
import {
  merge,
  type MergeBase,
  type MergeOptions,
  type MergeRecipe,
  type ModuleReport,
} from '../../merge/index.ts'
import { loadAdapter, saveAdapter } from '../../node/adapters.ts'
import {
  mergeExpertMetadata,
  readExpertMetadata,
  writeExpertMetadata,
} from '../../node/graft-json.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { readMergeBase } from '../../node/merge.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface MergeFolderOptions {
  readonly out: string
  readonly model: string | undefined
  readonly anyBase: boolean
}

export interface ResidualSummary {
  readonly mean: number
  readonly worst: { readonly module: string; readonly residual: number } | null
}

export async function mergeFolders(
  folders: readonly string[],
  recipe: MergeRecipe,
  { out, model, anyBase }: MergeFolderOptions,
  terminal: Terminal,
) {
  const adapters = await Promise.all(folders.map((folder) => loadAdapter(folder)))
  const base = model === undefined ? undefined : await loadMergeBase(model, adapters)
  const { adapter, modules } = mergeWithProgress(
    adapters,
    recipe,
    { ...(base && { base }), anyBase },
    terminal,
  )
  await saveAdapter(adapter, out)
  const dropped = await copyNotes(folders, out)
  const sizeBytes = [...adapter.tensors.values()].reduce(
    (sum, { data }) => sum + data.byteLength,
    0,
  )
  const { rank } = adapter.config as Adapter['config'] & { readonly rank: number }
  const result = {
    type: 'adapter',
    out,
    adapters: folders,
    recipe,
    rank,
    sizeBytes,
    residual: summarizeResiduals(modules),
    modules,
    /** Entries of graft.json that differ among the sources, so that the result has none. */
    dropped,
  }
  terminal.print(
    `${out}: ${recipe.method} of ${folders.length}, ${formatCount(modules.length)} modules of rank ${rank}, ${formatBytes(sizeBytes)}`,
  )
  showResiduals(modules, terminal)
  if (dropped.length > 0)
    terminal.print(
      `  left out, because the adapters differ: ${dropped.map((name) => noteNames[name]).join(' and ')}`,
    )
  return result
}

/** A merge with a progress line, and its report of every module. */
export function mergeWithProgress(
  adapters: readonly Adapter[],
  recipe: MergeRecipe,
  options: Pick<MergeOptions, 'base' | 'anyBase'>,
  terminal: Terminal,
): { adapter: Adapter; modules: ModuleReport[] } {
  const modules: ModuleReport[] = []
  let progress: ReturnType<Terminal['progress']> | undefined
  const adapter = merge(adapters, {
    ...recipe,
    ...options,
    onModule(report, done, total) {
      modules.push(report)
      progress ??= terminal.progress('merging', total)
      progress.update(done, report.module)
    },
  })
  progress?.end()
  return { adapter, modules }
}

async function loadMergeBase(source: string, adapters: readonly Adapter[]): Promise<MergeBase> {
  const base = await openBaseModel(await resolveModel(source))
  try {
    return await readMergeBase(base, adapters)
  } finally {
    await base.weights.close()
  }
}

/**
 * Base and system message stay with the result where all of its sources have the same. Returns the
 * names of those that differ.
 */
async function copyNotes(folders: readonly string[], out: string): Promise<readonly string[]> {
  const all = await Promise.all(folders.map((folder) => readExpertMetadata(folder)))
  const { notes, dropped } = mergeExpertMetadata(all)
  if (notes) await writeExpertMetadata(notes, createFileSink(out))
  return dropped
}

const noteNames: Readonly<Record<string, string>> = {
  base: 'the name of the base',
  system: 'the system message',
}

export function summarizeResiduals(modules: readonly ModuleReport[]): ResidualSummary {
  const worst = modules.reduce<ModuleReport | undefined>(
    (most, next) => (most && most.residual >= next.residual ? most : next),
    undefined,
  )
  const mean =
    modules.reduce((sum, { residual }) => sum + residual, 0) / Math.max(1, modules.length)
  return { mean, worst: worst ? { module: worst.module, residual: worst.residual } : null }
}

/** One line for each kind of module, over all layers: what cutting to a rank has lost of ΔW. */
export function showResiduals(modules: readonly ModuleReport[], { print }: Terminal): void {
  const groups = new Map<string, ModuleReport[]>()
  for (const report of modules) {
    const name = report.module.replace(/^.*\.layers\.\d+\./, '')
    groups.set(name, [...(groups.get(name) ?? []), report])
  }
  const share = (value: number): string => value.toExponential(2)
  const line = (name: string, reports: readonly ModuleReport[]): string[] => {
    const { mean, worst } = summarizeResiduals(reports)
    return [
      `  ${name}`,
      String(Math.max(...reports.map(({ rank }) => rank))),
      share(mean),
      share(worst?.residual ?? 0),
      worst?.module ?? '',
    ]
  }
  const rows = [...groups].map(([name, reports]) => line(name, reports))
  const heads = ['  module', 'rank', 'residual', 'worst', 'in']
  for (const text of formatTable(
    [heads, ...rows, line('all', modules)],
    ['left', 'right', 'right', 'right'],
  ))
    print(text)
}
