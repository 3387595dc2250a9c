// Files that clients upload, such as training rows, and files that the server writes for them.
// Independent of where they are stored.

/** The purpose of a file. Clients upload the first two; the server writes the others. */
export const uploadPurposes = ['fine-tune', 'batch'] as const
export const filePurposes = [...uploadPurposes, 'fine-tune-results', 'batch_output'] as const
export type FilePurpose = (typeof filePurposes)[number]

export interface NewFile {
  /** The name that the client gave. */
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
  /** Atomic: readers see the whole file or none. */
  add(file: NewFile, content: Iterable<Uint8Array>): Promise<StoredFile>
  /** In the order in which they were added. */
  list(): Promise<readonly StoredFile[]>
  /** undefined for an id that is unknown or no id. */
  find(id: string): Promise<StoredFile | undefined>
  /** Rejects with NotFoundError. */
  read(id: string): Promise<ReadableStream<Uint8Array>>
  /** The path of its content, for a process that reads it by path. Rejects with NotFoundError. */
  locate(id: string): Promise<string>
  /** Does nothing for an unknown file. */
  delete(id: string): Promise<void>
}
