// The store for the files of experts in a browser's registry, by content hash. There are two
// variants: OPFS and IndexedDB. Callers hold the registry's lock while they write or remove.

/** An expert's files by their paths, with / between the parts. */
export type ExpertFiles = ReadonlyMap<string, Uint8Array>

export interface ContentStore {
  /** Shown as the location of an expert's files. */
  readonly name: string
  /** Writes these files; other files of the same content are kept. */
  write(hash: string, files: ExpertFiles): Promise<void>
  /** Empty if there is no such content. */
  read(hash: string): Promise<Map<string, Uint8Array>>
  /** Returns how many bytes were removed. */
  remove(hash: string): Promise<number>
  /** Hashes of all content, including incomplete content. */
  list(): Promise<string[]>
}

export const countFileBytes = (files: ExpertFiles): number =>
  [...files.values()].reduce((sum, { length }) => sum + length, 0)
