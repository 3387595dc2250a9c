// Keep-masks for dropout, fed rather than drawn inside the graph: the same seed gives the same masks, so a resumed run is exact.

import type { AdapterConfig } from '../adapters/kind.ts'
import { dropoutName } from '../adapters/keys.ts'
import { random } from '../base/random.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { modulesOf, type ModelGraph } from '../graph/model-graph.ts'
import type { Batch } from './batch.ts'

/**
 * Adds a mask [N, T, in] of 0 and 1/(1 − rate) for every module. The masks are windows at random places of one pool of draws:
 * drawing 80 million numbers a step would take as long as the step.
 */
export function dropoutFeeds(feeds: Map<string, Tensor>, graph: ModelGraph, { dropout }: AdapterConfig, batch: Batch, seed: number): void {
  if (dropout === 0) return
  const generator = random(seed)
  const modules = modulesOf(graph).filter(({ kind }) => kind === 'linear')
  const widest = Math.max(...modules.map(({ inFeatures }) => inFeatures))
  const rows = batch.rows * batch.tokens
  const pool = new Float32Array(rows * widest * 2)
  const keep = 1 / (1 - dropout)
  for (let i = 0; i < pool.length; i++) pool[i] = generator.uniform() < dropout ? 0 : keep
  for (const { path, inFeatures } of modules) {
    const size = rows * inFeatures
    const start = generator.integer(pool.length - size)
    feeds.set(dropoutName(path), f32([batch.rows, batch.tokens, inFeatures], pool.subarray(start, start + size)))
  }
}
