// A page's side of worker.ts.

import { createCaller, type Caller } from './calls.ts'
import type { GraftCalls } from './protocol.ts'

export interface Graft {
  /** Asks the worker: `call('answer', { prompt, expert }, { onEvent, signal })`. */
  readonly call: Caller<GraftCalls>
  /** Ends the worker; stored data is kept. */
  close(): void
}

/** Starts the worker; the model comes with `call('open', { source })`. */
export function openGraft(): Graft {
  // Vite and webpack find the worker by exactly this form.
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
  return { call: createCaller<GraftCalls>(worker), close: () => worker.terminate() }
}
