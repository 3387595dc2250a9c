// Which expert a request asks for, and the contract of a request for vectors.

import type { StatePooling } from '../adapters/serving/pooling.ts'

/** An expert by `model`, or llama.cpp's scales by adapter id. */
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
  /** Default: the pooling that the expert was trained with, else the mean. */
  readonly pooling?: StatePooling | undefined
  /** Refuses the base and experts that were not trained to embed. */
  readonly onlyTaught?: boolean | undefined
}

export interface EmbeddingResult {
  readonly vectors: readonly Float32Array[]
  readonly promptTokens: number
  readonly expert: string | undefined
}
