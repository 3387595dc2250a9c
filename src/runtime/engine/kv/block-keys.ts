// The keys under which blocks are shared: a chain of SHA-256 hashes, so that a key depends on its
// block's tokens, on everything before them, and on the weights that compute them. Independent of
// tensors.

import { assertInternal } from '../../../base/errors.ts'
import {
  addSha256Block,
  computeSha256Sync,
  createSha256State,
  formatSha256,
} from '../../../base/sha256-sync.ts'
import { BLOCK_SIZE, type KvElement } from './kv-types.ts'

/** What the keys and values of a token depend on, besides the tokens up to it. */
export interface PrefixIdentity {
  /** Hash of the base model. */
  readonly base: string
  /** Hash of the expert's contents, with its scale or its mixture's weights; '' for the base. */
  readonly expert: string
  /** Rows of different tenants never share blocks. */
  readonly tenant?: string
  /** How exactly the base computes. */
  readonly accuracy: string
  /** Tokens of a long prompt that one call computes; another size gives other rounding errors. */
  readonly pieceSize: number
  /** Element type of keys and values; default 'f32'. */
  readonly element?: KvElement
}

const WORDS = 8
const MARK_DIGITS = 16

/** What the keys of a tenant's blocks begin with, so that they can be found again; '' for none. */
export const computeTenantMark = (tenant: string): string =>
  tenant === ''
    ? ''
    : `${computeSha256Sync(new TextEncoder().encode(tenant)).slice(0, MARK_DIGITS)}-`

/** The keys of one sequence's full blocks; grows with its tokens. */
export class BlockKeyChain {
  readonly #keys: string[] = []
  readonly #mark: string
  readonly #state: Uint32Array
  readonly #pending: number[] = [] // tokens after the last full block

  constructor(identity: PrefixIdentity) {
    this.#mark = computeTenantMark(identity.tenant ?? '')
    this.#state = computeRoot(identity)
  }

  /** By block, of all blocks that are full so far. */
  get keys(): readonly string[] {
    return this.#keys
  }

  /** The sequence's next tokens. */
  append(tokens: Iterable<number>): void {
    for (const token of tokens) {
      this.#pending.push(token)
      if (this.#pending.length < BLOCK_SIZE) continue
      addTokens(this.#state, this.#pending)
      this.#keys.push(this.#mark + formatSha256(this.#state))
      this.#pending.length = 0
    }
  }
}

/** The keys of all full blocks of these tokens. */
export function computeBlockKeys(
  identity: PrefixIdentity,
  tokens: Iterable<number>,
): readonly string[] {
  const chain = new BlockKeyChain(identity)
  chain.append(tokens)
  return chain.keys
}

/** JSON keeps the fields apart: no two identities have the same text. */
function computeRoot(identity: PrefixIdentity): Uint32Array {
  const { base, expert, tenant = null, accuracy, pieceSize, element = 'f32' } = identity
  const text = JSON.stringify([base, expert, tenant, accuracy, pieceSize, element])
  const hash = computeSha256Sync(new TextEncoder().encode(text))
  return Uint32Array.from({ length: WORDS }, (_, i) =>
    Number.parseInt(hash.slice(8 * i, 8 * i + 8), 16),
  )
}

const words = new Int32Array(64)

/**
 * state = SHA-256(state ‖ 16 tokens of 32 bits): 96 bytes, two blocks of SHA-256 with the padding.
 */
function addTokens(state: Uint32Array, tokens: readonly number[]): void {
  assertInternal(tokens.length === BLOCK_SIZE, `a key is of 16 tokens, got ${tokens.length}`)
  for (let i = 0; i < WORDS; i++) {
    words[i] = state[i]!
    words[WORDS + i] = tokens[i]!
  }
  state.set(createSha256State())
  addSha256Block(state, words)
  for (let i = 0; i < WORDS; i++) words[i] = tokens[WORDS + i]!
  words.fill(0, WORDS, 16)
  words[WORDS] = 0x80000000 | 0
  words[15] = 96 * 8
  addSha256Block(state, words)
}
