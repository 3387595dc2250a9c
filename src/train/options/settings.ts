// The settings of a run with all defaults filled in, and the problems of their combination.

import { toKindName } from '../../adapters/kinds/kind-table.ts'
import { OptionError } from '../../base/errors.ts'
import { type Fields, joinProblems, type OptionValues } from '../../base/schema.ts'
import { getGroupSize } from '../losses/loss.ts'
import { losses } from '../losses/loss-table.ts'
import { schedules } from '../schedules/schedule-table.ts'
import { getDefaultLearningRate } from './default-rates.ts'
import { defaultAdapter, findTrainOptionProblems, type TrainOptions } from './options.ts'
import { batchTable, trainSettingTable } from './setting-table.ts'

type Given = Readonly<Record<string, unknown>>
type Computed = 'batch' | 'maxTokens' | 'learningRate' | 'warmupShare'

/** See trainSettingTable for what each setting means. */
export interface TrainSettings extends Omit<OptionValues<typeof trainSettingTable>, Computed> {
  readonly batch: OptionValues<typeof batchTable>
  /** Longer rows are cut; at most batch.tokens. */
  readonly maxTokens: number
  /** The peak learning rate; default-rates.ts has the defaults. */
  readonly learningRate: number
  /** Share of the steps over which the learning rate rises; the default is the schedule's own. */
  readonly warmupShare: number
}

const defaultWarmupShare = 0.05

/** The values of a table's rows, each as it was given or else its default; nothing is checked. */
export const fillDefaults = <const Of extends Fields>(given: object, fields: Of) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, (given as Given)[name] ?? field.default]),
  ) as OptionValues<Of>

/** Most tokens of a row: half of a packed sequence if both rows of a pair share one. */
const computeDefaultMaxTokens = ({
  batch,
  packing,
  loss,
}: Pick<TrainSettings, 'batch' | 'packing' | 'loss'>): number =>
  packing && getGroupSize(losses.get(loss) ?? { learnsFrom: 'rows' }) === 2
    ? Math.floor(batch.tokens / 2)
    : batch.tokens

function withDefaults(options: TrainOptions, maxPositions: number): TrainSettings {
  const known = fillDefaults(options, trainSettingTable)
  const batch = fillDefaults(options.batch ?? {}, batchTable)
  const { kind } = options.adapter ?? defaultAdapter
  const usualRate = getDefaultLearningRate(kind, known.optimizer)
  return {
    ...known,
    batch,
    maxTokens:
      known.maxTokens ?? Math.min(computeDefaultMaxTokens({ ...known, batch }), maxPositions),
    learningRate: known.learningRate ?? usualRate * (losses.get(known.loss)?.rateFactor ?? 1),
    warmupShare:
      known.warmupShare ?? schedules.get(known.schedule)?.riseShare ?? defaultWarmupShare,
  }
}

export function findShardProblems({
  shards,
  accumulation,
}: Pick<TrainSettings, 'shards' | 'accumulation'>): string[] {
  if (!Number.isInteger(Math.log2(shards)))
    return [`shards: got ${shards}, expected a power of two`]
  return shards > accumulation
    ? [
        `shards (${shards}) must not exceed accumulation (${accumulation}): a step needs a batch for each shard`,
      ]
    : []
}

function findCombinationProblems(
  settings: TrainSettings,
  { adapter = defaultAdapter, validation }: TrainOptions,
  maxPositions: number,
): string[] {
  const { batch, maxTokens, patience, onDivergence } = settings
  const problems = findShardProblems(settings)
  if (maxTokens > batch.tokens)
    problems.push(`maxTokens (${maxTokens}) must not exceed batch.tokens (${batch.tokens})`)
  if (maxTokens > maxPositions)
    problems.push(
      `maxTokens (${maxTokens}) must not exceed the model's context of ${maxPositions} tokens`,
    )
  if (onDivergence === 'lora' && adapter.kind !== 'dora')
    problems.push(
      `onDivergence "lora" is for an adapter of kind dora, and this one is of kind ${toKindName(adapter.kind)}; leave it out`,
    )
  if (patience !== undefined && validation === undefined)
    problems.push('patience needs validation data, and there is none')
  return problems
}

/** The complete settings, and everything that is wrong with the options. */
export function readSettings(
  options: TrainOptions,
  maxPositions: number,
): { readonly settings: TrainSettings; readonly problems: readonly string[] } {
  const settings = withDefaults(options, maxPositions)
  return {
    settings,
    problems: [
      ...findTrainOptionProblems(options),
      ...findCombinationProblems(settings, options, maxPositions),
    ],
  }
}

/** One error that lists every problem; nothing if there is none. */
export function reportProblems(what: string, problems: readonly string[]): void {
  if (problems.length === 0) return
  throw new OptionError(`${what}: ${joinProblems(problems)}`)
}

/** Steps of warm-up in a run of `steps`. */
export const computeWarmupSteps = (
  {
    warmupSteps,
    warmupShare,
  }: { readonly warmupSteps?: number | undefined; readonly warmupShare: number },
  steps: number,
): number => warmupSteps ?? Math.ceil(warmupShare * steps)
