// From a recipe to a measured expert: measures the base, trains the expert, packs it and measures
// it as it will be used, and on request trains a LoRA of rank 16 to compare with.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { jointMark } from '../../adapters/kinds/joint/joint-rules.ts'
import { manifestFile } from '../../registry/manifest/expert-manifest.ts'
import type { TrainEvent } from '../../train/events.ts'
import { getTierRecipe } from '../../train/options/adapter-tiers.ts'
import type { FreshAdapter } from '../../train/options/options.ts'
import { loadAdapter } from '../adapters.ts'
import type { LoadedModel } from '../model.ts'
import { train } from '../train.ts'
import { getRecipeMetric, measureExpert } from './measure.ts'
import { loraComparison, recipeBatch, type ExpertRecipe } from './recipe.ts'
import { getReleaseFolder, packRelease, writeRelease } from './release-expert.ts'
import {
  computeFingerprint,
  readResult,
  type Variant,
  type VariantResult,
  writeResult,
} from './results.ts'
import { type DataSlice, openSlice } from './slice.ts'

export interface BuildOptions {
  readonly model: LoadedModel
  /** Where experts, results and training runs go. */
  readonly out: string
  /** The folder of slices. Default: those of the checkout. */
  readonly data?: string | undefined
  readonly seed?: number | undefined
  /** Fewer than the recipe's, to try one. */
  readonly steps?: number | undefined
  /** Held-out rows. Default: all. */
  readonly rows?: number | undefined
  /** Also a LoRA of rank 16, trained and measured on the same rows. */
  readonly lora?: boolean | undefined
  readonly command?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly now: () => number
  readonly onTrain?: ((variant: Variant, event: TrainEvent) => void) | undefined
  readonly onMeasure?: ((variant: Variant, done: number, rows: number) => void) | undefined
  /** Called with each result; `isNew`: false if an earlier build had it. */
  readonly onResult?: ((result: VariantResult, isNew: boolean) => void) | undefined
}

interface Build {
  readonly recipe: ExpertRecipe
  readonly slice: DataSlice
  readonly options: BuildOptions
  readonly seed: number
  readonly steps: number
  readonly fingerprint: string
}

/**
 * Builds one expert in `out`; continues an earlier build of the same recipe, data and seed. Throws
 * NotFoundError and DataError for data that is missing or has no licence, before anything is
 * computed.
 */
export async function buildExpert(
  recipe: ExpertRecipe,
  options: BuildOptions,
): Promise<VariantResult[]> {
  const whole = await openSlice(recipe, options.data)
  const { seed = 0, steps = recipe.steps, rows, model } = options
  const held = { name: whole.held.name, rows: whole.held.rows.slice(0, rows) }
  const slice = Object.assign({}, whole, { held })
  const settings = { base: model.source, seed, steps }
  const fingerprint = await computeFingerprint(recipe, slice, settings)
  const build = { recipe, slice, options, seed, steps, fingerprint }
  const results: VariantResult[] = []
  for (const variant of ['base', 'expert', ...(options.lora ? ['lora' as const] : [])] as const) {
    const known = await readResult(options.out, recipe.name, variant, fingerprint)
    const result = known ?? (await buildVariant(build, variant))
    options.onResult?.(result, known === undefined)
    results.push(result)
  }
  return results
}

async function buildVariant(build: Build, variant: Variant): Promise<VariantResult> {
  const { recipe, slice, options, seed, steps, fingerprint } = build
  const { model, out, signal, now } = options
  const start = now()
  const runFolder = join(out, 'runs', `${recipe.name}-${variant}-${fingerprint.slice(0, 12)}`)
  const trained = variant === 'base' ? undefined : await trainVariant(build, variant, runFolder)
  const trainSeconds = trained === undefined ? 0 : (now() - start) / 1000
  const folder = getReleaseFolder(out, recipe.name)
  const adapter =
    trained && variant === 'expert' ? await packRelease(recipe, trained, folder, model) : trained
  const { rows } = slice.held
  const measured = await measureExpert(recipe, {
    model,
    held: slice.held,
    labels: slice.labels,
    adapter,
    signal,
    onProgress: (done) => options.onMeasure?.(variant, done, rows.length),
  })
  if (variant === 'expert') await writeRelease(recipe, runFolder, folder, measured)
  const { better } = getRecipeMetric(recipe)
  const result = Object.assign({}, measured, {
    name: recipe.name,
    variant,
    kind: adapter?.kind ?? 'base',
    metric: recipe.metric,
    better,
    seed,
    steps,
    trainSeconds,
    fingerprint,
  })
  await writeResult(out, result)
  return result
}

/**
 * Trains, resumes a stopped run, or reads the result of a finished run, whose folder has an
 * adapter.
 */
async function trainVariant(
  { recipe, slice, options, seed, steps }: Build,
  variant: Variant,
  out: string,
): Promise<Adapter> {
  const isBegun = await isThere(join(out, manifestFile))
  if (isBegun && (await isThere(join(out, 'adapter_config.json'))))
    return loadAdapter(out, { model: options.model })
  const { name, description, system, dataLicense } = recipe
  const { model, signal, command, now } = options
  const run = train({
    model,
    data: slice.trainFile,
    adapter: createFreshAdapter(recipe, variant),
    system,
    steps,
    seed,
    batch: recipeBatch,
    out,
    resume: isBegun,
    metadata: { name, description },
    dataLicense,
    command,
    now,
    ...(signal && { signal }),
  })
  for await (const event of run) {
    options.onTrain?.(variant, event)
    if (event.type !== 'train-end') continue
    if (event.reason === 'stopped') signal?.throwIfAborted()
    return event.best.adapter
  }
  throw new Error(`${recipe.name}: training ended without a result.`)
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

function createFreshAdapter({ tier }: ExpertRecipe, variant: Variant): FreshAdapter {
  if (variant === 'lora') return loraComparison
  const { kind, config } = getTierRecipe(tier)
  return { kind: kind.includes(jointMark) ? kind.split(jointMark) : kind, config }
}
