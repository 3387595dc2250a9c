// ONNX Runtime for a page or its worker: loaded once; threads and the location of its files are set
// before the first program. It is checked with known products, because some builds compute wrong
// gradients without an error.

import { NotFoundError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { either, positiveInteger, record, string, unchecked } from '../../base/schema.ts'
import type { Backend } from '../../compute/backend.ts'
import { createOnnxRuntimeBackend, type OnnxRuntime } from '../../compute/onnxruntime.ts'
import { checkProducts } from './check-products.ts'
import { createYieldingBackend } from './yielding-backend.ts'

/** onnxruntime-web: the module of `import * as ort from 'onnxruntime-web/wasm'`. */
export type WebRuntime = OnnxRuntime & {
  readonly env?: { readonly wasm?: { numThreads?: number; wasmPaths?: unknown } }
}

export interface WebBackendOptions {
  /** Default: `onnxruntime-web/wasm`, imported when it is first needed. */
  readonly runtime?: WebRuntime | undefined
  /**
   * Threads of an operator. Default: the processor's cores, at most 8. One thread if the page is
   * not cross-origin isolated. All models of a page share them.
   */
  readonly threads?: number | undefined
  /**
   * Where ONNX Runtime's .mjs and .wasm files are: the URL of their folder, or `{ mjs, wasm }`.
   * Default: next to the module, where bundlers put them.
   */
  readonly wasmPaths?: string | Readonly<Record<string, string>> | undefined
}

export const backendFields = {
  runtime: unchecked<WebRuntime>("onnxruntime-web, as import('onnxruntime-web/wasm') gives it"),
  threads: positiveInteger,
  wasmPaths: either(string({ filled: true }), record),
}

const mostThreads = 8

/** Whether this page may use threads, which needs the two headers for cross-origin isolation. */
const canUseThreads = (): boolean => globalThis.crossOriginIsolated === true

function chooseThreads(): number {
  if (!canUseThreads()) return 1
  const cores = navigator.hardwareConcurrency ?? 1
  // With many cores, half of them are usually second hardware threads, which do not help here.
  return cores <= 4 ? cores : Math.min(mostThreads, Math.ceil(cores / 2))
}

/** Checked backends of this page, by library. */
const backends = new WeakMap<object, Promise<Backend>>()
let ownRuntime: Promise<WebRuntime> | undefined

async function importRuntime(): Promise<WebRuntime> {
  try {
    const loaded = (await import('onnxruntime-web/wasm')) as unknown as WebRuntime & {
      readonly default?: WebRuntime
    }
    return loaded.InferenceSession ? loaded : (loaded.default ?? loaded)
  } catch (cause) {
    ownRuntime = undefined
    throw new NotFoundError(
      `onnxruntime-web/wasm cannot be loaded (${describe(cause)}). Install onnxruntime-web and bundle it, name it in the page's import map, or give it: loadModel(source, { runtime }).`,
      { cause },
    )
  }
}

const describe = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!

/**
 * The backend that all models of this page share. Throws OptionError for an invalid runtime and for
 * another number of threads than is already in use, NotFoundError if its files cannot be loaded,
 * UnsupportedError if it computes wrong numbers.
 */
export async function openWebBackend({
  runtime: given,
  threads,
  wasmPaths,
}: WebBackendOptions = {}): Promise<Backend> {
  const runtime = given ?? (await (ownRuntime ??= importRuntime()))
  if (
    typeof runtime.InferenceSession?.create !== 'function' ||
    typeof runtime.Tensor !== 'function'
  )
    throw new OptionError(
      "runtime: got something else than ONNX Runtime; expected what import * as ort from 'onnxruntime-web/wasm' gives.",
    )
  const key = runtime.InferenceSession
  const known = backends.get(key)
  if (known) checkThreads(runtime, threads)
  else configure(runtime, threads ?? chooseThreads(), wasmPaths)
  const opened = known ?? openChecked(runtime)
  backends.set(key, opened)
  opened.catch(() => backends.delete(key))
  return opened
}

function configure(
  { env }: WebRuntime,
  threads: number,
  wasmPaths: WebBackendOptions['wasmPaths'],
): void {
  if (!env?.wasm) return
  env.wasm.numThreads = canUseThreads() ? threads : 1
  if (wasmPaths !== undefined) env.wasm.wasmPaths = wasmPaths
}

function checkThreads({ env }: WebRuntime, threads: number | undefined): void {
  const own = env?.wasm?.numThreads
  if (threads === undefined || !canUseThreads() || own === undefined || own === threads) return
  throw new OptionError(
    `threads: got ${threads}, and this page computes with ${own} already; all its models share them. Give the same number, or open a separate worker (openEngineWorker).`,
  )
}

async function openChecked(runtime: WebRuntime): Promise<Backend> {
  const backend = createOnnxRuntimeBackend(runtime as OnnxRuntime, { wasm: true })
  try {
    await checkProducts(backend)
  } catch (cause) {
    if (cause instanceof UnsupportedError) throw cause
    throw new NotFoundError(
      `ONNX Runtime does not start (${describe(cause)}). Its .mjs and .wasm files must be where it looks for them: serve node_modules/onnxruntime-web/dist and name that folder, loadModel(source, { wasmPaths: '/ort/' }).`,
      { cause },
    )
  }
  return createYieldingBackend(backend)
}
