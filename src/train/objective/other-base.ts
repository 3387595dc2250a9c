// Refuses adapters that were trained on another base than the run's model: adapters to continue
// from, teachers and references.

import type { Adapter } from '../../adapters/adapter.ts'
import { checkBaseCopies, checkBaseHash } from '../../adapters/base-copy.ts'
import { type BaseWeight, isFrozen } from '../../graph/quantized-base/quantize-weight.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'

/** Throws MismatchError for copies of base weights that are not the model's, `checkBaseCopies`. */
export const checkCopies = (
  adapter: Adapter,
  { base }: Pick<TrainableModel, 'base'>,
  weights: ReadonlyMap<string, BaseWeight>,
): Promise<void> =>
  checkBaseCopies(adapter, base.graph, async (wanted) => {
    const weight = weights.get(wanted)!
    return isFrozen(weight) ? undefined : weight // rounding exceeds the tolerance
  })

/**
 * Throws MismatchError that names both bases if their hashes differ, unless any base is allowed.
 */
export async function checkTaughtBase(
  adapters: readonly Adapter[],
  { base }: Pick<TrainableModel, 'base'>,
  { anyBase = false }: { readonly anyBase?: boolean | undefined },
): Promise<void> {
  if (!anyBase) for (const adapter of adapters) await checkBaseHash(adapter, base)
}
