// What must happen before this process may end: a worker thread in the middle of a run of ONNX
// Runtime would turn `process.exit()` into an abort.

const guards = new Set<{ isNeeded: boolean; readonly wait: () => void }>()

const runGuards = (): void => {
  for (const { isNeeded, wait } of guards) if (isNeeded) wait()
}

export interface ExitGuard {
  isNeeded: boolean
  remove(): void
}

/** `wait` is called when the process ends while it is needed; it may only do what is synchronous. */
export function delayProcessExit(wait: () => void): ExitGuard {
  const guard = { isNeeded: true, wait, remove: (): void => void guards.delete(guard) }
  if (guards.size === 0) process.on('exit', runGuards)
  guards.add(guard)
  return Object.assign(guard, {
    remove() {
      guards.delete(guard)
      if (guards.size === 0) process.off('exit', runGuards)
    },
  })
}
