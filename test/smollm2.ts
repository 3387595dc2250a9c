// The real model that parity tests need, fetched through the catalogue: the same GGUF that the
// reference figures were computed from.

import type { ByteSource } from '../src/formats/byte-source.ts'
import { resolveModel } from '../src/node/models/resolve.ts'

export type Smollm2 = { readonly gguf: ByteSource } | { readonly reason: string }

/**
 * The file, or why it cannot be had; then the caller skips with that reason:
 * `context.skip(model.reason)`.
 */
export async function smollm2Q4(): Promise<Smollm2> {
  try {
    const model = await resolveModel('smollm2-135m-instruct:q4_1')
    return 'gguf' in model ? model : { reason: 'the catalogue gave a folder' }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    console.warn(`Skipped, since the model SmolLM2-135M-Instruct (98 MB) cannot be had: ${reason}`)
    return { reason }
  }
}
