// Opens a base model: parts from the reader of its layout, the graph of its config, and weights
// that fit the graph. Independent of the platform: bytes arrive through ByteFolder and ByteSource.
// Base weights are never changed.

import { type Mismatch, MismatchError } from '../base/errors.ts'
import type { TensorStore } from '../formats/tensor-store.ts'
import type { ChatTemplate } from '../formats/text/chat-template.ts'
import type { Tokenizer } from '../formats/text/tokenizer.ts'
import { buildModelGraph } from './build-model.ts'
import { describeShape } from './ir.ts'
import type { ModelConfig } from './model-config.ts'
import { collectWeightShapes, type ModelGraph } from './model-graph.ts'
import { computeModelIdentity } from './model-identity.ts'
import { getArchitecture } from './models/architecture-table.ts'
import { readEosTokenIds } from './models/read-config.ts'
import { type RopeScalingOptions, withRopeScaling } from './models/rope-scaling.ts'
import { type BaseModelSource, readBaseModelParts } from './readers/reader-table.ts'

export type { BaseModelSource } from './readers/reader-table.ts'

export interface BaseModel {
  readonly name: string
  readonly config: ModelConfig
  readonly graph: ModelGraph
  readonly weights: TensorStore
  /**
   * Tensors of the file that no graph reads and that may be ignored: stored rotary tables, the copy
   * of a tied head.
   */
  readonly ignoredTensors: readonly string[]
  readonly tokenizer?: Tokenizer | undefined
  readonly chatTemplate?: ChatTemplate | undefined
  /** generation_config.json, where there is one. */
  readonly generation?: object | undefined
  /**
   * A hash of the model: SHA-256 over the config, and every tensor's name, type, shape, and first
   * and last 64 KiB. Two fine-tunes that agree in all of these would have the same hash. Computed
   * once, at the first call. A scaling that was chosen at opening does not change the hash, because
   * an adapter fits with and without it.
   */
  identity(): Promise<string>
  /** The scaling that was chosen at opening. */
  readonly ropeScaling?: RopeScalingOptions | undefined
}

export interface OpenOptions {
  /** A scaling of rotary positions in place of the config's own. */
  readonly ropeScaling?: RopeScalingOptions | undefined
}

/**
 * Opens a base model; weights are read later, one at a time. Throws UnsupportedError for an
 * architecture, scaling or quantisation that is not supported, one MismatchError with every tensor
 * that is missing, unknown or of a wrong shape, FormatError for broken files.
 */
export async function openBaseModel(
  source: BaseModelSource,
  { ropeScaling }: OpenOptions = {},
): Promise<BaseModel> {
  const { config: own, weights, ...parts } = await readBaseModelParts(source)
  try {
    const json = ropeScaling ? withRopeScaling(own, ropeScaling) : own
    const read = getArchitecture(json).readConfig(json)
    const ends = [...read.eosTokenIds, ...readEosTokenIds(parts.generation ?? {})]
    const config = { ...read, eosTokenIds: [...new Set(ends)] }
    const graph = buildModelGraph(config)
    const ignoredTensors = matchWeights(source.name, graph, weights)
    let identity: Promise<string> | undefined
    return {
      ...parts,
      name: source.name,
      config,
      graph,
      weights,
      ignoredTensors,
      ropeScaling,
      identity: () =>
        (identity ??= computeModelIdentity(
          ropeScaling ? getArchitecture(own).readConfig(own) : config,
          weights,
        )),
    }
  } catch (error) {
    await weights.close()
    throw error
  }
}

// Older checkpoints store these tables; the graph computes its own.
const storedTables = /\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$/

/**
 * Checks that the store has exactly the tensors that the blocks read; returns the names that may be
 * left out.
 */
function matchWeights(
  name: string,
  { blocks, config }: ModelGraph,
  { tensors }: TensorStore,
): string[] {
  const wanted = collectWeightShapes(blocks)
  const mismatches: Mismatch[] = []
  for (const [weight, shape] of wanted) {
    const got = tensors.get(weight)
    const expected = describeShape(shape)
    if (!got) mismatches.push({ name: weight, got: 'no such tensor', expected })
    else if (describeShape(got.shape) !== expected)
      mismatches.push({ name: weight, got: describeShape(got.shape), expected })
  }
  const mayBeIgnored = (tensor: string): boolean =>
    storedTables.test(tensor) || (config.tiedEmbeddings && tensor === 'lm_head.weight')
  const others = [...tensors].filter(([tensor]) => !wanted.has(tensor))
  for (const [tensor, { shape }] of others) {
    if (!mayBeIgnored(tensor))
      mismatches.push({
        name: tensor,
        got: describeShape(shape),
        expected: `no such tensor in a ${config.modelType} model`,
      })
  }
  if (mismatches.length > 0) {
    const advice = 'Do config.json and the weights belong together, and is the file complete?'
    throw new MismatchError(
      `Model "${name}": the weights do not fit its config`,
      mismatches,
      advice,
    )
  }
  return others.map(([tensor]) => tensor)
}
