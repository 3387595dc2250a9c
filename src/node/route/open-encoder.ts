// A sentence encoder by path or name, as an embedder that routers read prompts by.

import { NotFoundError } from '../../base/errors.ts'
import { openEncoder } from '../../graph/encoders/open-encoder.ts'
import type { BaseEmbedder } from '../../route/features/base-embedder.ts'
import {
  createEncoderEmbedder,
  type EncoderEmbedderOptions,
} from '../../route/features/encoder-embedder.ts'
import { createNodeBackend } from '../backend.ts'
import { resolveModel, type ResolveOptions } from '../models/resolve.ts'

export interface TextEncoderOptions extends ResolveOptions, EncoderEmbedderOptions {
  readonly threads?: number | undefined
}

/**
 * Opens a sentence encoder: a name of the catalogue ('all-minilm-l6-v2'), `hf:owner/name`, or a
 * folder in the Hugging Face layout; what is not here is fetched into the cache. Throws
 * NotFoundError, UnsupportedError for another architecture, MismatchError, FormatError.
 */
export async function openTextEncoder(
  source: string,
  { threads, terms, maxTokens, ...resolving }: TextEncoderOptions = {},
): Promise<BaseEmbedder> {
  const resolved = await resolveModel(source, resolving)
  if (!('folder' in resolved))
    throw new NotFoundError(
      `${source}: got a GGUF file, expected a sentence encoder: a folder with config.json, tokenizer.json and model.safetensors.`,
    )
  const { folder } = resolved
  const encoder = await openEncoder({ name: source, open: (path) => folder.open(path) })
  const environment = resolving.environment
  const backend = await createNodeBackend({ threads, environment })
  return createEncoderEmbedder(encoder, backend, { terms, maxTokens })
}
