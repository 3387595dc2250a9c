// The contract of an adapter kind: one file per kind, one row in kind-table.ts, and the contract
// suite runs it. A kind defines its tensors, how they change a layer in a graph, and how they merge
// into a weight. Independent of files and training.

import type { Random } from '../../base/random.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Block, ModuleInfo } from '../../graph/model-graph.ts'
import type { Operators } from '../../graph/operation.ts'
import type { Fields } from '../../base/schema.ts'
import type { SavedChoice } from '../saved-modules.ts'
import type { TargetChoice } from '../targets.ts'

/** The content of an adapter_config.json. */
export type PeftJson = Readonly<Record<string, unknown>>

/**
 * The part of the configuration that all kinds share. Kinds without modules have no targets (an
 * empty list).
 */
export interface AdapterConfig extends TargetChoice, SavedChoice {
  /** Dropout rate on the input of the low-rank branch in training; 0 is off. */
  readonly dropout: number
  /**
   * The adapter acts on a row from the last occurrence of these token ids on, and does not act on
   * rows without them; see activation.ts.
   */
  readonly invocationTokens?: readonly number[]
  /**
   * The keys of the file it was read from: those that this configuration does not have are written
   * back unchanged.
   */
  readonly peft?: PeftJson
}

/** A base weight by its checkpoint name. */
export type WeightOf = (name: string) => Tensor

/**
 * The base's weights of one module, for kinds whose start, merge or serving depends on them. Throws
 * if they were not given.
 */
export type BaseReader = (part: BasePart) => Float32Array

export type BasePart = 'weight' | 'bias'

/** One tensor of an adapter. */
export interface ParameterSpec {
  /** PEFT's key after the module path: 'lora_A.weight'. Of a shared tensor: the whole key. */
  readonly name: string
  readonly shape: readonly number[]
  readonly trainable: boolean
  /** The learning rate of this group is multiplied by a run's `loraPlusRatio`. */
  readonly learningRateGroup?: 'loraPlus'
  /** The parts of the base's layer that `start` reads; absent: none. */
  readonly reads?: readonly BasePart[]
  /** Initial values, from a random generator that belongs to this tensor alone. */
  start(random: Random, base: BaseReader): Float32Array
}

/** The layer that `apply` rewrites. */
export interface AdaptedLayer {
  readonly module: ModuleInfo
  /** linear: [.., in]; embedding: ids i64 [N, T] */
  readonly x: Value
  /** W [out, in] or table [V, D]; undefined if the base is packed in blocks. */
  readonly weight: Value | undefined
  readonly bias: Value | undefined
  /** The kind's own tensor of this name as an input of the graph; a shared one by its whole key. */
  parameter(name: string): Value
  /** The layer itself, W·x + bias, on another x or with another bias. */
  base(changes?: { readonly x?: Value; readonly bias?: Value }): Value
  /** x times a fed keep-mask in a training graph, x itself in any other. */
  dropout(x: Value): Value
  /**
   * 1 at tokens the adapter acts on, 0 at others: [.., 1]. For configurations with invocation
   * tokens.
   */
  activation(): Value
}

/** An adapter's tensors at one module, in f32, with what is known of the base there. */
export interface ModuleTensors {
  readonly module: ModuleInfo
  readonly base: BaseReader
  tensor(name: string): Float32Array
}

/**
 * The serving weights of a module: y = v ⊙ (W·(u⊙x) + bias + B·(A·(u⊙x))) + shift, with every scale
 * multiplied into B. A: [R, in] (of an embedding: [V, R], a row per token), B: [out, R], u: [in], v
 * and shift: [out]; u and v absent: ones, shift absent: zeros.
 */
export interface ServingWeights {
  readonly A: F32Tensor
  readonly B: F32Tensor
  readonly shift?: F32Tensor
  readonly u?: F32Tensor
  readonly v?: F32Tensor
  /** Only tokens from the last occurrence of these on get B·(A·x) and the shift; absent: all. */
  readonly invocation?: readonly number[]
}

