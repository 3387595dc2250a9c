// What Graft makes of an odd adapter folder in the form in which the reference's result is written:
// four projections of the logits of ten tokens, of llama.cpp of the logarithms of probabilities, or
// the refusal.

import { GraftError } from '../../../src/base/errors.ts'
import type { Adapter } from '../../../src/adapters/adapter.ts'
import { attach } from '../../../src/adapters/attach.ts'
import { type Base, feedsWith, logitsOf } from '../adapters.ts'
import type { Comparison, FolderExpected } from './compare.ts'
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

/** Logits of each token as the logarithms of probabilities, which llama.cpp gives. */
function normalizeRows(logits: Float32Array, width: number): Float32Array {
  const result = Float32Array.from(logits)
  for (let start = 0; start < result.length; start += width) {
    const row = result.subarray(start, start + width)
    const most = Math.max(...row)
    const sum = row.reduce((total, value) => total + Math.exp(value - most), 0)
    for (let i = 0; i < width; i++) row[i]! -= most + Math.log(sum)
  }
  return result
}

async function projectAdapter(
  adapter: Adapter,
  base: Base,
  kind: string,
): Promise<readonly number[]> {
  const adapted = attach(base.model, adapter)
  const logits = await logitsOf(adapted, feedsWith(base, adapted, adapter, { ids }))
  const { vocabularySize } = base.model.config
  return projectLogits(kind === 'llama.cpp LoRA' ? normalizeRows(logits, vocabularySize) : logits)
}

export async function readFolderAsReference(
  odd: Pick<OddFolder, 'files' | 'kind'>,
  base: Base,
  read: typeof readFolder = readFolder,
): Promise<FolderReading> {
  try {
    const result = await projectAdapter(await read(odd, base), base, odd.kind)
    return { result, details: result.join() }
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return { result: 'error', details: error.message }
  }
}

/** All files of a folder as one text, to name it by. */
export const joinFolder = ({ files }: Pick<OddFolder, 'files'>): Uint8Array =>
  Buffer.concat([...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, bytes]) => bytes))

const tolerance = 2e-4
const roundingOf16Bits = 2e-3

const isNear = (
  ours: readonly number[],
  theirs: readonly number[],
  limit: number = tolerance,
): boolean => ours.every((value, k) => Math.abs(value - theirs[k]!) < limit)

type OddChange = Pick<OddFolder, 'kind' | 'mutation' | 'change'>

interface FolderReason {
  readonly name: string
  fits(odd: OddChange, theirs: FolderExpected, ours: readonly number[]): boolean
}

export const folderReasons: readonly FolderReason[] = [
  {
    name: 'llama.cpp rounds what it multiplies by matrices of 16 bits to 16 bits; Graft computes in f32',
    fits: ({ kind, mutation }, theirs, ours) =>
      kind === 'llama.cpp LoRA' &&
      mutation === 'tensors: another element type' &&
      Array.isArray(theirs) &&
      isNear(ours, theirs as readonly number[], roundingOf16Bits),
  },
  {
    name: 'rows of a tied head that are missing in the file are the embedding’s, as PEFT serves them with a warning',
    fits: ({ kind, change }, theirs) =>
      theirs === 'incomplete' && kind === 'trainable-tokens' && change.includes('lm_head'),
  },
  {
    name: 'names of tensors from wrappers such as torch.compile and FSDP are read; PEFT leaves such tensors out',
    fits: ({ mutation }, theirs) =>
      mutation === 'tensors: other names' && (theirs === 'incomplete' || theirs === 'error'),
  },
  {
    name: 'mlx-lm’s num_layers, rank, keys and dropout are not needed: the tensors say what there is',
    fits: ({ kind, change }, theirs) =>
      theirs === 'error' &&
      kind.startsWith('mlx-lm') &&
      /^(num_layers|rank|keys|dropout)/.test(change),
  },
  {
    name: 'a soft prompt without a task type is used; PEFT serves the base alone',
    fits: ({ kind, change }, theirs) =>
      Array.isArray(theirs) && kind === 'prompt-tuning' && change.startsWith('task_type'),
  },
]

export function compareFolder(
  odd: OddChange,
  { result }: FolderReading,
  theirs: FolderExpected,
): Comparison {
  if (result === 'error')
    return { agreement: theirs === 'error' ? 'both refuse' : 'Graft alone refuses' }
  if (Array.isArray(theirs) && isNear(result, theirs as readonly number[]))
    return { agreement: 'the same' }
  const reason = folderReasons.find(({ fits }) => fits(odd, theirs, result))
  return reason ? { agreement: 'other, for a reason', reason: reason.name } : { agreement: 'other' }
}
