// Files that clients upload, such as rows to learn from, and files that the server makes for them.
// Independent of where they are kept.

/** What a file is for. Clients upload the first two; the others are made by the server. */
export const uploadPurposes = ['fine-tune', 'batch'] as const
export const filePurposes = [...uploadPurposes, 'fine-tune-results', 'batch_output'] as const
export type FilePurpose = (typeof filePurposes)[number]

export interface NewFile {
  /** As the client calls it. */
  readonly name: string
  readonly purpose: FilePurpose
  /** The name of the key that may use it; '': of requests without a key. */
  readonly owner: string
  /** Seconds since 1970. */
  readonly createdAt: number
  readonly expiresAt?: number | undefined
}

export interface StoredFile extends NewFile {
  /** `file-` and 32 hexadecimal digits. */
  readonly id: string
  readonly sizeBytes: number
}

/** Calls reject with StorageError where the store fails; nothing has changed then. */
export interface FileStore {
  /** The file appears whole or not at all. */
  add(file: NewFile, content: Iterable<Uint8Array>): Promise<StoredFile>
  /** In the order in which they were added. */
  list(): Promise<readonly StoredFile[]>
  /** undefined for an id that is unknown or no id. */
  find(id: string): Promise<StoredFile | undefined>
  /** Rejects with NotFoundError. */
  read(id: string): Promise<ReadableStream<Uint8Array>>
  /** Where its content lies, for a process that reads it by path. Rejects with NotFoundError. */
  locate(id: string): Promise<string>
  /** Nothing happens where there is none. */
  delete(id: string): Promise<void>
}
