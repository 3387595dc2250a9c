// Merges adapters into one. Checks everything first, then merges module by module, so that one
// module at a time is in memory.

import type { Adapter, AdapterMetadata } from '../adapters/adapter.ts'
import { encodeAdapterTensors } from '../adapters/files/storage.ts'
import { toPeftKey } from '../adapters/keys.ts'
import type { LoraConfig } from '../adapters/kinds/lora-config.ts'
import { resolveRankAndScale } from '../adapters/kinds/lora.ts'
import { resolvePreset } from '../adapters/presets.ts'
import { selectTargetModules } from '../adapters/targets.ts'
import { OptionError, UnsupportedError } from '../base/errors.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { createDelta } from './delta.ts'
import { createWorkspace } from './elementwise.ts'
import { findCommonText, mergeMetadata } from './merged-metadata.ts'
import { createMergedAdapter, type ModuleFactors } from './merged-adapter.ts'
import type { FactorMethod, MergeMethod, MergeRecipe, CompleteRecipe } from './method.ts'
import {
  mergeByEntries,
  mergeFactors,
  mergeSum,
  type MergedFactors,
  type ScaledFactors,
} from './module-merge.ts'
import type { mergedDtypes } from './merge-options.ts'
import { listAdapters, type MergeSources } from './named-adapters.ts'
import { getMergeMethod, completeRecipe } from './recipe.ts'
import { mergeSaved } from './saved/merge-saved.ts'
import { listSavedParts } from './saved/saved-parts.ts'
import { collectSourceModules, type MergeBase, type SourceModule } from './sources.ts'

export interface ModuleReport {
  /** The module's path. */
  readonly module: string
  readonly rank: number
  /** ‖ΔW − B·A‖_F / ‖ΔW‖_F: what cutting to this rank lost. */
  readonly residual: number
}

export interface MergeOptions extends MergeRecipe {
  /** The result's name, in its metadata. Default: the names of the sources, joined by " + ". */
  readonly name?: string
  /** The result's tags, in its metadata. Default: those of all sources. */
  readonly tags?: readonly string[]
  /** Element type of the result's tensors. Default 'f32'. */
  readonly dtype?: (typeof mergedDtypes)[number]
  /** Modules to merge: a preset, ends of names, or a regular expression. Default: all. */
  readonly targets?: readonly string[] | string
  /**
   * The base, for kinds whose change depends on it; with it, the adapters are checked against it
   * too.
   */
  readonly base?: MergeBase
  /**
   * Also adapters that name different bases, or learned on different forms of one: tensors must fit
   * all the same.
   */
  readonly anyBase?: boolean
  /** Called after each module, in order, with how many there are. */
  readonly onModule?: (report: ModuleReport, done: number, count: number) => void
}

/**
 * One LoRA adapter from several adapters of one base, by a method of `mergeMethods`; a pure
 * function of its arguments. `merge({ coder, reviewer }, { method: 'ties', weights: { coder: 0.7,
 * reviewer: 0.3 } })`, or lists of both. Scales are multiplied into B, ranks and targets may
 * differ, ΔW = 0 for a module that an adapter does not change. Throws OptionError for unknown or
 * wrong options, MismatchError for adapters that do not fit one base, NumericError for NaN or
 * infinity, UnsupportedError for kinds without a weight. Modules that were saved whole are kept if
 * they are equal in all adapters, else summed. Formulas and costs: docs/merge.md,
 * docs/merge-results.md.
 */
export function merge(given: MergeSources, options: MergeOptions = {}): Adapter {
  const { adapters, names } = listAdapters(given)
  const method = getMergeMethod(options.method)
  const recipe = completeRecipe(options, method, names)
  if (method.space === 'factors') checkPlainLora(adapters, method)
  const { base, anyBase, onModule, targets } = options
  const sources = collectSourceModules(adapters, base, anyBase)
  const isWanted = createSelection(sources, adapters, targets)
  const modules = sources.filter(({ module }) => isWanted(module.path))
  const saved = mergeSaved(adapters, {
    method: method.name,
    coefficients: computeUniformWeights(method, recipe),
    base,
    touched: modules.map(({ module: { path }, touched }) => ({ path, touched })),
    isWanted,
  })
  const work = createWorkspace()
  const merged = modules.map((source, i): ModuleFactors => {
    const pair = mergeModule(method, adapters, source, recipe, i, work)
    onModule?.(
      { module: source.module.path, rank: pair.b.columns, residual: pair.residual },
      i + 1,
      modules.length,
    )
    return { module: source.module, pair }
  })
  const adapter = createMergedAdapter(adapters, merged, saved, targets !== undefined)
  const text = findCommonText(adapters)
  const whole = text ? { ...adapter, text } : adapter
  return describeResult(whole, mergeMetadata(adapters), options)
}

