// What Graft makes of an odd adapter folder in the form in which PEFT's result is written: four
// projections of the logits of ten tokens, or the refusal.

import { GraftError } from '../../../src/base/errors.ts'
import type { Adapter } from '../../../src/adapters/adapter.ts'
import { attach } from '../../../src/adapters/attach.ts'
import { type Base, feedsWith, logitsOf } from '../adapters.ts'
import { readFolder } from './folder-outcome.ts'
import type { OddFolder } from './odd-folders.ts'

const ids = [[1, 403, 407, 261, 378, 432, 410, 266, 310, 425]]

/** Σ_j logits[j] cos(0.37 k j) / √n for k = 1..4. */
function projectLogits(logits: Float32Array): number[] {
  return [1, 2, 3, 4].map((k) => {
    const sum = logits.reduce((total, value, j) => total + value * Math.cos(0.37 * k * j), 0)
    return sum / Math.sqrt(logits.length)
  })
}

export interface FolderReading {
  /** Projections, or 'error'. */
  readonly result: readonly number[] | 'error'
  readonly details: string
}

async function projectAdapter(adapter: Adapter, base: Base): Promise<readonly number[]> {
  const adapted = attach(base.model, adapter)
  return projectLogits(await logitsOf(adapted, feedsWith(base, adapted, adapter, { ids })))
}

export async function readFolderAsReference(odd: OddFolder, base: Base): Promise<FolderReading> {
  try {
    const result = await projectAdapter(await readFolder(odd, base), base)
    return { result, details: result.join() }
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return { result: 'error', details: error.message }
  }
}

export type FolderExpected = readonly number[] | 'error' | 'incomplete'
