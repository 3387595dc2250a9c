// The table of adapter kinds. A new kind is a file and a row here.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { dora } from './dora.ts'
import { ia3 } from './ia3.ts'
import type { AdapterKind, PeftJson } from './kind.ts'
import { loha } from './loha.ts'
import { lokr } from './lokr.ts'
import { lora } from './lora.ts'
import { prefixTuning } from './prefix-tuning.ts'
import { promptTuning } from './prompt-tuning.ts'
import { olora, pissa } from './pissa-olora.ts'
import { vera } from './vera.ts'

/**
 * By name. Of kinds that share a peft_type, the one that claims its files by a key stands before
 * the one that takes the rest.
 */
export const adapterKinds: ReadonlyMap<string, AdapterKind> = new Map(
  [dora, lora, pissa, olora, ia3, lokr, loha, vera, promptTuning, prefixTuning].map((kind) => [
    kind.name,
    kind as AdapterKind,
  ]),
)

export function getKind(name: string): AdapterKind {
  const kind = adapterKinds.get(name)
  if (!kind)
    throw new OptionError(
      `There is no adapter kind "${name}". There are: ${[...adapterKinds.keys()].join(', ')}.`,
    )
  return kind
}

/** The kind that a config file belongs to; throws UnsupportedError naming its peft_type. */
export function getPeftKind(json: PeftJson, fileName: string): AdapterKind {
  const kinds = [...adapterKinds.values()]
  const kind = kinds.find(
    ({ peftType, claims }) => peftType === json['peft_type'] && (claims?.(json) ?? true),
  )
  if (kind) return kind
  const known = [...new Set(kinds.map(({ peftType }) => peftType))].join(', ')
  throw new UnsupportedError(
    `${fileName}: peft_type is ${JSON.stringify(json['peft_type'])}; supported: ${known}.`,
  )
}
