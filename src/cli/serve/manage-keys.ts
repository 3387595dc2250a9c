// Adds, lists and revokes the keys of servers that use a state folder; a running server sees it at
// its next request.

import { oneOf } from '../../base/schema.ts'
import {
  type ApiKeyRecord,
  type KeyLimits,
  type KeyScope,
  scopes,
} from '../../server/keys/api-key.ts'
import { KeyRing } from '../../server/keys/key-ring.ts'
import { checkValue, UsageError } from '../command.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface KeyCommandValues extends KeyLimits {
  readonly scopes: readonly string[] | undefined
  readonly state: string | undefined
}

const actions = ['add', 'list', 'revoke'] as const

/** `graft serve keys <action> [name]`. */
export async function runKeyAction(
  [action, name]: readonly string[],
  values: KeyCommandValues,
  terminal: Terminal,
): Promise<unknown> {
  checkValue(oneOf(actions), action, 'graft serve keys')
  if ((action === 'list') !== (name === undefined))
    throw new UsageError(
      action === 'list'
        ? 'graft serve keys list takes no name.'
        : `graft serve keys ${action} needs the name of a key.`,
    )
  const { getStateDirectory, openState } = await import('../../node/serve/state/open-state.ts')
  const state = await openState(values.state ?? getStateDirectory())
  const random = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count))
  const ring = new KeyRing({ store: state.keys, random, now: Date.now })
  try {
    if (action === 'add') return await addKey(ring, name!, values, terminal)
    if (action === 'revoke') return await revokeKey(ring, name!, terminal)
    return await listKeys(ring, terminal)
  } finally {
    await state.close()
  }
}

async function addKey(
  ring: KeyRing,
  name: string,
  values: KeyCommandValues,
  { print, style }: Terminal,
): Promise<unknown> {
  const { requestsPerMinute, tokensPerMinute, concurrent } = values
  const given = readScopes(values.scopes)
  const { text, record } = await ring.add({
    name,
    scopes: given,
    requestsPerMinute,
    tokensPerMinute,
    concurrent,
  })
  print(style.strong(text))
  print(`This is shown once. ${JSON.stringify(name)} may: ${record.scopes.join(', ')}.`)
  return Object.assign({ key: text }, describeKey(record))
}

/** 'infer,feedback', also several times. */
function readScopes(given: readonly string[] | undefined): readonly KeyScope[] | undefined {
  const words = given?.flatMap((text) => text.split(',')).map((word) => word.trim())
  for (const word of words ?? []) checkValue(oneOf(scopes), word, '--scopes')
  return words as readonly KeyScope[] | undefined
}

async function revokeKey(ring: KeyRing, name: string, { print }: Terminal): Promise<unknown> {
  const record = await ring.revoke(name)
  print(`${JSON.stringify(name)} is revoked.`)
  return describeKey(record)
}

async function listKeys(ring: KeyRing, { print }: Terminal): Promise<unknown> {
  const records = await ring.list()
  const rows = records.map((record) => [
    record.name,
    `…${record.hint}`,
    record.scopes.join(','),
    describeLimits(record.limits),
    record.revokedAt === undefined
      ? `made ${record.createdAt.slice(0, 10)}`
      : `revoked ${record.revokedAt.slice(0, 10)}`,
  ])
  for (const line of formatTable(rows)) print(line)
  if (rows.length === 0) print('There is no key yet; graft serve keys add <name> makes one.')
  return records.map(describeKey)
}

const describeLimits = ({ requestsPerMinute, tokensPerMinute, concurrent }: KeyLimits): string =>
  [
    requestsPerMinute && `${requestsPerMinute} requests/min`,
    tokensPerMinute && `${tokensPerMinute} tokens/min`,
    concurrent && `${concurrent} at a time`,
  ]
    .filter(Boolean)
    .join(', ') || 'no own limits'

/** A record without its hash. */
const describeKey = (record: ApiKeyRecord): Omit<ApiKeyRecord, 'hash'> =>
  Object.fromEntries(Object.entries(record).filter(([name]) => name !== 'hash')) as never
