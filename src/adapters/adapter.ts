// An adapter is a plain value: its kind's name, a configuration, tensors by PEFT key. This file
// lists its tensors for a model, checks it, and creates its feeds.

import {
  MismatchError,
  NumericError,
  OptionError,
  UnsupportedError,
  type Mismatch,
} from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../graph/model-graph.ts'
import { findBaseCopyMismatch, findBaseCopyPath, describeTensorShape } from './base-copy.ts'
import { describeMismatchCause } from './mismatch-cause.ts'
import { getSavedPath, toFileKey, toInputName, toPeftKey } from './keys.ts'
import { isJointConfig, joinConfigs } from './kinds/joint/joint-config.ts'
import type {
  AdapterConfig,
  AdapterKind,
  BasePart,
  BaseReader,
  ParameterSpec,
  WeightOf,
} from './kinds/kind.ts'
import { getKind } from './kinds/kind-table.ts'
import { resolvePreset } from './presets.ts'
import { isSavedWhole, listSaveableModules, listSavedTensors } from './saved-modules.ts'
import { listAdaptableModules, type AdaptableLayer } from './adapted-layers.ts'
import { listTokenTables } from './trainable-tokens.ts'
import { findLostNames, listModuleNames, selectTargetModules } from './targets.ts'

export interface Adapter {
  /** A row of `adapterKinds`. */
  readonly kind: string
  readonly config: AdapterConfig
  /** By PEFT key, in the type the file had. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** The base it was trained on, as PEFT names it. */
  readonly baseModel?: string
  /**
   * Strings in the header of its tensor file: name, description, tags, the hash of its training
   * data.
   */
  readonly metadata?: AdapterMetadata
  /** Its own tokenizer and chat template, if its folder has them; they replace the base's. */
  readonly text?: AdapterText
}

