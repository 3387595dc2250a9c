// LoRA's configuration: a user's options, and the form in adapter_config.json.

import { OptionError } from '../../base/errors.ts'
import {
  either,
  flag,
  listOf,
  mapOf,
  naturalNumber,
  number,
  oneOf,
  positiveInteger,
  share,
  readGivenOptions,
} from '../../base/schema.ts'
import { isTokenList, replaceTiedHead, type TokenChoice } from '../saved-modules.ts'
import type { AdapterConfig, PeftJson } from './kind.ts'
import { readPeftConfig } from './peft-config.ts'
import {
  readTargets,
  targetDefaults,
  targetKeys,
  positiveAlpha,
  targetOptions,
  writeTargets,
} from './target-config.ts'

export interface LoraConfig extends AdapterConfig {
  readonly rank: number
  readonly alpha: number
  /** Scale alpha/√rank instead of alpha/rank (rsLoRA, arXiv:2312.03732). */
  readonly rankStabilized: boolean
  /**
   * Ranks and alphas of single modules: a regex on the end of the module path → value. The first
   * that matches counts.
   */
  readonly rankPattern: Readonly<Record<string, number>>
  readonly alphaPattern: Readonly<Record<string, number>>
  /** Which of the base's own biases are trained too. */
  readonly bias: 'none' | 'all' | 'lora_only'
  /** A bias on B. */
  readonly loraBias: boolean
  /**
   * 'kaiming': A uniform in ±1/√in, B zero. 'gaussian': A normal with deviation 1/rank, B zero.
   * 'random': B is not zero either. 'mica': A zero, B the base's smallest singular directions,
   * which are frozen; see minor-start.ts.
   */
  readonly start: 'kaiming' | 'gaussian' | 'random' | 'mica'
}

const biases = oneOf(['none', 'all', 'lora_only'])

/** Tokens of the embedding, or by the end of a module's path. */
export const tokenChoice = either(listOf(naturalNumber), mapOf(listOf(naturalNumber)))

export const loraOptions = {
  ...targetOptions,
  rank: positiveInteger,
  alpha: positiveAlpha,
  dropout: share,
  rankStabilized: flag(),
  rankPattern: mapOf(positiveInteger),
  alphaPattern: mapOf(positiveAlpha),
  bias: biases,
  loraBias: flag(),
  start: oneOf(['kaiming', 'gaussian', 'random', 'mica']),
  invocationTokens: listOf(naturalNumber),
  trainableTokens: tokenChoice,
  ensureWeightTying: flag(),
}

/**
 * Refuses what kinds derived from LoRA do not support, as in PEFT: invocation tokens, and MiCA's
 * start.
 */
export function checkPlainStart(config: LoraConfig, kind: string): LoraConfig {
  if (config.start === 'mica')
    throw new OptionError(
      `${kind} options: start: only a plain LoRA starts from minor components (mica); choose another start, or lora.`,
    )
  if (!config.invocationTokens) return config
  throw new OptionError(
    `${kind} options: invocationTokens: only a plain LoRA can be activated by tokens; leave it out, or choose lora.`,
  )
}

/** Defaults: rank 8, alpha twice the rank, queries and values. */
export function completeLora(
  given: Readonly<Record<string, unknown>>,
  what = 'LoRA options',
): LoraConfig {
  const read = readGivenOptions(what, given, loraOptions)
  const { rank = 8 } = read
  if (read.invocationTokens?.length === 0)
    throw new OptionError(
      'LoRA options: invocationTokens: got an empty list, expected token ids; leave it out for a LoRA that always acts.',
    )
  return {
    ...targetDefaults,
    alpha: 2 * rank,
    rankStabilized: false,
    rankPattern: {},
    alphaPattern: {},
    bias: 'none',
    loraBias: false,
    start: 'kaiming',
    ...read,
    ...(read.ensureWeightTying && { modulesToSave: replaceTiedHead(read.modulesToSave ?? []) }),
    rank,
  }
}

/**
 * Starts that only set A and B, so that they have no effect once the tensors are read. The others
 * (pissa, olora, corda, loftq, lora_ga) change the base's weights, also when PEFT loads the file.
 */
