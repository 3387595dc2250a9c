// IA3: a learned factor for every input or every output of a layer. Liu et al. 2022,
// arXiv:2205.05638.
//
//     feed-forward modules: y = W·(l⊙x) + bias     l: [1, in]
//     others:               y = l ⊙ (W·x + bias)    l: [out, 1]
//
// l starts at ones, so a fresh adapter changes nothing.

import { OptionError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import {
  either,
  flag,
  listOf,
  string,
  withoutOptions,
  readGivenOptions,
  type GivenOptions,
} from '../../base/schema.ts'
import type { AdapterConfig, AdapterKind } from './kind.ts'
import { scaleColumns, scaleRows } from './matrices.ts'
import { readPeftConfig } from './peft-config.ts'
import { fillConstant, drawNormal } from './initializers.ts'
import {
  readTargets,
  targetDefaults,
  targetKeys,
  targetOptions,
  writeTargets,
} from './target-config.ts'
import { parsePythonRegex } from '../python-regex.ts'
import { isLinearTarget } from '../targets.ts'

export interface Ia3Config extends AdapterConfig {
  /**
   * Targets whose input is scaled instead of their output: ends of module paths, or one regex over
   * whole paths.
   */
  readonly feedForward: readonly string[] | string
  /** 'ones' changes nothing; 'random' is normal. */
  readonly start: 'ones' | 'random'
}

const factors = 'ia3_l'
const defaultTargets = ['k_proj', 'v_proj', 'down_proj']
const names = either(string(), listOf(string()))
const options = { ...targetOptions, feedForward: names }
const { layers_to_transform: _layers, layers_pattern: _pattern, ...choice } = targetKeys // PEFT's IA3 has neither
const peftKeys = { ...choice, feedforward_modules: names, init_ia3_weights: flag() }

/** Whether the module's input is scaled. PEFT compares ends of paths without regard to dots. */
function shouldScaleInput({ feedForward }: Ia3Config, { path }: ModuleInfo): boolean {
  if (typeof feedForward !== 'string') return feedForward.some((name) => path.endsWith(name))
  return (
    feedForward !== '' && parsePythonRegex(feedForward, 'feedForward', ['^(?:', ')$']).test(path)
  )
}

/**
 * Throws OptionError for names that are no targets, because they would have no effect; PEFT does
 * the same.
 */
function checkFeedForward({ targets, feedForward }: GivenOptions<typeof options>): void {
  if (!Array.isArray(feedForward) || (targets !== undefined && !Array.isArray(targets))) return
  const among: readonly string[] = targets ?? defaultTargets
  const lost = feedForward.filter(
    (name) => !among.some((target) => target.endsWith(name) || name.endsWith(`.${target}`)),
  )
  if (lost.length > 0)
    throw new OptionError(
      `IA3 options: feedForward: ${JSON.stringify(lost)} is not one of the targets ${among.join(', ')}.`,
    )
}

const shownOptions = withoutOptions(options, 'layers', 'layersPattern')

export const ia3: AdapterKind<Ia3Config, typeof shownOptions> = {
  name: 'ia3',
  peftType: 'IA3',
  effect: 'scales',
  mark: 'ia3_',
  options: shownOptions,
  factors: [factors],

  /** Defaults: keys, values and the feed-forward's last layer, as in the paper. */
  complete(given) {
    const read = readGivenOptions('IA3 options', given, options)
    if (read.layers || read.layersPattern)
      throw new OptionError(
        'IA3 options: layers cannot be chosen by number; name whole paths, or give a regex.',
      )
    checkFeedForward(read)
    return {
      ...targetDefaults,
      targets: defaultTargets,
      feedForward: ['down_proj'],
      start: 'ones',
      ...read,
    }
  },

  readConfig(json, fileName) {
    const read = readPeftConfig(json, peftKeys, ['target_modules', 'feedforward_modules'], fileName)
    const start = (read.init_ia3_weights ?? true) ? 'ones' : 'random'
    return { ...readTargets(read, json), feedForward: read.feedforward_modules!, start }
  },

  writeConfig: (config) => ({
    task_type: 'CAUSAL_LM',
    fan_in_fan_out: false,
    ...config.peft,
    ...writeTargets(config, false),
    feedforward_modules: config.feedForward,
    init_ia3_weights: config.start === 'ones',
  }),

  parameters(config, module) {
    if (!isLinearTarget(config, module, 'IA3')) return []
    const shape = shouldScaleInput(config, module)
      ? [1, module.inFeatures]
      : [module.outFeatures, 1]
    return [
      {
        name: factors,
        shape,
        trainable: true,
        start: config.start === 'ones' ? fillConstant(shape, 1) : drawNormal(shape, 1),
      },
    ]
  },

  apply(g, layer, config) {
    const factor = layer.parameter(factors)
    // [.., in]
    if (shouldScaleInput(config, layer.module))
      return layer.base({ x: g.multiply(layer.x, factor) })
    return g.multiply(layer.base(), g.reshape(factor, [layer.module.outFeatures])) // [.., out]
  },

  merge(config, { module, base, tensor }) {
    const weight = base('weight').slice()
    const factor = tensor(factors)
    if (shouldScaleInput(config, module)) {
      scaleColumns(weight, factor)
      return { weight }
    }
    scaleRows(weight, factor)
    return module.bias
      ? { weight, bias: base('bias').map((value, i) => value * factor[i]!) }
      : { weight }
  },

  serve(config, { module, tensor }) {
    const { inFeatures, outFeatures } = module
    const none = { A: f32([0, inFeatures]), B: f32([outFeatures, 0]) }
    const factor = tensor(factors)
    if (shouldScaleInput(config, module)) return { ...none, u: f32([inFeatures], factor) }
    return { ...none, v: f32([outFeatures], factor) }
  },
}
