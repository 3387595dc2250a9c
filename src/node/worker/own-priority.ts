// The priority of this process.

import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'

/**
 * On Linux a priority is a thread's: threads that are made later inherit it, those that Node has
 * already are set one by one.
 */
export function setOwnPriority(priority: number): void {
  const threads = process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [0]
  for (const thread of threads) setPriority(thread, priority)
}
