// What must happen before this process may end: a worker thread in the middle of a run of ONNX
// Runtime would turn `process.exit()` into an abort.

const guards = new Set<() => void>()

const runGuards = (): void => {
  for (const wait of guards) wait()
}

/**
 * `wait` is called when the process ends; it may only do what is synchronous. Returns what takes it
 * back.
 */
export function delayProcessExit(wait: () => void): () => void {
  if (guards.size === 0) process.on('exit', runGuards)
  guards.add(wait)
  return () => {
    guards.delete(wait)
    if (guards.size === 0) process.off('exit', runGuards)
  }
}
