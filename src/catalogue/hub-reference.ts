// References to repositories of the Hugging Face hub.

import { OptionError } from '../base/errors.ts'

export interface HubReference {
  /** owner/name */
  readonly repository: string
  /** Branch, tag or commit. */
  readonly revision: string
  /** One .gguf file of the repository instead of the safetensors files; a split one's any part. */
  readonly ggufPath?: string | undefined
}

/**
 * `hf:owner/name`, `hf:owner/name@revision`, `hf:owner/name/file.gguf@revision`. Throws OptionError
 * for anything else.
 */
export function parseHubReference(source: string): HubReference {
  const match = /^hf:([\w.-]+\/[\w.-]+?)(?:\/([^@]+\.gguf))?(?:@([\w./-]+))?$/.exec(source)
  if (!match)
    throw new OptionError(
      `Got ${JSON.stringify(source)}, expected hf:owner/name, hf:owner/name@revision or hf:owner/name/file.gguf@revision.`,
    )
  return { repository: match[1]!, revision: match[3] ?? 'main', ggufPath: match[2] }
}
