// Where a browser's registry keeps the files of experts: by content hash. Two variants: OPFS and
// IndexedDB. Callers hold the registry's lock while they write or remove.

/** An expert's files by their paths, with / between the parts. */
export type ExpertFiles = ReadonlyMap<string, Uint8Array>

export interface ContentStore {
  /** Shown as the place of an expert's files. */
  readonly name: string
  /** Writes these files; others of the same content stay. */
  write(hash: string, files: ExpertFiles): Promise<void>
  /** Empty if there is no such content. */
  read(hash: string): Promise<Map<string, Uint8Array>>
  /** Returns the bytes that it had. */
  remove(hash: string): Promise<number>
  /** Hashes of all content, also of what was half written. */
  list(): Promise<string[]>
}

export const countFileBytes = (files: ExpertFiles): number =>
  [...files.values()].reduce((sum, { length }) => sum + length, 0)
