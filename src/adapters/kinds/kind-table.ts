// The table of adapter kinds. A new kind is a file and a row here.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import type { ValueOf } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { dora } from './dora.ts'
import { ia3 } from './ia3.ts'
import type { AdapterKind, PeftJson } from './kind.ts'
import { loha } from './loha.ts'
import { createJointKind } from './joint/joint-kind.ts'
import { jointMark } from './joint/joint-rules.ts'
import { lokr } from './lokr.ts'
import { lora } from './lora.ts'
import { prefixTuning } from './prefix-tuning.ts'
import { promptTuning } from './prompt-tuning.ts'
import { olora, pissa } from './pissa-olora.ts'
import { trainableTokens } from './trainable-tokens.ts'
import { vera } from './vera.ts'

/**
 * Among kinds that share a peft_type, those that recognise their files by a key come before the
 * default one.
 */
const rows = {
  dora,
  lora,
  pissa,
  olora,
  ia3,
  lokr,
  loha,
  vera,
  'prompt-tuning': promptTuning,
  'prefix-tuning': prefixTuning,
  'trainable-tokens': trainableTokens,
} as const

/** 'lora', 'dora', … */
export type AdapterKindName = keyof typeof rows

/** What a user may set for a kind: `{ rank: 16, targets: 'all-linear' }` for 'lora'. */
export type AdapterOptions<Kind extends AdapterKindName> = Kind extends AdapterKindName
  ? OptionsOf<(typeof rows)[Kind]['options']>
  : never

/** For kinds that act together: options of any of them, and options of one kind under its name. */
export type JointOptions<Kind extends AdapterKindName> = Partial<
  UnionToIntersection<AdapterOptions<Kind>>
> & { readonly [Name in Kind]?: AdapterOptions<Name> }

type UnionToIntersection<Union> = (Union extends unknown ? (given: Union) => void : never) extends (
  given: infer Both,
) => void
  ? Both
  : never

type OptionsOf<Fields> = { readonly [Name in keyof Fields]?: ValueOf<Fields[Name]> | undefined }

/** By name. */
export const adapterKinds: ReadonlyMap<string, AdapterKind> = new Map(
  Object.values(rows).map((kind) => [kind.name, kind as unknown as AdapterKind]),
)

const jointKinds = new Map<string, AdapterKind>()

/**
 * The name of one kind, or of several that act together: ['ia3', 'prompt-tuning'] and
 * 'ia3+prompt-tuning'.
 */
export const toKindName = (kind: string | readonly string[]): string =>
  Array.isArray(kind) ? kind.join(jointMark) : String(kind)

/**
 * The kind of a name; several names with + between them are kinds that act together. Throws
 * OptionError for an unknown name, with the name that was probably meant, and UnsupportedError for
 * kinds that cannot act together.
 */
export function getKind(name: string): AdapterKind {
  const kind = adapterKinds.get(name) ?? jointKinds.get(name)
  if (kind) return kind
  if (typeof name === 'string' && name.includes(jointMark)) {
    const named = name.split(jointMark).map((part) => getKind(part.trim()))
    const joint = createJointKind(named) as unknown as AdapterKind
    jointKinds.set(name, joint)
    return joint
  }
  const names = [...adapterKinds.keys()]
  const meant = typeof name === 'string' ? findNearestName(name, names) : undefined
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  throw new OptionError(
    `There is no adapter kind "${name}". There are: ${names.join(', ')}.${hint}`,
  )
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
