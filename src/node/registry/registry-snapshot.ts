// The newest version of every expert as the index has them, read again only when any process has
// changed the index: reading ten thousand rows takes longer than searching them.

import { selectNewestVersions } from '../../registry/registry-rules.ts'
import { createSearchIndex, type SearchIndex } from '../../registry/search.ts'
import type { IndexedExpert } from './registry-index.ts'
import type { RegistryTables } from './registry-tables.ts'

/** Vectors that experts were added with. */
const ownVectors = ''

export class RegistrySnapshot {
  readonly #tables: RegistryTables
  #version = Number.NaN
  #newest: readonly IndexedExpert[] = []
  readonly #indexes = new Map<string, SearchIndex>()

  constructor(tables: RegistryTables) {
    this.#tables = tables
  }

  /** In the order of their names. */
  get newest(): readonly IndexedExpert[] {
    const version = this.#tables.dataVersion
    if (version !== this.#version) {
      this.#newest = selectNewestVersions(this.#tables.listAll())
      this.#indexes.clear()
      this.#version = version
    }
    return this.#newest
  }

  /** The rows of searches, with the vectors of an embedder. */
  getIndex(embedder: string = ownVectors): SearchIndex {
    const { newest } = this
    const known = this.#indexes.get(embedder)
    if (known) return known
    const index = createSearchIndex(this.#withVectors(newest, embedder))
    this.#indexes.set(embedder, index)
    return index
  }

  #withVectors(newest: readonly IndexedExpert[], embedder: string): readonly IndexedExpert[] {
    if (embedder === ownVectors) return newest
    const vectors = this.#tables.readVectors(embedder)
    return newest.map((expert) =>
      Object.assign({}, expert, { vector: vectors.get(`${expert.id}@${expert.version}`) }),
    )
  }
}
