// The contract of what keeps experts' files by content hash: whole or not at all, and never
// changed. A folder that all machines see, or an S3 bucket with a copy of what this machine has
// used.

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
  /**
   * The folder with these files on this machine; they are fetched where they are kept elsewhere.
   */
  open(hash: string): Promise<string>
  /** The hash of the files as they are kept: another one where bytes were changed. */
  compute(hash: string): Promise<string>
  /** Content that nobody needs: taken from its place at once, removed afterwards. */
  prepareRemoval(hash: string): ContentRemoval
  /** Hashes of all content. */
  list(): Promise<string[]>
  /** Removes what ended processes left; returns its bytes. */
  removeAbandoned(): Promise<number>
}

export interface StagedContent {
  readonly place: string
  readonly content: FolderContent
  /** Moves it to its place, or finds the same there. */
  keep(): Promise<void>
  drop(): Promise<void>
}

export interface ContentRemoval {
  /** Takes the content from its place, within a lock; a folder does it without waiting. */
  detach(): void | Promise<void>
  /** Removes it; returns its bytes. */
  finish(): Promise<number>
}
