// Extraction, the reverse of merging into a base: the LoRA adapter between two models of one form.
// One module at a time is in memory.

import { type Mismatch, MismatchError, OptionError, UnsupportedError } from '../base/errors.ts'
import { checkOptions } from '../base/schema.ts'
import { truncateDense } from '../base/linalg/low-rank.ts'
import { createMatrix } from '../base/linalg/matrix.ts'
import { getFastKernels } from '../base/linalg/simd.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { resolvePreset } from '../adapters/presets.ts'
import { listAdaptableModules, listBlockLayers } from '../adapters/adapted-layers.ts'
import { listModuleNames, selectTargetModules } from '../adapters/targets.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { describeShape } from '../graph/ir.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import { type ModelGraph, type ModuleInfo, collectWeightShapes } from '../graph/model-graph.ts'
import { toFiniteFloat32 } from '../graph/read-weights.ts'
import { mergeContext, methodOptions, resultOptions } from './merge-options.ts'
import type { ModuleReport } from './merge.ts'
import { createLoraFromFactors, type ModuleFactors } from './merged-adapter.ts'

/** A model to compare: an open base model. */
export type ComparedModel = Pick<BaseModel, 'name' | 'graph' | 'weights'>

export interface ExtractOptions {
  /** Directions that are kept in each module at most. One of rank and energy is needed. */
  readonly rank?: number | undefined
  /** The smallest rank that keeps this share of Σ σ², in each module separately. */
  readonly energy?: number | undefined
  /**
   * Linear layers to look at: ends of paths, a regex, or a preset such as 'all-linear' (default) or
   * 'attention'.
   */
  readonly targets?: readonly string[] | string | undefined
  /** For the random start of the iteration. Default 0. */
  readonly seed?: number | undefined
  /** Called after each module that was looked at; rank 0 where both models agree. */
  readonly onModule?: ((report: ModuleReport, done: number, count: number) => void) | undefined
}

export interface ExtractedAdapter {
  /** A LoRA of scale 1 for the modules that differ. */
  readonly adapter: Adapter
  /** Those modules, with what cutting to their rank has lost: ‖ΔW − B·A‖_F / ‖ΔW‖_F. */
  readonly modules: readonly ModuleReport[]
  /**
   * Checkpoint names of all other weights that differ, which no such adapter can hold: norms,
   * embeddings, biases, layers that are no targets.
   */
  readonly others: readonly string[]
}

/**
 * The adapter that turns `base` into `tuned`: ΔW = W_tuned − W_base of each target, truncated to
 * the best factors of the rank. Throws OptionError for wrong options and if no target differs, one
 * MismatchError that lists every difference in form between the models, NumericError for a weight
 * that is NaN or infinite.
 */
export async function extract(
  base: ComparedModel,
  tuned: ComparedModel,
  options: ExtractOptions,
): Promise<ExtractedAdapter> {
  checkExtractOptions(options)
  const { rank, energy, seed = 0, onModule } = options
  checkForms(base, tuned)
  const targets = selectTargets(base.graph, options.targets)
  const merged: ModuleFactors[] = []
  const modules: ModuleReport[] = []
  let done = 0
  for (const [name, module] of targets) {
    const delta = await findDifference(name, base, tuned)
    const { inFeatures, outFeatures, path } = module
    const pair =
      delta &&
      truncateDense(createMatrix(outFeatures, inFeatures, delta), {
        rank,
        energy,
        seed,
        kernel: getFastKernels().f32,
      })
    const report = { module: path, rank: pair?.b.columns ?? 0, residual: pair?.residual ?? 0 }
    onModule?.(report, ++done, targets.size)
    if (!pair) continue
    merged.push({ module, pair })
    modules.push(report)
  }
  const others = await listDifferingWeights(base, tuned, targets)
  if (merged.length === 0) throw createEmptyError(base, tuned, targets.size, others)
  return {
    adapter: createLoraFromFactors(chooseTargets(merged, base.graph), base.name, merged),
    modules,
    others,
  }
}

const extractOptions = {
  rank: methodOptions.rank,
  energy: methodOptions.energy,
  targets: resultOptions.targets,
  seed: methodOptions.seed,
  onModule: mergeContext.onModule,
}

/** Throws OptionError that lists everything wrong. */
export function checkExtractOptions(options: ExtractOptions): void {
  checkOptions('Extract', options, extractOptions)
  if (options.rank === undefined && options.energy === undefined)
    throw new OptionError('Extract: give the rank or the energy to keep.')
}

/**
 * What is not part of the computation of logits, or may be larger in one of the two without
 * changing them.
 */
const unimportant: ReadonlySet<keyof ModelConfig> = new Set([
  'source',
  'bosTokenId',
  'eosTokenIds',
  'padTokenId',
  'maxPositions',
])

