// The priority of this process.

import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'

/**
 * On Linux a priority is a thread's: threads that are made later inherit it, existing threads of
 * Node are set separately.
 */
export function setOwnPriority(priority: number): void {
  const threads = process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [0]
  for (const thread of threads) setPriority(thread, priority)
}
