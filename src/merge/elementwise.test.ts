import { describe, expect, it } from 'vitest'
import type { Delta } from './delta.ts'
import { mergeEntries, createWorkspace, type MergeWorkspace } from './elementwise.ts'
import { mergeMethods } from './method-table.ts'
import { completeRecipe } from './recipe.ts'
import type { EntryMethod } from './method.ts'

const rows = 700
const columns = 300
const size = rows * columns

/** A workspace that notes the length of every array it hands out. */
function watched(): { work: MergeWorkspace; held(): number } {
  const own = createWorkspace()
  const lengths = new Map<number, number>()
  return {
    work: {
      getArray(number, count) {
        const array = own.getArray(number, count)
        lengths.set(number, Math.max(lengths.get(number) ?? 0, array.length))
        return array
      },
    },
    held: () => [...lengths.values()].reduce((sum, length) => sum + length, 0),
  }
}

const methods = [...mergeMethods.values()].filter(
  (method): method is EntryMethod => method.space === 'entries',
)

describe('forming entries', () => {
  it.each(methods)(
    '$name: holds fewer than three whole ΔW, however many adapters there are',
    (method) => {
      const { work, held } = watched()
      let formed = 0
      const source: Delta['formRows'] = (target, first, count) => {
        formed += count
        for (let i = 0; i < count * columns; i++)
          target[i] = Math.sin((first * columns + i) * formed)
      }
      const sources = Array.from({ length: 6 }, () => source)
      const recipe = completeRecipe(
        { method: method.name },
        method,
        sources.map(() => []),
      )
      const merged = mergeEntries(method, { name: 'm', sources, rows, columns }, recipe, work)
      expect(merged.length).toBe(size)
      // SCE keeps one number for every entry outside of the workspace.
      expect(held() + (method.name === 'sce' ? size : 0)).toBeLessThan(3 * size)
    },
  )
})
