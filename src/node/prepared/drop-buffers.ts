// Returns unreferenced buffers to the system before a large allocation outside of JavaScript, which
// V8 does not see: it would keep the buffers until it needs memory itself.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/**
 * Collects garbage now if buffers have at least this many bytes; takes some tens of milliseconds.
 * Does nothing if the platform does not allow it.
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
