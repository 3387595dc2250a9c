// API keys: their creation, their stored record, and their scopes. Independent of the store and of
// HTTP.

import { OptionError } from '../../base/errors.ts'
import {
  createField,
  integer,
  listOf,
  oneOf,
  type OptionFields,
  readOptions,
} from '../../base/schema.ts'
import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { quoteName } from '../../formats/quote.ts'

/** What a key may do. `admin` includes the others. */
export const scopes = ['infer', 'feedback', 'train', 'admin'] as const
export type KeyScope = (typeof scopes)[number]

/** Limits of one key; an absent one is the server's own, or none. */
export interface KeyLimits {
  readonly requestsPerMinute?: number | undefined
  /** Tokens of prompts and answers together. */
  readonly tokensPerMinute?: number | undefined
  /** Requests that are answered at the same time. */
  readonly concurrent?: number | undefined
}

/** The stored record of a key: enough to recognise the key, not enough to use it. */
export interface ApiKeyRecord {
  readonly name: string
  /** SHA-256 of the key's text, in hexadecimal. */
  readonly hash: string
  /** The last four characters, by which the owner recognises it. */
  readonly hint: string
  readonly scopes: readonly KeyScope[]
  readonly limits: KeyLimits
  /** ISO 8601. */
  readonly createdAt: string
  readonly revokedAt?: string | undefined
}

export const limitFields = {
  requestsPerMinute: integer({ from: 1, about: 'requests per minute' }),
  tokensPerMinute: integer({ from: 1, about: 'tokens per minute, prompts and answers together' }),
  concurrent: integer({ from: 1, about: 'requests answered at the same time' }),
} satisfies OptionFields<KeyLimits>

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/

const recordFields = {
  name: createField<string>(
    'a name of 1 to 64 letters, digits, ".", "_", "@" and "-"',
    { type: 'string', pattern: namePattern.source },
    (value) => typeof value === 'string' && namePattern.test(value),
  ),
  scopes: listOf(oneOf(scopes), { least: 1, default: ['infer', 'feedback'] }),
  ...limitFields,
}

export interface NewKeyOptions extends KeyLimits {
  readonly name: string
  /** Default: infer and feedback. */
  readonly scopes?: readonly KeyScope[] | undefined
}

/** The prefix of a key's text, so that a scanner for leaked secrets can find it. */
const prefix = 'graft_'
const randomBytes = 32

/**
 * A key and its record. The text is shown once and not stored; only its SHA-256 is. A slow hash
 * (scrypt, Argon2) protects passwords, which can be guessed; 256 random bits cannot, so one SHA-256
 * is enough and costs a request no time. `random`: 32 bytes from a secure source.
 */
export function createApiKey(
  options: NewKeyOptions,
  random: Uint8Array,
  createdAt: string,
): { text: string; record: ApiKeyRecord } {
  const { name, scopes: given, ...limits } = readOptions('API key', options, recordFields)
  if (name === undefined) throw new OptionError('API key: name is missing.')
  if (random.length !== randomBytes)
    throw new OptionError(`API key: got ${random.length} random bytes, expected ${randomBytes}.`)
  const text = prefix + encodeBase64Url(random)
  const record = {
    name,
    hash: hashApiKey(text),
    hint: text.slice(-4),
    scopes: scopes.filter((scope) => given.includes(scope)),
    limits,
    createdAt,
  }
  return { text, record }
}

const encodeBase64Url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')

/** SHA-256 of a key's text, in hexadecimal. */
export const hashApiKey = (text: string): string =>
  computeSha256Sync(new TextEncoder().encode(text))

/**
 * Whether two hashes are equal, in a time that does not depend on where they differ. Both have 64
 * characters.
 */
export function isSameHash(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

/** Whether a key with these scopes may do what needs `scope`. */
export const hasScope = ({ scopes: given }: ApiKeyRecord, scope: KeyScope): boolean =>
  given.includes(scope) || given.includes('admin')

/** 'the key "ci" (…a1b2)': how a key is named in messages. */
export const describeApiKey = ({ name, hint }: ApiKeyRecord): string =>
  `the key ${quoteName(name)} (…${hint})`
