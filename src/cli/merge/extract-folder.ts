// Extracts an adapter into a folder and reports what its rank loses and what no adapter of this
// kind can represent.

import type { Adapter } from '../../adapters/adapter.ts'
import type { ExtractOptions } from '../../merge/index.ts'
import { extract } from '../../node/extract.ts'
import { saveExpert } from '../shared/save-expert.ts'
import { summarizeResiduals, showResiduals } from './merge-folders.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface ExtractPaths {
  readonly base: string
  readonly tuned: string
  readonly out: string
  /** As it was typed. */
  readonly command: string
}

export async function extractFolder(
  { base, tuned, out, command }: ExtractPaths,
  options: ExtractOptions,
  terminal: Terminal,
) {
  let progress: ReturnType<Terminal['progress']> | undefined
  const { adapter, modules, others } = await extract(base, tuned, {
    ...options,
    onModule({ module }, done, total) {
      progress ??= terminal.progress('extracting', total)
      progress.update(done, module)
    },
  })
  progress?.end()
  await saveExpert(adapter, { base }, out, { command })
  const sizeBytes = [...adapter.tensors.values()].reduce(
    (sum, { data }) => sum + data.byteLength,
    0,
  )
  const { rank } = adapter.config as Adapter['config'] & { readonly rank: number }
  terminal.print(
    `${out}: from ${base} to ${tuned}, ${formatCount(modules.length)} modules of rank ${rank}, ${formatBytes(sizeBytes)}`,
  )
  showResiduals(modules, terminal)
  if (others.length > 0) {
    const shown = [
      ...others.slice(0, 8),
      ...(others.length > 8 ? [`… and ${others.length - 8} more`] : []),
    ]
    terminal.print(`  not in the adapter, and different: ${shown.join(', ')}`)
  }
  return {
    type: 'adapter',
    base,
    tuned,
    out,
    rank,
    sizeBytes,
    residual: summarizeResiduals(modules),
    modules,
    others,
  }
}
