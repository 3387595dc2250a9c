// Returns unreferenced buffers to the system at a moment when much is about to be allocated outside
// of JavaScript: V8 does not see that, and would keep them until it needs room itself.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/**
 * Collects garbage now if buffers come to so many bytes; takes some tens of milliseconds. Does
 * nothing if that cannot be asked.
 */
export function dropBuffers(leastBytes: number): void {
  if (process.memoryUsage().arrayBuffers < leastBytes) return
  if (!collect) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('globalThis.gc') as (() => void) | undefined
    setFlagsFromString('--no-expose-gc')
  }
  collect?.()
}