export type ModuleSizes = Pick<ModuleInfo, 'kind' | 'inFeatures' | 'outFeatures'>

export interface MergedModuleWeights {
  readonly weight: Float32Array
  readonly bias?: Float32Array
}

export interface AdapterKind<
  Config extends AdapterConfig = AdapterConfig,
  Options extends Fields = Fields,
> {
  /** 'lora' */
  readonly name: string
  /** `peft_type` in adapter_config.json: 'LORA'. */
  readonly peftType: string
  /**
   * Its effect, which decides the kinds that it can act together with (joint/): adds to a layer's
   * output, rescales the rows of its weight, replaces rows of a table, scales inputs or outputs of
   * a layer, or inserts tokens before a row's first token.
   */
  readonly effect: 'adds' | 'renormalizes' | 'replaces' | 'scales' | 'precedes'
  /** A part of every key of its tensors: 'lora_'. */
  readonly mark: string
  /** If kinds share a peft_type: whether a file is of this kind. */
  claims?(json: PeftJson): boolean
  /** A user's options by name, without a configuration file's own keys (`peft`). */
  readonly options: Options
  /**
   * The configuration with its defaults, from a user's options; throws OptionError that lists every
   * problem.
   */
  complete(options: Readonly<Record<string, unknown>>): Config
  /**
   * The configuration with the sizes of the model it is created for, if the kind's file stores
   * them.
   */
  fit?(config: Config, model: ModelConfig): Config
  /**
   * Throws UnsupportedError that lists every key and value which would change the result and is not
   * supported.
   */
  readConfig(json: PeftJson, fileName: string): Config
  writeConfig(config: Config): PeftJson
  /** The adapter in the form of its files, if that is another kind. */
  savedAs?(
    config: Config,
    tensors: ReadonlyMap<string, Tensor>,
  ): { kind: string; config: AdapterConfig; tensors: ReadonlyMap<string, Tensor> }
  /**
   * Names of tensors that multiply the base's output by factors near one: they are never rounded to
   * 8 or 4 bits.
   */
  readonly factors?: readonly string[]
  /**
   * A module's sizes from the shapes of its tensors; undefined if the shapes do not determine them,
   * absent where they never do.
   */
  sizes?(shapeOf: (name: string) => readonly number[] | undefined): ModuleSizes | undefined
  /** The tensors at one module; none if the configuration does not select it. */
  parameters(config: Config, module: ModuleInfo): readonly ParameterSpec[]
  /**
   * Tensors that belong to no single module (VeRA's projections, soft prompts): feeds named by
   * their whole key, one for all blocks.
   */
  shared?(
    config: Config,
    modules: readonly ModuleInfo[],
    model: ModelConfig,
  ): readonly ParameterSpec[]
  /** The module's output with the adapter. */
  apply(g: Operators, layer: AdaptedLayer, config: Config): Value
  /**
   * The output of a head that shares the embedding and has its tensors (`ensureWeightTying`), where
   * the embedding is touched; absent: the kind touches no embedding.
   */
  applyTied?(g: Operators, layer: AdaptedLayer, config: Config): Value
  /**
   * A block with the kind's effect on its inputs (soft prompts), after its layers were adapted; the
   * block itself if there is none.
   */
  applyToBlock?(block: Block, config: Config, model: ModelConfig): Block
  /**
   * Virtual tokens that every row of ids must begin with: −1 to −P. They are fed like tokens, and
   * their logits are undefined.
   */
  virtualTokens?(config: Config): number
  /**
   * The base's weight with the adapter merged into it, as new arrays. Absent: the kind changes no
   * weight.
   */
  merge?(config: Config, at: ModuleTensors): MergedModuleWeights
  /** Whether `serve` reads the base's weights. */
  readonly servesFromBase?: boolean
  /**
   * Absent, or undefined for this configuration: the adapter is served by a separate attached
   * graph.
   */
  serve?(config: Config, at: ModuleTensors): ServingWeights | undefined
}
