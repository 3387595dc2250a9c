// Memory for the keys and values of running sequences and of the prefixes they share.

import type { KvMemory, KvMemoryOptions } from './kv-types.ts'

export type * from './kv-types.ts'

/** An empty memory; arrays are allocated when rows need them. */
export function createKvMemory({ blocks }: KvMemoryOptions): KvMemory {
  throw new Error(`internal: KV memory of ${blocks} blocks is not there yet`)
}
