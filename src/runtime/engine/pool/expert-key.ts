// Keys of experts: equal keys mean equal outputs, so caches of one may serve the other. A
// registered adapter's key is the root digest of its files, or a hash of its content where it came
// from no files; any other has a random one.

import { computeSha256, toHex } from '../../../base/sha256.ts'
import { computeSha256Sync } from '../../../base/sha256-sync.ts'
import { isRecord } from '../../../base/schema.ts'
import { viewBytes } from '../../../base/tensor.ts'
import type { Adapter, Expert } from '../../../adapters/index.ts'
import { isMixture } from '../../../adapters/serving/mixture.ts'

/** JSON with the keys of objects in order, so that equal values give equal texts. */
const toCanonicalJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    isRecord(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )

/**
 * SHA-256 of kind, configuration and tensors; names, metadata and the keys of its file that change
 * no output do not count. Hashes one tensor after the other, outside the JavaScript thread.
 */
async function hashAdapter({ kind, config, tensors }: Adapter): Promise<string> {
  const { peft: _peft, ...meant } = config
  const parts: string[] = []
  for (const [key, tensor] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const hash = toHex(await computeSha256(viewBytes(tensor)))
    parts.push(toCanonicalJson([key, tensor.dtype, tensor.shape, hash]))
  }
  return hashText([kind, toCanonicalJson(meant), ...parts])
}

export const hashText = (parts: readonly string[]): string =>
  computeSha256Sync(new TextEncoder().encode(JSON.stringify(parts)))

/** Not secret, but unique: 128 random bits. */
const drawKey = (): string => `object:${toHex(crypto.getRandomValues(new Uint8Array(16)))}`

export interface ExpertKeys {
  /** The key of an expert as far as it is known, without waiting. */
  get(expert: Expert): string
  /**
   * The same after the content of its adapters was hashed; once for each adapter object. `digest`:
   * the root digest of one adapter's files, which then replaces the hash.
   */
  hash(expert: Expert, digest?: string): Promise<string>
}

/** Keys by adapter object. Its tensors must not change while it is in use. */
export function createExpertKeys(): ExpertKeys {
  const known = new WeakMap<Adapter, string>()
  const hashing = new WeakMap<Adapter, Promise<string>>()
  const hashOnce = (adapter: Adapter): Promise<string> => {
    const hash = hashing.get(adapter) ?? hashAdapter(adapter)
    hashing.set(adapter, hash)
    return hash
  }
  const getOne = (adapter: Adapter): string => {
    const key = known.get(adapter) ?? drawKey()
    known.set(adapter, key)
    return key
  }
  const get = (expert: Expert): string => {
    if (!isMixture(expert)) return getOne(expert)
    const parts = expert.mixture.map(({ adapter, weight }) => [getOne(adapter), weight])
    return hashText(['mixture', JSON.stringify(parts)])
  }
  return {
    get,
    async hash(expert, digest) {
      if (digest !== undefined && !isMixture(expert)) {
        known.set(expert, digest)
        return digest
      }
      const adapters = isMixture(expert) ? expert.mixture.map(({ adapter }) => adapter) : [expert]
      // Some platforms lack Web Crypto; there each object keeps its own key.
      if (typeof crypto.subtle !== 'undefined')
        for (const adapter of adapters) known.set(adapter, await hashOnce(adapter))
      return get(expert)
    },
  }
}
