export interface LongPart {
  readonly about: string
  readonly minutes: number
  readonly files: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
  readonly /** The folder in test/ whose packages it takes. */
  readonly needs?: string
}
export declare const longestMinutes: number
export declare const longParts: Readonly<Record<string, LongPart>>
