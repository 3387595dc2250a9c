// Computes ΔW for methods that work on single entries. At most two whole ΔWs are in memory; the
// others are computed some rows at a time, and again if a method needs them twice.

import { random } from '../base/random.ts'
import type { Delta } from './delta.ts'
import type { CombineRows, EntriesInput, EntryMethod, CompleteRecipe } from './method.ts'

/** Numbers in a block of rows: four blocks of f32 fit the second-level cache. */
const blockSize = 1 << 14

/** Arrays that live as long as a merge and are used for every module. */
export interface MergeWorkspace {
  /** An array of at least this length; by number, so that one can be asked for again. */
  getArray(number: number, size: number): Float32Array
}

export function createWorkspace(): MergeWorkspace {
  const arrays: Float32Array[] = []
  return {
    getArray(number, size) {
      if ((arrays[number]?.length ?? 0) < size) arrays[number] = new Float32Array(size)
      return arrays[number]!.subarray(0, size)
    },
  }
}

/** Distinguishes the random numbers of one module from those of another (FNV-1a). */
function hashName(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value
}

type Source = Delta['formRows'] | undefined

export interface EntryMergeInput {
  /** Of the module, for its random numbers. */
  readonly name: string
  readonly sources: readonly Source[]
  readonly rows: number
  readonly columns: number
}

/** The merged ΔW, [rows, columns], in an array of the workspace. */
export function mergeEntries(
  method: EntryMethod,
  merge: EntryMergeInput,
  recipe: CompleteRecipe,
  work: MergeWorkspace,
): Float32Array {
  const { name, sources, rows, columns } = merge
  const size = rows * columns
  const whole = (number: number): Float32Array => work.getArray(number, size)
  let held = 0
  const form = (k: number, target: Float32Array, first: number, count: number): void => {
    const source = sources[k]
    if (source) source(target, first, count)
    else target.fill(0, 0, count * columns)
  }
  const start = random(hashName(name) ^ recipe.seed)
  const seeds = sources.map(() => start.uint32())
  const entries: EntriesInput = {
    count: sources.length,
    size,
    columns,
    recipe,
    seedOf: (k) => seeds[k]!,
    scan(visit) {
      held = Math.min(method.held, sources.length)
      // From the last to the first, so that the arrays end up with the first ones.
      for (let k = sources.length - 1; k >= 0; k--) {
        const target = whole(Math.min(k, held - 1))
        form(k, target, 0, rows)
        visit(k, target)
      }
    },
    blocks: (visit) =>
      visitBlocks(merge, (first, count) => visit(gather(first, count), first * columns)),
  }
  const gather = (first: number, count: number): Float32Array[] =>
    sources.map((_, k) => {
      if (k < held) return whole(k).subarray(first * columns, (first + count) * columns)
      const target = work.getArray(2 + k, Math.max(blockSize, columns)).subarray(0, count * columns)
      form(k, target, first, count)
      return target
    })
  const combine: CombineRows = method.prepare(entries)
  const out = whole(0)
  visitBlocks(merge, (first, count) =>
    combine(
      gather(first, count),
      out.subarray(first * columns, (first + count) * columns),
      columns,
    ),
  )
  return out
}

function visitBlocks(
  { rows, columns }: EntryMergeInput,
  visit: (first: number, count: number) => void,
): void {
  const step = Math.max(1, Math.floor(blockSize / columns))
  for (let first = 0; first < rows; first += step) visit(first, Math.min(step, rows - first))
}
