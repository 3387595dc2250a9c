// The contract of a program that computes a standalone adapter's loss and gradients. Independent of
// adapter kinds.

import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import type { VectorBatch } from './vector-batch.ts'

/**
 * Loss and gradients of
 *
 *     L = Σ_n weights[n] · ‖y_n − targets_n‖² / D
 *
 * for y = the standalone model with the adapter. Parameters and gradients go by PEFT key, f32.
 */
export interface StandaloneProgram {
  gradients(
    batch: VectorBatch,
    parameters: ReadonlyMap<string, Tensor>,
    options?: { dropoutSeed?: number },
  ): Promise<{ loss: number; gradients: ReadonlyMap<string, F32Tensor> }>
  /** The same loss without gradients, dropout off. */
  loss(batch: VectorBatch, parameters: ReadonlyMap<string, Tensor>): Promise<number>
  dispose(): Promise<void>
}