const describeWeight = (shapes: ReturnType<typeof collectWeightShapes>, name: string): string =>
  shapes.has(name) ? describeShape(shapes.get(name)!) : 'no such tensor'

function checkForms(base: ComparedModel, tuned: ComparedModel): void {
  const one = base.graph.config
  const other = tuned.graph.config
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])] as (keyof ModelConfig)[]
  const mismatches = keys.flatMap((key): Mismatch[] => {
    const expected = JSON.stringify(one[key]) ?? 'nothing'
    const got = JSON.stringify(other[key]) ?? 'nothing'
    return unimportant.has(key) || got === expected
      ? []
      : [{ name: `config ${key}`, got, expected }]
  })
  const wanted = collectWeightShapes(base.graph.blocks)
  const found = collectWeightShapes(tuned.graph.blocks)
  for (const name of new Set([...wanted.keys(), ...found.keys()])) {
    const expected = describeWeight(wanted, name)
    const got = describeWeight(found, name)
    if (got !== expected) mismatches.push({ name, got, expected })
  }
  if (mismatches.length === 0) return
  throw new MismatchError(
    `"${tuned.name}" does not have the tensors of "${base.name}"`,
    mismatches,
    'Was it tuned from another base?',
  )
}

/**
 * Target layers by the name of their weight. Throws OptionError for targets that hit nothing,
 * UnsupportedError for layers without a separate weight.
 */
function selectTargets(
  graph: ModelGraph,
  choice: ExtractOptions['targets'] = 'all-linear',
): Map<string, ModuleInfo> {
  const all = listAdaptableModules(graph)
  const hit = new Set(
    selectTargetModules(
      { targets: resolvePreset(choice, all), exclude: [], layersPattern: [] },
      all,
    ).map(({ path }) => path),
  )
  const layers = graph.blocks.flatMap((block) =>
    listBlockLayers(block).map((layer) => ({
      ...layer,
      weightName: block.prefix + layer.weight!.name,
    })),
  )
  const targets = layers.filter(({ module }) => hit.has(module.path))
  const unfit = targets.flatMap(({ module, weightName }) => {
    if (module.kind !== 'linear') return [`${module.path} is an embedding`]
    const shared = layers.find(
      (other) => other.weightName === weightName && other.module.path !== module.path,
    )
    return shared ? [`${module.path} shares its weight with ${shared.module.path}`] : []
  })
  if (unfit.length > 0)
    throw new UnsupportedError(
      `Extract: only linear layers with their own weight: ${unfit.join(', ')}. Leave them out.`,
    )
  return new Map(targets.map(({ module, weightName }) => [weightName, module]))
}

const readBoth = async (
  name: string,
  base: ComparedModel,
  tuned: ComparedModel,
): Promise<[F32Tensor, F32Tensor]> => [await readFinite(base, name), await readFinite(tuned, name)]

/** W_tuned − W_base; undefined if both are the same. */
async function findDifference(
  name: string,
  base: ComparedModel,
  tuned: ComparedModel,
): Promise<Float32Array | undefined> {
  const [from, to] = await readBoth(name, base, tuned)
  const delta = new Float32Array(from.data.length)
  let any = false
  for (let i = 0; i < delta.length; i++) {
    delta[i] = to.data[i]! - from.data[i]!
    any ||= delta[i] !== 0
  }
  return any ? delta : undefined
}

async function readFinite(model: ComparedModel, name: string): Promise<F32Tensor> {
  return toFiniteFloat32(`${model.name}: ${name}`, await model.weights.read(name))
}

/** Names of the weights outside of the targets that differ. */
async function listDifferingWeights(
  base: ComparedModel,
  tuned: ComparedModel,
  targets: ReadonlyMap<string, unknown>,
): Promise<string[]> {
  const names: string[] = []
  for (const name of collectWeightShapes(base.graph.blocks).keys()) {
    if (!targets.has(name) && (await findDifference(name, base, tuned))) names.push(name)
  }
  return names
}

function createEmptyError(
  base: ComparedModel,
  tuned: ComparedModel,
  targets: number,
  others: readonly string[],
): OptionError {
  const rest =
    others.length > 0
      ? ` Other weights differ: ${others.slice(0, 8).join(', ')} (${others.length}).`
      : ' All other weights are equal too.'
  return new OptionError(
    `Extract: all ${targets} targets of "${tuned.name}" equal those of "${base.name}": there is no adapter between them.${rest}`,
  )
}

/** Names of modules where those hit exactly the ones that differ, else their whole paths. */
function chooseTargets(merged: readonly ModuleFactors[], graph: ModelGraph) {
  const paths = merged.map(({ module }) => module.path)
  const names = listModuleNames(merged.map(({ module }) => module))
  const hit = listAdaptableModules(graph).filter(({ path }) =>
    names.some((name) => path.endsWith(`.${name}`)),
  )
  return { targets: hit.length === paths.length ? names : paths, exclude: [], layersPattern: [] }
}
