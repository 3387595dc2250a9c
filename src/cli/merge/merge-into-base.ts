// Merges adapters into the weights of a base and reports which element types changed and how far
// next-token predictions moved.

import { OptionError } from '../../base/errors.ts'
import {
  isRequantised,
  type MergedTensor,
  type MergedType,
  type MergeRecipe,
} from '../../merge/index.ts'
import { type LocatedAdapter, locateAdapter } from '../../node/located-adapter.ts'
import { type IntoBaseReport, mergeIntoBase } from '../../node/into-base.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import type { Progress } from '../ui/progress.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface MergeFoldersIntoBaseOptions {
  readonly out: string
  readonly model: string | undefined
  readonly dtype: MergedType | undefined
  readonly prompts: number | undefined
  readonly anyBase: boolean
}

export async function mergeFoldersIntoBase(
  folders: readonly string[],
  recipe: MergeRecipe,
  options: MergeFoldersIntoBaseOptions,
  terminal: Terminal,
) {
  const { out, model, dtype, prompts, anyBase } = options
  const located = await Promise.all(folders.map((folder) => locateAdapter(folder)))
  const base = model ?? resolveBase(located)
  let shown: { readonly stage: string; readonly line: Progress } | undefined
  const report = await mergeIntoBase(folders, {
    base,
    out,
    recipe,
    dtype,
    prompts,
    anyBase,
    onProgress({ stage, done, total, detail }) {
      if (shown?.stage !== stage) {
        shown?.line.end()
        shown = { stage, line: terminal.progress(labels[stage], total) }
      }
      shown.line.update(done, detail)
    },
  })
  shown?.line.end()
  show(report, base, folders.length, terminal)
  if (computeMean(report.changed.map(({ errorOfChange }) => errorOfChange)) > roundingLimit)
    terminal.note(advice)
  // the folder of a model has no place for the system message
  const hasSystem = located.some(({ notes }) => notes?.system !== undefined)
  const dropped = [...(hasSystem ? ['system'] : []), ...(report.lostText ? ['text'] : [])]
  if (report.lostText)
    terminal.print(
      report.format === 'gguf'
        ? '  left out: the adapters’ own tokenizer and chat template; the file keeps those of the base'
        : '  left out: the adapters’ own tokenizers and chat templates, which differ; the base’s are kept',
    )
  if (hasSystem)
    terminal.print(
      '  left out: the system message of expert.json, which the folder of a model cannot hold; pass it as --system',
    )
  const requantised = report.changed.filter(isRequantised)
  return {
    type: 'model',
    base,
    adapters: folders,
    recipe,
    ...report,
    requantised: requantised.map(({ name }) => name),
    dropped,
  }
}

/** From here on, rounding takes away what the adapters bring. */
const roundingLimit = 0.5
const advice =
  'Rounding to these types is about as large as the change itself: keep the adapter separate from the base, or choose --dtype q8_0, f16 or bf16 for what changes.'

const labels = { writing: 'writing', comparing: 'comparing with base and adapters' } as const

/** The base of the adapters, if all name the same one. */
function resolveBase(located: readonly LocatedAdapter[]): string {
  const named = located.map(({ base }) => base)
  const [first, ...others] = new Set(named.filter((base) => base !== undefined))
  if (first !== undefined && others.length === 0) return first
  const found =
    first === undefined
      ? 'no adapter names one'
      : `the adapters say ${[first, ...others].join(' and ')}`
  throw new OptionError(`The base to merge into is not known: ${found}. Name it with --model.`)
}

function show(report: IntoBaseReport, base: string, adapters: number, { print }: Terminal): void {
  const { out, format, tensors, sizeBytes, changed, untied, distance, change } = report
  const whose = `${base} with ${adapters} ${adapters === 1 ? 'adapter' : 'adapters'} in its weights`
  print(`${out}: ${whose}, ${format}, ${formatCount(tensors)} tensors, ${formatBytes(sizeBytes)}`)
  const rows = [...Map.groupBy(changed, ({ from, to }) => `${from} → ${to}`)].map(
    ([types, group]) => describeTypes(types, group),
  )
  const heads = ['  changed', 'types', 'rounding beside weight', 'beside change', 'worst', 'in']
  for (const line of formatTable([heads, ...rows], ['right', 'left', 'right', 'right', 'right']))
    print(line)
  if (untied) print("  the head shared the embedding's weight and now has its own")
  if (!distance || !change) return
  const { prompts, largestGap, equalGreedy } = distance
  print(
    `  beside exactly merged weights, after ${prompts} prompts: mean KL ${distance.meanDivergence.toExponential(2)} nats, largest difference of a logit ` +
      `${largestGap.toExponential(2)}, equal greedy token after ${Math.round(equalGreedy * prompts)}; the base itself: mean KL ${change.meanDivergence.toExponential(2)}`,
  )
}

const computeMean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

function describeTypes(types: string, group: readonly MergedTensor[]): string[] {
  const worst = group.reduce((most, next) =>
    next.errorOfChange > most.errorOfChange ? next : most,
  )
  const shares = [
    computeMean(group.map(({ error }) => error)),
    computeMean(group.map(({ errorOfChange }) => errorOfChange)),
    worst.errorOfChange,
  ]
  return [
    `  ${group.length}`,
    types,
    ...shares.map((share) => share.toExponential(2)),
    worst.errorOfChange > 0 ? worst.name : '',
  ]
}
