// Compresses an expert into a folder: the best factors of a lower rank, the loss on rows if there
// are any, recovery fine-tuning if it is asked for.

import { findTaughtDate, getExpertText } from '../../adapters/files/expert-text.ts'
import type { Adapter } from '../../adapters/index.ts'
import { compareExperts, type ExpertDistance } from '../../eval/index.ts'
import { compress, type MergeBase, type ModuleReport } from '../../merge/index.ts'
import { locateAdapter } from '../../node/located-adapter.ts'
import { readDataFile } from '../../node/data.ts'
import type { LoadedModel } from '../../node/index.ts'
import { readMergeBase } from '../../merge/read-base.ts'
import { encodeData, type EncodedData } from '../../train/data/encode.ts'
import { train } from '../../train/run/train.ts'
import { OptionError } from '../../base/errors.ts'
import { summarizeResiduals, showResiduals } from './merge-folders.ts'
import { readGivenDate } from '../shared/date.ts'
import { openExpert } from '../shared/open-model.ts'
import { saveExpert } from '../shared/save-expert.ts'
import { showTraining } from '../train/training-view.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface CompressFolderOptions {
  readonly rank: number | undefined
  readonly energy: number | undefined
  readonly data: string | undefined
  /** Steps. */
  readonly heal: number | undefined
  readonly out: string
  readonly learningRate: number
  readonly maxTokens: number
  readonly seed: number
  /** As it was typed. */
  readonly command: string
  readonly model: Omit<Parameters<typeof openExpert>[0], 'adapter'>
}

interface CompressContext {
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

const countBytes = ({ tensors }: Adapter): number =>
  [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0)

function encodeExamples(
  { base }: LoadedModel,
  adapter: Adapter,
  data: Awaited<ReturnType<typeof readDataFile>>,
  { maxTokens, model }: Pick<CompressFolderOptions, 'maxTokens' | 'model'>,
  system?: string,
): EncodedData {
  const { tokenizer, chatTemplate } = getExpertText(base, adapter)
  if (!tokenizer)
    throw new OptionError(`Model "${base.name}" has no tokenizer, so it cannot read rows of text.`)
  return encodeData(data, {
    tokenizer,
    maxTokens,
    now: readGivenDate(model.date) ?? findTaughtDate(adapter) ?? new Date(),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(system !== undefined && { system }),
  })
}

export async function compressFolder(
  folder: string,
  choice: CompressFolderOptions,
  { terminal, signal }: CompressContext,
) {
  const rows = choice.data === undefined ? undefined : await readDataFile(choice.data)
  const { adapter: early, notes } = await locateAdapter(folder)
  // The base is opened only for kinds that need it: LoRA's factors alone are enough.
  const opened =
    rows || early?.kind !== 'lora'
      ? await openExpert({ ...choice.model, adapter: folder }, terminal)
      : undefined
  try {
    const adapter = opened?.adapter ?? early!
    const encoded =
      opened && rows && encodeExamples(opened.model, adapter, rows, choice, notes?.system)
    const base = opened && (await readMergeBase(opened.model.base, [adapter]))
    const { small, modules, residual } = compressWithProgress(adapter, choice, base, terminal)
    const compare = async (after: Adapter): Promise<ExpertDistance | undefined> =>
      opened &&
      encoded &&
      compareWithProgress(opened.model, encoded, { before: adapter, after }, { terminal, signal })
    const cut = await compare(small)
    const healed =
      opened && encoded && choice.heal !== undefined
        ? await runRecovery(opened.model, encoded, { adapter, small }, choice, { terminal, signal })
        : undefined
    const healedDistance = healed && (await compare(healed))
    const result = healed ?? small
    await saveExpert(result, notes, choice.out, {
      command: choice.command,
      seed: healed && choice.seed,
      sources: [folder],
    })
    const sizeBytes = { before: countBytes(adapter), after: countBytes(result) }
    terminal.print(
      `${choice.out}: ${formatCount(modules.length)} modules, ${formatBytes(sizeBytes.before)} → ${formatBytes(sizeBytes.after)}, ${residual.toExponential(2)} of ΔW lost`,
    )
    showResiduals(modules, terminal)
    showDistances(cut, healedDistance, terminal)
    return {
      type: 'adapter',
      out: choice.out,
      adapter: folder,
      sizeBytes,
      residual: { ...summarizeResiduals(modules), whole: residual },
      modules,
      compressed: cut ?? null,
      healed: healedDistance ?? null,
    }
  } finally {
    await opened?.model.dispose()
  }
}

function compressWithProgress(
  adapter: Adapter,
  { rank, energy, model }: CompressFolderOptions,
  base: MergeBase | undefined,
  terminal: Terminal,
) {
  let progress: ReturnType<Terminal['progress']> | undefined
  const onModule = ({ module }: ModuleReport, done: number, total: number): void => {
    progress ??= terminal.progress('compressing', total)
    progress.update(done, module)
  }
  const {
    adapter: small,
    modules,
    residual,
  } = compress(adapter, {
    rank,
    energy,
    onModule,
    anyBase: model['any-base'],
    ...(base && { base }),
  })
  progress?.end()
  return { small, modules, residual }
}

/** Of preferences the chosen answers are compared. */
async function compareWithProgress(
  model: LoadedModel,
  { rows, pairs }: EncodedData,
  experts: { readonly before: Adapter; readonly after: Adapter },
  { terminal, signal }: CompressContext,
): Promise<ExpertDistance> {
  const compared = pairs ? rows.filter((_, i) => i % 2 === 0) : rows
  const progress = terminal.progress('measuring', compared.length)
  const distance = await compareExperts(model, compared, {
    ...experts,
    signal,
    onRow: (done) => progress.update(done),
  })
  progress.end()
  return distance
}

/** The small expert learns to predict what the large one does. */
async function runRecovery(
  model: LoadedModel,
  { pairs: _pairs, ...data }: EncodedData,
  { adapter, small }: { readonly adapter: Adapter; readonly small: Adapter },
  { heal: steps, learningRate, seed, maxTokens, model: choice }: CompressFolderOptions,
  { terminal, signal }: CompressContext,
): Promise<Adapter> {
  const batch = { rows: 4, tokens: Math.max(256, maxTokens) }
  const loss = { loss: 'distillation', teacher: { adapter } }
  const end = await showTraining(
    train({
      model,
      adapter: small,
      data,
      ...loss,
      steps: steps!,
      learningRate,
      seed,
      batch,
      signal,
      anyBase: choice['any-base'],
    }),
    terminal,
  )
  signal.throwIfAborted()
  return end.adapter
}

/** Loss and divergence in nats per token, as cut and as healed. */
function showDistances(
  cut: ExpertDistance | undefined,
  healed: ExpertDistance | undefined,
  { print }: Terminal,
): void {
  if (!cut) return
  const line = (name: string, { lossAfter, divergence }: ExpertDistance): string[] => [
    name,
    lossAfter.toFixed(4),
    divergence.toExponential(2),
  ]
  const heads = ['  on the rows', 'loss', 'KL from before']
  const rows = [
    ['  before', cut.lossBefore.toFixed(4), ''],
    line('  compressed', cut),
    ...(healed ? [line('  healed', healed)] : []),
  ]
  for (const text of formatTable([heads, ...rows], ['left', 'right', 'right'])) print(text)
}