const pastStarts = ['eva', 'orthogonal']

const peftKeys = {
  ...targetKeys,
  r: positiveInteger,
  lora_alpha: number(),
  lora_dropout: share,
  bias: biases,
  use_rslora: flag(),
  ensure_weight_tying: flag(),
  lora_bias: flag(),
  rank_pattern: mapOf(positiveInteger),
  alpha_pattern: mapOf(number()),
  init_lora_weights: oneOf<boolean | string>([true, false, 'gaussian', 'mica', ...pastStarts]),
  alora_invocation_tokens: listOf(naturalNumber),
  trainable_token_indices: tokenChoice,
}

/** For the embedding alone it is a list; undefined if there are no tokens. */
function readTrainableTokens(given: TokenChoice | undefined): TokenChoice | undefined {
  if (given === undefined || isTokenList(given)) return given?.length ? given : undefined
  const [first, ...others] = Object.entries(given)
  if (!first) return undefined
  return others.length === 0 && /(^|\.)embed_tokens$/.test(first[0]) ? first[1] : given
}

/** The file's own form, if it has the same meaning. */
function writeTrainableTokens({ trainableTokens: tokens, peft }: LoraConfig): PeftJson {
  const given = peft?.['trainable_token_indices'] as TokenChoice | undefined
  const same = JSON.stringify(readTrainableTokens(given ?? undefined)) === JSON.stringify(tokens)
  return same ? {} : { trainable_token_indices: tokens ?? null }
}

const toStart = (given: boolean | string | undefined): LoraConfig['start'] =>
  given === 'gaussian' || given === 'mica' ? given : given === false ? 'random' : 'kaiming'

export function readLoraConfig(json: PeftJson, fileName: string): LoraConfig {
  // the settings of EVA's start, which no longer have an effect
  const { eva_config: _eva, ...rest } = json
  const others = json['init_lora_weights'] === 'eva' ? rest : json
  const read = readPeftConfig(others, peftKeys, ['r', 'lora_alpha', 'target_modules'], fileName)
  const trainableTokens = readTrainableTokens(read.trainable_token_indices)
  return {
    ...readTargets(read, json),
    rank: read.r!,
    alpha: read.lora_alpha!,
    dropout: read.lora_dropout ?? 0,
    rankStabilized: read.use_rslora ?? false,
    rankPattern: read.rank_pattern ?? {},
    alphaPattern: read.alpha_pattern ?? {},
    bias: read.bias ?? 'none',
    loraBias: read.lora_bias ?? false,
    start: toStart(read.init_lora_weights),
    ...(trainableTokens ? { trainableTokens } : {}),
    // An empty list is a plain LoRA to PEFT too.
    ...(read.alora_invocation_tokens?.length
      ? { invocationTokens: read.alora_invocation_tokens }
      : {}),
  }
}

/** The file's value, if it means the same start. */
function toInitValue({ start, peft }: LoraConfig): unknown {
  const given = peft?.['init_lora_weights']
  if (pastStarts.includes(given as string) && start === 'kaiming') return given
  return { kaiming: true, gaussian: 'gaussian', random: false, mica: 'mica' }[start]
}

/** Own keys over the keys that were read. */
export function writeLoraConfig(config: LoraConfig): PeftJson {
  const { peft = {} } = config
  const own: Record<string, unknown> = {
    peft_type: 'LORA',
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    ...writeTargets(config),
    bias: config.bias,
    use_rslora: config.rankStabilized,
    use_dora: false,
    lora_bias: config.loraBias,
    rank_pattern: config.rankPattern,
    alpha_pattern: config.alphaPattern,
    init_lora_weights: toInitValue(config),
    fan_in_fan_out: false,
    ...(config.invocationTokens ? { alora_invocation_tokens: config.invocationTokens } : {}),
    ...writeTrainableTokens(config),
    ...(config.ensureWeightTying ? { ensure_weight_tying: true } : {}),
  }
  return { task_type: 'CAUSAL_LM', ...peft, ...own }
}
