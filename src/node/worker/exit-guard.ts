// Delays the end of this process, because a worker thread in the middle of a run of ONNX Runtime
// would turn `process.exit()` into an abort.

const guards = new Set<() => void>()

const runGuards = (): void => {
  for (const wait of guards) wait()
}

/**
 * `wait` is called when the process ends; it must be synchronous. Returns a function that cancels
 * the delay.
 */
export function delayProcessExit(wait: () => void): () => void {
  if (guards.size === 0) process.on('exit', runGuards)
  guards.add(wait)
  return () => {
    guards.delete(wait)
    if (guards.size === 0) process.off('exit', runGuards)
  }
}
