// The result of a merge as a LoRA adapter: its tensors by PEFT key, and a configuration that finds
// them, with scale 1 everywhere.

import type { Adapter } from '../adapters/adapter.ts'
import { toPeftKey } from '../adapters/keys.ts'
import type { AdapterConfig } from '../adapters/kinds/kind.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import type { TargetChoice } from '../adapters/targets.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import type { MergedFactors } from './module-merge.ts'
import type { MergedSaved } from './saved/merge-saved.ts'

export interface ModuleFactors {
  readonly module: ModuleInfo
  readonly pair: MergedFactors
}

/**
 * The adapter of a merge: its targets and its base are those of its sources. `partial`: some of the
 * modules were left out, so the targets are whole paths.
 */
export function createMergedAdapter(
  adapters: readonly Adapter[],
  merged: readonly ModuleFactors[],
  saved: MergedSaved,
  partial = false,
): Adapter {
  if (merged.length === 0 && saved.config.trainableTokens)
    return createTokenAdapter(adapters, saved)
  const paths = merged.map(({ module }) => module.path)
  return createLoraFromFactors(
    partial ? { targets: paths, exclude: [], layersPattern: [] } : mergeTargets(adapters, paths),
    adapters.find((adapter) => adapter.baseModel)?.baseModel,
    merged,
    saved,
  )
}

/** Rows of tokens and nothing else, which a LoRA without targets is not. */
function createTokenAdapter(
  adapters: readonly Adapter[],
  { tensors, config }: MergedSaved,
): Adapter {
  const baseModel = adapters.find((adapter) => adapter.baseModel)?.baseModel
  const { trainableTokens } = config
  const tied = adapters.every(({ config: { ensureWeightTying } }) => ensureWeightTying)
  return {
    kind: 'trainable-tokens',
    config: {
      ...getKind('trainable-tokens').complete({ trainableTokens }),
      ...(tied && { ensureWeightTying: true }),
    },
    tensors,
    ...(baseModel === undefined ? {} : { baseModel }),
  }
}

/** A LoRA of scale 1 with these factors; `choice` must hit exactly their modules. */
export function createLoraFromFactors(
  choice: TargetFields,
  baseModel: string | undefined,
  merged: readonly ModuleFactors[],
  { tensors: saved, config: savedConfig }: MergedSaved = { tensors: new Map(), config: {} },
): Adapter {
  const shifted = merged.some(({ pair }) => pair.shift)
  const tensors = new Map<string, Tensor>([
    ...merged.flatMap((item) => toTensors(item, shifted)),
    ...saved,
  ])
  const ranks = merged.map(({ pair }) => Math.max(1, pair.b.columns))
  const rank = selectMostFrequent(ranks)
  const patterns = Object.fromEntries(
    merged.flatMap(({ module }, i) =>
      ranks[i] === rank ? [] : [[escapePattern(module.path), ranks[i]!]],
    ),
  )
  const { embeddings, ...chosen } = savedConfig
  const given = getKind('lora').complete({
    ...choice,
    ...chosen,
    rank,
    alpha: rank,
    rankPattern: patterns,
    alphaPattern: patterns,
    ...(shifted ? { loraBias: true } : {}),
  })
  const config = embeddings ? { ...given, embeddings } : given
  return { kind: 'lora', config, tensors, ...(baseModel === undefined ? {} : { baseModel }) }
}

/** A rank of 0 is saved as rank 1 with zeros, because PEFT refuses rank 0. */
function toTensors({ module, pair }: ModuleFactors, shifted: boolean): [string, Tensor][] {
  const { inFeatures, outFeatures, path, kind } = module
  const rank = Math.max(1, pair.b.columns)
  const [a, b] =
    kind === 'embedding'
      ? ['lora_embedding_A', 'lora_embedding_B']
      : ['lora_A.weight', 'lora_B.weight']
  const keyed = (name: string, tensor: Tensor): [string, Tensor] => [
    toPeftKey(`${path}.${name}`),
    tensor,
  ]
  return [
    keyed(a, f32([rank, inFeatures], pair.a.rows > 0 ? pair.a.data : undefined)),
    keyed(b, f32([outFeatures, rank], pair.b.columns > 0 ? pair.b.data : undefined)),
    ...(shifted && kind === 'linear' ? [keyed('lora_B.bias', f32([outFeatures], pair.shift))] : []),
  ]
}

function selectMostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))[0]
}

const escapePattern = (path: string): string => path.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)

type TargetFields = Pick<AdapterConfig, keyof TargetChoice>
const copyTargets = ({ targets, exclude, layers, layersPattern }: TargetFields): TargetFields => ({
  targets,
  exclude,
  ...(layers ? { layers } : {}),
  layersPattern,
})

/**
 * One choice that all adapters share is kept, and plain lists of names are joined; any other
 * mixture becomes the list of whole paths.
 */
function mergeTargets(adapters: readonly Adapter[], paths: readonly string[]): TargetFields {
  const choices = adapters.map(({ config }) => copyTargets(config))
  const [first] = choices
  if (choices.every((choice) => JSON.stringify(choice) === JSON.stringify(first))) return first!
  const plain = choices.every(
    ({ targets, exclude, layers }) =>
      Array.isArray(targets) && exclude.length === 0 && !layers?.length,
  )
  if (!plain) return { targets: paths, exclude: [], layersPattern: [] }
  return {
    targets: [...new Set(choices.flatMap(({ targets }) => targets))],
    exclude: [],
    layersPattern: [],
  }
}
