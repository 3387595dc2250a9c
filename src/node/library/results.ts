// The results of a build in files: one for each expert and variant, so that a stopped build
// continues where it was.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { computeFileSha256 } from '../models/checksum.ts'
import { createFileSink } from '../files/file-sink.ts'
import type { Measurement } from './measure.ts'
import type { ExpertRecipe } from './recipe.ts'
import type { DataSlice } from './slice.ts'

/**
 * The measured models: the base, the expert of the recipe's tier, a LoRA of rank 16 on the same
 * rows.
 */
export const variants = ['base', 'expert', 'lora'] as const
export type Variant = (typeof variants)[number]

export interface VariantResult extends Measurement {
  readonly name: string
  readonly variant: Variant
  /** As the tier names it; 'base' for the base. */
  readonly kind: string
  readonly metric: string
  readonly better: 'higher' | 'lower'
  readonly seed: number
  readonly steps: number
  readonly trainSeconds: number
  /** Of recipe, rows, base, seed and steps: another one is another result. */
  readonly fingerprint: string
}

export const resultFolder = 'results'

const toFileName = (name: string, variant: Variant): string => `${name}.${variant}.json`

/** Changes with everything that a result depends on. */
export async function computeFingerprint(
  recipe: ExpertRecipe,
  slice: DataSlice,
  settings: object,
): Promise<string> {
  const rows = await computeFileSha256(slice.trainFile)
  const text = JSON.stringify([recipe, rows, slice.held.rows, settings])
  return createHash('sha256').update(text).digest('hex')
}

/** The result of this fingerprint; undefined if there is none, or another's. */
export async function readResult(
  out: string,
  name: string,
  variant: Variant,
  fingerprint?: string,
): Promise<VariantResult | undefined> {
  const path = join(out, resultFolder, toFileName(name, variant))
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const result = JSON.parse(text) as VariantResult
  return fingerprint === undefined || result.fingerprint === fingerprint ? result : undefined
}

export async function writeResult(out: string, result: VariantResult): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(result)}\n`)
  await createFileSink(join(out, resultFolder)).write(toFileName(result.name, result.variant), [
    bytes,
  ])
}
