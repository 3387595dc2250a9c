// Calls of a library one after the other, of all its sessions together: WebAssembly's sessions share
// one stack, which a second call that begins before the first has ended would overwrite, and two
// calls at once on a GPU stop a page for good.

import type { OnnxRuntime, OnnxSession } from './onnx-library.ts'

/** The end of the calls to a library. */
const lastCalls = new WeakMap<object, Promise<unknown>>()

/** Calls when all calls to this library that began before have ended. */
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
