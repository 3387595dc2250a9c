// Serialises the calls to a library over all its sessions. WebAssembly's sessions share one stack,
// which a second concurrent call would overwrite; two concurrent calls on a GPU hang a page.

import type { OnnxRuntime, OnnxSession } from './onnx-library.ts'

/** By library, a promise of the end of the last call. */
const lastCalls = new WeakMap<object, Promise<unknown>>()

/** Makes the call once all earlier calls to this library have ended. */
export function callInTurn<Result>(
  { InferenceSession }: OnnxRuntime,
  call: () => Promise<Result>,
): Promise<Result> {
  const before = lastCalls.get(InferenceSession) ?? Promise.resolve()
  const result = before.then(call)
  lastCalls.set(
    InferenceSession,
    result.catch(() => undefined),
  )
  return result
}

/** A session that is opened, run and released in turn. */
export async function openInTurn(
  runtime: OnnxRuntime,
  open: () => Promise<OnnxSession>,
): Promise<OnnxSession> {
  const session = await callInTurn(runtime, open)
  return {
    run: (feeds, outputs) => callInTurn(runtime, () => session.run(feeds, outputs)),
    release: () => callInTurn(runtime, () => session.release()),
  }
}
