// The contract of a store of experts' files by content hash. Content is written atomically and
// never changed. The store is a folder that all machines see, or an S3 bucket with local copies of
// what this machine has used.

export interface FolderContent {
  readonly hash: string
  readonly sizeBytes: number
}

export interface RegistryContent {
  /**
   * Copies a folder, without the checkpoints of a run, to its own place and hashes the copy,
   * because the source may change meanwhile; `prepare` may change the copy before.
   */
  stage(folder: string, prepare?: (place: string) => Promise<void>): Promise<StagedContent>
  /** The folder with these files on this machine; files that are stored elsewhere are fetched. */
  open(hash: string): Promise<string>
  /** The hash of the stored files, which differs from the name if bytes were changed. */
  compute(hash: string): Promise<string>
  /** Prepares to remove unneeded content: it is first detached, then removed. */
  prepareRemoval(hash: string): ContentRemoval
  /** Hashes of all content. */
  list(): Promise<string[]>
  /** Removes what ended processes left; returns its bytes. */
  removeAbandoned(): Promise<number>
}

export interface StagedContent {
  readonly place: string
  readonly content: FolderContent
  /** Moves it to its path, unless the same content exists there. */
  keep(): Promise<void>
  drop(): Promise<void>
}

export interface ContentRemoval {
  /** Detaches the content, within a lock; a folder does it synchronously. */
  detach(): void | Promise<void>
  /** Removes it; returns its bytes. */
  finish(): Promise<number>
}
