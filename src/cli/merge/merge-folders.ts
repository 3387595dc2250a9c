// Merges adapter folders into one and reports what cutting to a rank loses. Everything is checked
// before a byte is written.

import { readAdapterText } from '../../adapters/files/adapter-text.ts'
import type { Adapter } from '../../adapters/index.ts'
import type { MergeRecipe, ModuleReport } from '../../merge/index.ts'
import { findAdapterSource } from '../../node/adapter-source.ts'
import { mergeExpertMetadata, readExpertMetadata } from '../../node/expert/expert-notes.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { merge } from '../../node/merge.ts'
import { saveExpert } from '../shared/save-expert.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface MergeFolderOptions {
  readonly out: string
  readonly model: string | undefined
  readonly anyBase: boolean
  /** As it was typed. */
  readonly command: string
}

export interface ResidualSummary {
  readonly mean: number
  readonly worst: { readonly module: string; readonly residual: number } | null
}

export async function mergeFolders(
  folders: readonly string[],
  recipe: MergeRecipe,
  { out, model, anyBase, command }: MergeFolderOptions,
  terminal: Terminal,
) {
  const { adapter, modules } = await mergeWithProgress(
    folders,
    recipe,
    { model, anyBase },
    terminal,
  )
  const { notes, dropped: differing } = await mergeNotes(folders)
  await saveExpert(adapter, notes, out, { command, seed: recipe.seed, sources: folders })
  const dropped = [
    ...differing,
    ...((await hasLostText(folders, adapter)) ? (['text'] as const) : []),
  ]
  const sizeBytes = [...adapter.tensors.values()].reduce(
    (sum, { data }) => sum + data.byteLength,
    0,
  )
  const { rank } = adapter.config as Adapter['config'] & { readonly rank?: number }
  const result = {
    type: 'adapter',
    out,
    adapters: folders,
    recipe,
    rank: rank ?? null,
    sizeBytes,
    residual: summarizeResiduals(modules),
    modules,
    /**
     * What differs among the sources, so that the result has none: entries of expert.json, texts.
     */
    dropped,
  }
  terminal.print(
    `${out}: ${recipe.method} of ${folders.length}, ${rank === undefined ? 'rows of tokens' : `${formatCount(modules.length)} modules of rank ${rank}`}, ${formatBytes(sizeBytes)}`,
  )
  if (modules.length > 0) showResiduals(modules, terminal)
  if (dropped.length > 0)
    terminal.print(
      `  left out, because the adapters differ: ${dropped.map((name) => noteNames[name]).join(' and ')}`,
    )
  return result
}

/** Whether an adapter had its own tokenizer or chat template that the result does not have. */
async function hasLostText(folders: readonly string[], { text }: Adapter): Promise<boolean> {
  if (text !== undefined) return false
  for (const folder of folders) {
    const { format, path } = await findAdapterSource(folder)
    if (format !== 'gguf' && (await readAdapterText(await openDirectory(path)))) return true
  }
  return false
}

/** A merge with a progress line, and its report of every module. */
async function mergeWithProgress(
  folders: readonly string[],
  recipe: MergeRecipe,
  { model, anyBase }: Omit<MergeFolderOptions, 'out' | 'command'>,
  terminal: Terminal,
): Promise<{ adapter: Adapter; modules: ModuleReport[] }> {
  const modules: ModuleReport[] = []
  let progress: ReturnType<Terminal['progress']> | undefined
  const adapter = await merge(folders, {
    ...recipe,
    ...(model !== undefined && { base: model }),
    anyBase,
    onModule(report, done, total) {
      modules.push(report)
      progress ??= terminal.progress('merging', total)
      progress.update(done, report.module)
    },
  })
  progress?.end()
  return { adapter, modules }
}

/**
 * Base and system message stay with the result where all of its sources have the same; `dropped`
 * names those that differ.
 */
const mergeNotes = async (folders: readonly string[]) =>
  mergeExpertMetadata(
    await Promise.all(
      folders.map(async (folder) => readExpertMetadata((await findAdapterSource(folder)).path)),
    ),
  )

const noteNames: Readonly<Record<string, string>> = {
  base: 'the name of the base',
  system: 'the system message',
  date: 'the date of the training',
  text: 'tokenizer and chat template',
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

/**
 * One line for each kind of module, over all layers: the share of ΔW that truncation to the rank
 * lost.
 */
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
