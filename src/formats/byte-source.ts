// Where bytes come from and go to. Platforms implement these two interfaces; readers and writers
// use nothing else of a platform.

/** Gives memory of so many bytes that may be overwritten. */
export type TakeMemory = (sizeBytes: number) => Uint8Array

/**
 * Random access to an immutable sequence of bytes: a file, a Blob, a range-fetching URL, memory.
 */
export interface ByteSource {
  /** Shown in errors: a path or a URL. */
  readonly name: string
  readonly sizeBytes: number
  /**
   * Exactly `length` bytes from `offset`; throws FormatError when they reach beyond the end. A source
   * that copies may do that into what `take` gives.
   */
  read(offset: number, length: number, take?: TakeMemory): Promise<Uint8Array>
  /** The file of another name in the same folder, or undefined if there is none. */
  openBeside?(fileName: string): Promise<ByteSource | undefined>
  close?(): Promise<void>
}

/** A folder of named byte sources: a model or adapter directory, a hub repository, an archive. */
export interface ByteFolder {
  readonly name: string
  /** The source, or undefined if there is no such file. */
  open(path: string): Promise<ByteSource | undefined>
}

/** Writes named files so that each appears whole or not at all. */
export interface ByteSink {
  readonly name: string
  /** Chunks are written in order under a temporary name, which is renamed at the end. */
  write(path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>
}
