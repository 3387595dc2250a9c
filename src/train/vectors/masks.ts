// Dropout for rows of vectors: the masks that a language model's run would draw for packed
// sequences of one token.

import type { AdapterConfig } from '../../adapters/kinds/kind.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Block } from '../../graph/model-graph.ts'
import { addDropoutFeeds } from '../programs/dropout.ts'

const none = new Int32Array()

/**
 * A mask [N, 1, D] of 0 and 1/(1 − rate) for every layer, named `<block prefix>dropout:<module>`;
 * none where the rate is 0.
 */
export function drawDropoutMasks(
  blocks: readonly Block[],
  config: AdapterConfig,
  { rows }: { readonly rows: number },
  seed: number,
): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>()
  const batch = {
    rows,
    tokens: 1,
    ids: none,
    positions: none,
    segments: none,
    scored: none,
    labels: none,
    weights: new Float32Array(),
  }
  addDropoutFeeds(feeds, blocks, config, batch, seed)
  return feeds
}
