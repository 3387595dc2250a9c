// The table of architectures. A new one is a file named after its `model_type` and a row here; the
// contract suite then runs it.

import { UnsupportedError } from '../../base/errors.ts'
import type { Architecture } from '../architecture.ts'
import { gemma3Text } from './gemma3_text.ts'
import { granite } from './granite.ts'
import { graniteHybrid } from './granitemoehybrid.ts'
import { lfm2 } from './lfm2.ts'
import { llama } from './llama.ts'
import { ministral } from './ministral.ts'
import { ministral3 } from './ministral3.ts'
import { mistral } from './mistral.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen35Text } from './qwen3_5_text.ts'
import { qwen3 } from './qwen3.ts'
import { smollm3 } from './smollm3.ts'

export const architectures: ReadonlyMap<string, Architecture> = new Map(
  [
    llama,
    mistral,
    qwen2,
    qwen3,
    gemma3Text,
    phi3,
    smollm3,
    lfm2,
    granite,
    graniteHybrid,
    ministral,
    ministral3,
    qwen35Text,
  ].map((architecture) => [architecture.modelType, architecture]),
)

/**
 * The architecture of a config.json, by its `model_type`. Throws UnsupportedError for one that is
 * not in the table.
 */
export function getArchitecture(json: Readonly<Record<string, unknown>>): Architecture {
  const type = json.model_type
  const architecture = typeof type === 'string' ? architectures.get(type) : undefined
  if (architecture) return architecture
  if (type === 'bert')
    throw new UnsupportedError(
      'config.json: "model_type" "bert" is a sentence encoder, which reads texts and writes none. It is for routers: graft route train --encoder.',
    )
  throw new UnsupportedError(
    `config.json: the architecture "model_type" ${JSON.stringify(type) ?? 'is missing and'} is not supported; supported: ${[...architectures.keys()].join(', ')}.`,
  )
}
