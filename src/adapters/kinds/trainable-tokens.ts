// PEFT's TRAINABLE_TOKENS: only the rows of single tokens in the embedding, the head or both. The
// rows act like those of a LoRA with trained tokens, see trainable-tokens.ts of adapters; this file
// has their configuration.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import {
  either,
  flag,
  listOf,
  naturalNumber,
  readGivenOptions,
  record,
  string,
} from '../../base/schema.ts'
import { headPath } from '../keys.ts'
import { createTargetMatcher } from '../targets.ts'
import { isTokenList, type TokenChoice } from '../saved-modules.ts'
import type { AdapterConfig, AdapterKind } from './kind.ts'
import { tokenChoice } from './lora-config.ts'
import { readPeftConfig } from './peft-config.ts'
import { noModules } from './prompt-config.ts'

export interface TrainableTokensConfig extends AdapterConfig {
  readonly trainableTokens: TokenChoice
}

const options = { trainableTokens: tokenChoice, peft: record }

const peftKeys = {
  token_indices: listOf(naturalNumber),
  target_modules: either(string(), listOf(string())),
  init_weights: flag(),
  /** Of files in 8 or 4 bits. */
  ensure_weight_tying: flag(),
}

const countTokens = (choice: TokenChoice): number => Object.values(choice).flat().length

/** Which of the two tables PEFT's target_modules names; if it is empty, PEFT uses the embedding. */
function readTables(
  targets: readonly string[] | string | undefined,
  tokens: readonly number[],
  fileName: string,
): TokenChoice {
  const named = typeof targets === 'string' ? [targets] : (targets ?? [])
  const isHit = createTargetMatcher({ targets: targets ?? [], exclude: [], layersPattern: [] })
  const hits = (path: string): boolean =>
    isHit({ path, kind: 'linear', inFeatures: 1, outFeatures: 1, bias: false })
  const hasEmbedding =
    named.length === 0 ||
    named.some((name) => /(^|\.)embed_tokens$/.test(name)) ||
    hits('model.embed_tokens')
  const hasHead = hits(headPath)
  const others = typeof targets === 'string' ? [] : named.filter((name) => !isTableName(name))
  if (others.length > 0 || !(hasEmbedding || hasHead))
    throw new UnsupportedError(
      `${fileName}: target_modules: ${(others.length > 0 ? others : named).join(', ')} is not supported; tokens are trained in embed_tokens and lm_head.`,
    )
  if (!hasHead) return tokens
  return hasEmbedding ? { embed_tokens: tokens, lm_head: tokens } : { lm_head: tokens }
}

const isTableName = (name: string): boolean => /(^|\.)(embed_tokens|lm_head)$/.test(name)

/** PEFT has one list of tokens for all its targets. */
function listTokens(choice: TokenChoice): readonly number[] {
  const [first = [], ...others] = isTokenList(choice) ? [choice] : Object.values(choice)
  if (others.some((list) => String(list) !== String(first)))
    throw new OptionError(
      'Trainable tokens options: trainableTokens: got other tokens for the head than for the embedding. ' +
        'Choose a LoRA, whose file has room for both, or give both the same.',
    )
  return first
}

export const trainableTokens: AdapterKind<TrainableTokensConfig, typeof options> = {
  name: 'trainable-tokens',
  peftType: 'TRAINABLE_TOKENS',
  effect: 'replaces',
  mark: 'trainable_tokens_delta',
  options,

  complete(given) {
    const read = readGivenOptions('Trainable tokens options', given, options)
    const { trainableTokens: choice = [] } = read
    if (countTokens(choice) === 0)
      throw new OptionError(
        'Trainable tokens options: trainableTokens: got no token, expected a list of token ids (on the command line --train-tokens 259,260).',
      )
    listTokens(choice)
    return { ...noModules, ...read, trainableTokens: choice }
  },

  /** A head that shares the embedding has its rows too, unless it alone is trained. */
  fit(config, { tiedEmbeddings }) {
    const { trainableTokens: choice } = config
    const names = isTokenList(choice) ? [] : Object.keys(choice)
    if (!tiedEmbeddings || String(names) === headPath) return config
    return { ...config, trainableTokens: listTokens(choice), ensureWeightTying: true }
  },

  readConfig(json, fileName) {
    const read = readPeftConfig(json, peftKeys, ['token_indices'], fileName)
    const { token_indices: tokens = [], target_modules: targets } = read
    if (tokens.length === 0)
      throw new UnsupportedError(`${fileName}: token_indices: is empty, expected token ids.`)
    return {
      ...noModules,
      trainableTokens: readTables(targets, tokens, fileName),
      peft: json,
    }
  },

  writeConfig({ trainableTokens: choice, peft }) {
    const targets = isTokenList(choice) ? null : Object.keys(choice)
    const { ensure_weight_tying: _tied, ...given } = peft ?? {}
    return {
      task_type: 'CAUSAL_LM',
      target_modules: targets,
      init_weights: true,
      ...given,
      token_indices: listTokens(choice),
    }
  },

  parameters: () => [],
  apply: (_g, layer) => layer.base(),
  merge: (_config, { base }) => ({ weight: base('weight') }),
}
