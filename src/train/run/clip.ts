// The gradient norm over all parameters together, and clipping to a bound.

import type { F32Tensor } from '../../base/tensor.ts'

type Gradients = ReadonlyMap<string, Pick<F32Tensor, 'data'>>

/** ‖g‖₂ over all gradients together; NaN or infinity if any of them contains such a value. */
export function computeGlobalNorm(gradients: Gradients): number {
  let sum = 0
  for (const { data } of gradients.values()) {
    const size = data.length
    let part = 0
    for (let i = 0; i < size; i++) part += data[i]! * data[i]!
    sum += part
  }
  return Math.sqrt(sum)
}

/**
 * Scales all gradients in place by min(1, maxNorm/(‖g‖ + 1e-6)), as torch.nn.utils.clip_grad_norm_;
 * returns the norm before.
 */
export function clipByGlobalNorm(gradients: Gradients, maxNorm: number): number {
  const norm = computeGlobalNorm(gradients)
  const scale = maxNorm / (norm + 1e-6) // torch's own guard against division by zero
  if (!(scale < 1)) return norm
  for (const { data } of gradients.values()) {
    const size = data.length
    for (let i = 0; i < size; i++) data[i] = data[i]! * scale
  }
  return norm
}
