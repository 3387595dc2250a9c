// The vectors of experts: a factor and a shift of each output, and a factor of each input of layers
// that are alone. Programs pick a row of them for each row of a batch.

import { assertInternal } from '../../../base/errors.ts'
import { f32, type F32Tensor } from '../../../base/tensor.ts'
import type { VectorSet, VectorTerm } from './adapter-pool.ts'
import type { ModuleSource, SlotSource } from './fill-slot.ts'
import type { SlotLayout, SlotModule } from './slot-layout.ts'
import { SlotStore } from './slot-store.ts'

type VectorName = 'v' | 'shift' | 'u'

interface VectorPlace {
  readonly module: SlotModule
  readonly name: VectorName
  readonly length: number
}

const listPlaces = (layout: SlotLayout): VectorPlace[] =>
  layout.flatMap((module): VectorPlace[] => {
    const { inFeatures, outFeatures, parts } = module
    return [
      { module, name: 'v', length: outFeatures },
      { module, name: 'shift', length: outFeatures },
      ...(parts.length === 1 ? [{ module, name: 'u', length: inFeatures } as const] : []),
    ]
  })

/** Row 0 is always neutral; it is not counted as a slot. */
export class VectorSlots<Owner extends object> implements VectorSet {
  readonly #places: readonly VectorPlace[]
  readonly #store: SlotStore<Owner | 'neutral'>
  #feeds: ReadonlyMap<string, F32Tensor> | undefined

  constructor(layout: SlotLayout) {
    this.#places = listPlaces(layout)
    this.#store = new SlotStore(this.#places.map(({ length }) => length))
    this.#store.resize([undefined])
    this.#store.claim('neutral', 0)
    this.#fill(0, new Map())
  }

  get rows(): number {
    return this.#store.slots
  }
  get slots(): number {
    return this.#store.slots - 1
  }
  get owned(): number {
    return this.#store.owned - 1
  }
  get slotBytes(): number {
    return this.#store.slotBytes
  }
  /** Without the neutral row. */
  get bytes(): number {
    return this.slots * this.slotBytes
  }

  rowOf(owner: Owner): number {
    const row = this.#store.slotOf(owner)
    assertInternal(row !== undefined, 'the expert has no vectors here')
    return row
  }

  feeds(): ReadonlyMap<string, F32Tensor> {
    this.#feeds ??= new Map(
      this.#places.map(({ module, name, length }, i) => [
        `${module.name}.${name}`,
        f32([this.rows, length], this.#store.arrays[i]!),
      ]),
    )
    return this.#feeds
  }

  blend(sums: readonly (readonly VectorTerm[])[]): ReadonlyMap<string, F32Tensor> {
    return new Map(
      this.#places.map(({ module, name, length }, i) => {
        const rows = this.#store.arrays[i]!
        const made = new Float32Array(sums.length * length)
        for (const [n, terms] of sums.entries())
          addRows(
            made.subarray(n * length, (n + 1) * length),
            rows,
            terms,
            name === 'shift' ? 0 : 1,
          )
        return [`${module.name}.${name}`, f32([sums.length, length], made)]
      }),
    )
  }

  /** Fills a free row, of which there must be one. */
  place(owner: Owner, source: SlotSource): void {
    const rows = Array.from({ length: this.rows }, (_, row) => row)
    const row = rows.find((one) => this.#store.ownerAt(one) === undefined)
    assertInternal(row !== undefined, 'no row of vectors is free')
    this.#store.claim(owner, row)
    this.#fill(row, source)
  }

  vacate(owner: Owner): void {
    this.#store.vacate(owner)
  }

  /** Changes the number of slots, at least to as many as are owned. */
  resize(slots: number): void {
    const order: (Owner | 'neutral' | undefined)[] = [...this.#store.owners].sort(
      (a, b) => this.#store.slotOf(a)! - this.#store.slotOf(b)!,
    )
    while (order.length < slots + 1) order.push(undefined)
    this.#store.resize(order)
    this.#feeds = undefined
  }

  #fill(row: number, source: SlotSource): void {
    for (const [i, { module, name, length }] of this.#places.entries()) {
      const values = this.#store.arrays[i]!.subarray(row * length, (row + 1) * length)
      values.fill(name === 'shift' ? 0 : 1)
      let at = 0
      for (const { path, outFeatures } of module.parts) {
        const sources = source.get(path) ?? []
        const [first] = sources
        const given = first?.[name]
        if (given) values.set(given.data, at)
        assertInternal(sources.length < 2 || !sources.some(hasVectors), 'vectors are mixed before')
        at += outFeatures
      }
    }
  }
}

/** neutral + Σ gain·(row − neutral); one row of gain 1 is taken as it is. */
function addRows(
  target: Float32Array,
  rows: Float32Array,
  terms: readonly VectorTerm[],
  neutral: number,
): void {
  const [first] = terms
  const viewOf = ({ vector }: VectorTerm): Float32Array =>
    rows.subarray(vector * target.length, (vector + 1) * target.length)
  if (first && terms.length === 1 && first.gain === 1) return target.set(viewOf(first))
  target.fill(neutral)
  for (const term of terms) {
    const row = viewOf(term)
    for (let i = 0; i < target.length; i++) target[i]! += term.gain * (row[i]! - neutral)
  }
}

export const hasVectors = ({ u, v, shift }: ModuleSource): boolean =>
  u !== undefined || v !== undefined || shift !== undefined
