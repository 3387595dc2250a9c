// Who answers a request, and what one for vectors says and gets.

import type { StatePooling } from '../adapters/serving/pooling.ts'

/** Who answers: an expert by `model`, or llama.cpp's scales by adapter id. */
export interface ExpertChoice {
  /** A name of the base, an expert or a mixture, with or without the base's name in front. */
  readonly model?: string | undefined
  readonly scales?: readonly AdapterScale[] | undefined
}

/** llama.cpp's `{ id, scale }`. */
export interface AdapterScale {
  readonly id: number
  readonly scale: number
}

export type PlainPrompt = string | readonly number[]

export interface EmbedRequest extends ExpertChoice {
  readonly inputs: readonly PlainPrompt[]
  /** Default: as the expert was taught to, else the mean. */
  readonly pooling?: StatePooling | undefined
  /** Refuses the base and experts that were not taught to embed. */
  readonly onlyTaught?: boolean | undefined
}

export interface EmbeddingResult {
  readonly vectors: readonly Float32Array[]
  readonly promptTokens: number
  readonly expert: string | undefined
}
