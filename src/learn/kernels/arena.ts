// Kernels of the learner with their own memory: the fastest that run here. Independent of: the
// layout, which the owner of an arena decides.

import { assertInternal } from '../../base/errors.ts'
import { instantiate, type KernelHost, type KernelName } from '../../base/wasm.ts'
import { relaxedSimdModule, simdModule } from './compiled.ts'
import type { LearnKernels } from './kernel.ts'
import { createPlainKernels } from './plain.ts'

export type Arena = KernelHost<LearnKernels>

const modules = { 'relaxed-simd': relaxedSimdModule, simd: simdModule }

/**
 * An arena with the first of the wanted kernels that run here; of all kernels if none are named.
 */
export function createArena(wanted?: readonly KernelName[]): Arena {
  const arena = instantiate(modules, createPlainKernels, wanted)
  assertInternal(arena, `no kernels of ${wanted?.join(', ')} run here.`)
  return arena
}
