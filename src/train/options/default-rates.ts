// Default learning rates by kind of adapter and optimiser. Measured, see docs/train-settings.md;
// `npm run bench -- rates` measures again.

import { jointMark } from '../../adapters/kinds/joint/joint-rules.ts'
import { toKindName } from '../../adapters/kinds/kind-table.ts'

/**
 * With AdamW. Kinds that only have factors or a soft prompt have few parameters, and each must
 * change much.
 */
export const defaultLearningRates: Readonly<Record<string, number>> = {
  lora: 2e-3,
  dora: 2e-3,
  pissa: 1e-3,
  olora: 1e-3,
  lokr: 1e-2,
  loha: 1e-2,
  vera: 3e-2,
  ia3: 3e-2,
  'prompt-tuning': 1,
  'prefix-tuning': 1e-1,
  'trainable-tokens': 3e-2,
}
const otherRate = 2e-3 // LoRA's, for kinds without a measurement

/**
 * The other optimisers' rates as a multiple of AdamW's. SGD's gradients are clipped to a norm of 1,
 * so each component is tiny; Lion's steps all have full size.
 */
export const optimizerFactors: Readonly<Record<string, number>> = {
  adamw: 1,
  adafactor: 1,
  lion: 0.25,
  sgd: 50,
}

const getRate = (kind: string): number => defaultLearningRates[kind] ?? otherRate

/** The default peak learning rate of a run; of joint kinds, the lowest of their rates. */
export const getDefaultLearningRate = (
  kind: string | readonly string[],
  optimizer: string,
): number =>
  Math.min(...toKindName(kind).split(jointMark).map(getRate)) * (optimizerFactors[optimizer] ?? 1)

/**
 * The rate of a part as a multiple of the whole adapter's, because kinds differ by up to 500 times.
 */
export const computePartRate = (part: string, kinds: readonly string[]): number =>
  getRate(part) / Math.min(...kinds.map(getRate))
