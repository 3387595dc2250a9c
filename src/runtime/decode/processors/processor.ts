// The contract of a logits processor: it changes the logits of one sequence before its next token
// is chosen. One file per processor, one row in processor-table.ts.

/** What a processor sees of its sequence. */
export interface ProcessorContext {
  /** Prompt and answer so far: one array that grows; not to be changed. */
  readonly tokens: readonly number[]
  /** How many of them are the prompt's. */
  readonly promptTokens: number
}

export interface LogitsProcessor {
  /** Changes logits [V] in place; they belong to this call. */
  apply(logits: Float32Array, context: ProcessorContext): void
}
