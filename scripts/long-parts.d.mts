export interface LongPart {
  readonly about: string
  readonly minutes: number
  readonly files: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
  readonly needsClients?: boolean
}
export declare const longestMinutes: number
export declare const longParts: Readonly<Record<string, LongPart>>