export interface AdapterText {
  /** By file name, as in the folder: tokenizer.json, chat_template.jinja. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

export type AdapterMetadata = Readonly<Record<string, string>>

/**
 * The metadata's key for the date, such as 2026-11-30, that chat templates printed in training, if
 * they print one.
 */
export const dateKey = 'graft_date'

/** The input of a layer's graph for its weight or bias; undefined if there is none. */
export const findBaseInput = ({ node }: AdaptableLayer, part: BasePart): Value | undefined =>
  node.operation === 'embedding' ? node.inputs[0] : node.inputs[part === 'weight' ? 1 : 2]

/** Reads the base's values of one layer; throws OptionError if the weights were not given. */
export function createBaseReader(
  layer: AdaptableLayer,
  prefix: string,
  weightOf: WeightOf | undefined,
): BaseReader {
  const { module, node } = layer
  return (part) => {
    const value = findBaseInput(layer, part)
    if (node.operation === 'quantizedLinear')
      throw new UnsupportedError(
        `${module.path}: its weight is packed in blocks; give the unpacked model.`,
      )
    if (!weightOf)
      throw new OptionError(
        `${module.path}: this adapter's ${part} depends on the base; pass its weights as weightOf, or give the model.`,
      )
    return toFloat32(weightOf(prefix + value!.name))
  }
}

/**
 * Every tensor an adapter of this configuration has for this model, by PEFT key, in the model's
 * order.
 */
export function listParameterSpecs(
  model: ModelGraph,
  { kind, config }: Pick<Adapter, 'kind' | 'config'>,
): Map<string, ParameterSpec> {
  checkTying(config, model)
  const row = getKind(kind)
  const modules = listAdaptableModules(model)
  const shared = row.shared?.(config, modules, model.config) ?? []
  const own = modules.flatMap((module) =>
    row
      .parameters(config, module)
      .map((spec) => [toPeftKey(`${module.path}.${spec.name}`), spec] as const),
  )
  const saved = [...listSavedTensors(model, config)].map(
    ([name, { shape }]): [string, ParameterSpec] => {
      const part = name.endsWith('.bias') ? 'bias' : 'weight'
      const path = getSavedPath(toPeftKey(name))
      return [
        toPeftKey(name),
        {
          name: part,
          shape,
          // a weight that replaces the base's is not changed, like the base's
          trainable: isSavedWhole(config, path),
          reads: [part],
          start: (_random, base) => base(part).slice(),
        },
      ]
    },
  )
  const tokens = listTokenTables(config, model).map(
    ({ path, spec }) => [toPeftKey(`${path}.${spec.name}`), spec] as const,
  )
  return new Map([...shared.map((spec) => [spec.name, spec] as const), ...own, ...saved, ...tokens])
}

/**
 * Throws OptionError if embedding and head are tied by the configuration and neither is trained.
 */
function checkTied(adapter: Pick<Adapter, 'kind' | 'config'>, model: ModelGraph): void {
  const keys = [...listParameterSpecs(model, adapter).keys()]
  if (!keys.some((key) => /\.embed_tokens\./.test(key)))
    throw new OptionError(
      'Adapter options: ensureWeightTying: neither the embedding nor the head is a target, saved whole or has trained tokens. ' +
        'Name one of them (embed_tokens, lm_head) in targets, modulesToSave or trainableTokens, or leave the option out.',
    )
}

/**
 * Throws UnsupportedError for an adapter that ties embedding and head, on a base with two separate
 * weights.
 */
function checkTying({ ensureWeightTying = false }: AdapterConfig, { config }: ModelGraph): void {
  if (ensureWeightTying && !config.tiedEmbeddings)
    throw new UnsupportedError(
      'The adapter ties embedding and head (ensure_weight_tying), but this base has a separate weight for its head. ' +
        'Give a base whose head shares the embedding; to make one, leave ensureWeightTying out and name both.',
    )
}

/**
 * The whole configuration of an adapter for this model, from a user's options: presets become lists
 * of names. Throws OptionError for wrong options and for targets that the model does not have.
 */
export function resolveAdapterConfig(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
): AdapterConfig {
  const row = getKind(kind)
  return fitConfig(row, row.complete(options), model)
}

/** A complete configuration for this model; of joint kinds, each separately. */
function fitConfig(row: AdapterKind, given: AdapterConfig, model: ModelGraph): AdapterConfig {
  if (isJointConfig(given))
    return joinConfigs(
      given.parts.map(({ kind, config }) => ({
        kind,
        config: fitConfig(getKind(kind), config, model),
      })),
    )
  const modules = listAdaptableModules(model)
  const config = { ...given, targets: resolvePreset(given.targets, modules) }
  if ('targets' in row.options) checkNames(given, selectTargetModules(config, modules), model)
  const fitted = row.fit?.(config, model.config) ?? config
  if (fitted.ensureWeightTying) checkTied({ kind: row.name, config: fitted }, model)
  return fitted
}

/**
 * Throws OptionError for names that match no module, because a misspelt name would have no effect.
 */
function checkNames(
  config: AdapterConfig,
  targets: readonly ModuleInfo[],
  model: ModelGraph,
): void {
  const modules = listAdaptableModules(model)
  const saveable = listSaveableModules(model)
  const problems = findLostNames(config, { hit: targets, modules, saveable })
  const names = new Set(listModuleNames(targets))
  const others = listModuleNames([...modules, ...saveable]).filter((name) => !names.has(name))
  if (problems.length > 0)
    throw new OptionError(
      `Adapter options: ${problems.join('; ')}. The target modules are ${[...names].join(', ')}; the model's others are ${others.join(', ')}.`,
    )
}

/**
 * Checks an adapter against a model; throws one MismatchError with every missing, unexpected and
 * mis-shaped tensor. With the base's weights, copies of them that PEFT saved along (embeddings that
 * are targets) are compared too.
 */
export function checkAdapter(adapter: Adapter, model: ModelGraph, weightOf?: WeightOf): void {
  const expected = listParameterSpecs(model, adapter)
  const mismatches: Mismatch[] = []
  const add = (mismatch: Mismatch): void => {
    mismatches.push({ ...mismatch, name: toFileKey(adapter.kind, mismatch.name) })
  }
  for (const [key, spec] of expected) {
    const tensor = adapter.tensors.get(key)
    const got = tensor ? describeTensorShape(tensor) : 'nothing'
    if (got !== describeTensorShape(spec))
      add({ name: key, got, expected: describeTensorShape(spec) })
  }
  for (const [key, tensor] of adapter.tensors) {
    const path = findBaseCopyPath(key)
    const mismatch = path && findBaseCopyMismatch(key, path, tensor, { model, weightOf })
    if (mismatch) add(mismatch)
    else if (path === undefined && !expected.has(key))
      add({ name: key, got: describeTensorShape(tensor), expected: 'no such tensor' })
  }
  if (mismatches.length === 0) return
  const advice = describeMismatchCause(adapter, model, expected)
  throw new MismatchError(`The ${adapter.kind} adapter does not fit the model`, mismatches, advice)
}

/** The ids with which every row begins if the adapter has virtual tokens: −1 to −P; else none. */
export const listVirtualIds = ({ kind, config }: Pick<Adapter, 'kind' | 'config'>): number[] =>
  Array.from({ length: getKind(kind).virtualTokens?.(config) ?? 0 }, (_, i) => -1 - i)

/** Throws NumericError naming every tensor that contains NaN or infinity. */
export function checkFinite({ tensors }: Pick<Adapter, 'tensors'>): void {
  const bad: string[] = []
  // one at a time, so that a packed adapter is never unpacked as a whole
  for (const [key, tensor] of tensors) if (!isAllFinite(toFloat32(tensor))) bad.push(key)
  if (bad.length > 0)
    throw new NumericError(
      `The adapter contains NaN or infinity in ${bad.slice(0, 8).join(', ')} (${bad.length} tensors).`,
    )
}

/**
 * The adapter's tensors in f32 by the input names of the composed graph: what is fed. f32 data is
 * not copied.
 */
export function toAdapterFeeds({ tensors }: Pick<Adapter, 'tensors'>): Map<string, F32Tensor> {
  return new Map(
    [...tensors]
      .filter(([key]) => findBaseCopyPath(key) === undefined)
      .map(([key, tensor]) => [toInputName(key), f32(tensor.shape, toFloat32(tensor))]),
  )
}