/** The coefficients of a sum that are the same in every module. */
const computeUniformWeights = (
  method: MergeMethod,
  recipe: CompleteRecipe,
): readonly number[] | undefined =>
  method.space === 'sum' && method.uniform
    ? method.coefficients({ weights: recipe.weights, recipe, inner: () => 0 })
    : undefined

/**
 * Whether the targets name a module that an adapter changes or stores whole. Throws OptionError for
 * targets that none of the adapters has.
 */
function createSelection(
  sources: readonly SourceModule[],
  adapters: readonly Adapter[],
  targets: MergeOptions['targets'],
): (path: string) => boolean {
  if (targets === undefined) return () => true
  const own = sources.map(({ module }) => module)
  const saved = adapters.flatMap(listSavedParts).map(({ path }): ModuleInfo => ({
    path,
    kind: path.endsWith('embed_tokens') ? 'embedding' : 'linear',
    inFeatures: 0,
    outFeatures: 0,
    bias: false,
  }))
  const modules = [...own, ...saved]
  const choice = { targets: resolvePreset(targets, own), exclude: [], layersPattern: [] }
  const hit = new Set(selectTargetModules(choice, modules).map(({ path }) => path))
  return (path) => hit.has(path)
}

/** The adapter with its sources' metadata, and the name, tags and type that were asked for. */
function describeResult(
  adapter: Adapter,
  kept: AdapterMetadata | undefined,
  { name, tags = [], dtype = 'f32' }: MergeOptions,
): Adapter {
  const metadata = {
    ...kept,
    ...(name !== undefined && { name }),
    ...(tags.length > 0 && { tags: tags.join(' ') }),
  }
  return {
    ...adapter,
    ...(dtype !== 'f32' && { tensors: encodeAdapterTensors(adapter, dtype).tensors }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  }
}

function mergeModule(
  method: MergeMethod,
  adapters: readonly Adapter[],
  { module, touched, base }: SourceModule,
  recipe: CompleteRecipe,
  index: number,
  work: ReturnType<typeof createWorkspace>,
): MergedFactors {
  if (method.space === 'factors') {
    const own = adapters.map((adapter, k) =>
      touched[k] ? readFactors(adapter, module) : undefined,
    )
    return mergeFactors(method, module, own, recipe, recipe.seed + 2 * index)
  }
  const deltas = adapters.map((adapter, k) =>
    touched[k] ? createDelta(adapter, module, base) : undefined,
  )
  const input = { module, deltas, recipe, work }
  if (method.space === 'sum') return mergeSum(method, input)
  const thin = deltas.some((delta) => delta?.factors)
  if (!thin && recipe.rank === undefined && recipe.energy === undefined)
    throw new OptionError(
      `Merge by ${method.name}: ${module.path} changes by matrices of full rank; give the rank or the energy to keep.`,
    )
  return mergeByEntries(method, input)
}

/** PEFT's fast methods are defined for LoRA alone. */
function checkPlainLora(adapters: readonly Adapter[], { name }: FactorMethod): void {
  const problems = adapters.flatMap(({ kind, config }, k) => {
    if (kind !== 'lora') return [`adapters[${k}] is a ${kind} adapter`]
    const { bias, loraBias } = config as LoraConfig
    return bias !== 'none' || loraBias ? [`adapters[${k}] has trained biases`] : []
  })
  if (problems.length > 0)
    throw new UnsupportedError(
      `${name} merges A and B of plain LoRA adapters: ${problems.join(', ')}.`,
    )
}

function readFactors({ config, tensors }: Adapter, module: ModuleInfo): ScaledFactors {
  const { rank, scale } = resolveRankAndScale(config as LoraConfig, module)
  const [a, b] =
    module.kind === 'embedding'
      ? ['lora_embedding_A', 'lora_embedding_B']
      : ['lora_A.weight', 'lora_B.weight']
  const values = (name: string): Float32Array =>
    toFloat32(tensors.get(toPeftKey(`${module.path}.${name}`))!)
  return { a: values(a), b: values(b), rank, scale }
}
