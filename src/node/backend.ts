// ONNX Runtime for Node, with as many threads as this process may use: onnxruntime-node, or
// onnxruntime-web (WebAssembly, no install script) where that is not installed or cannot be loaded.

import { availableParallelism, cpus } from 'node:os'
import { NotFoundError, OptionError } from '../base/errors.ts'
import { joinProblems, oneOf, positiveInteger } from '../base/schema.ts'
import type { Backend } from '../compute/backend.ts'
import { createOnnxRuntimeBackend, type OnnxRuntime } from '../compute/onnxruntime.ts'

type RuntimePackage = 'onnxruntime-node' | 'onnxruntime-web'

export interface NodeBackendOptions {
  /** Threads of an operator. Default: GRAFT_THREADS, else what this process may use. */
  readonly threads?: number | undefined
  /** GRAFT_THREADS, GRAFT_BACKEND (native or wasm). Default: the process's. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Loads a package of ONNX Runtime. Default: by import. */
  readonly load?: ((name: RuntimePackage) => Promise<unknown>) | undefined
  /** Receives the line that names what is missing. Default: stderr, once per process. */
  readonly warn?: ((line: string) => void) | undefined
}

function resolveThreads({
  threads,
  environment = process.env,
}: NodeBackendOptions): number | undefined {
  const asked = environment['GRAFT_THREADS']
  const wanted = threads ?? (asked ? Number(asked) : undefined)
  if (wanted !== undefined) {
    const name = threads === undefined ? 'GRAFT_THREADS' : 'threads'
    const problems = positiveInteger.findProblems(wanted, name)
    if (problems.length > 0) throw new OptionError(`${joinProblems(problems)}`)
    return wanted
  }
  // ONNX Runtime counts the machine's cores. In a container that may use fewer, too many threads
  // wait for each other.
  return availableParallelism() < cpus().length ? availableParallelism() : undefined
}

const backendChoice = oneOf(['native', 'wasm'])

/** The requested backend; undefined: native if it can be loaded, else wasm. */
function resolveChoice({ environment = process.env }: NodeBackendOptions) {
  const asked = environment['GRAFT_BACKEND']
  if (!asked) return undefined
  if (backendChoice.is(asked)) return asked
  throw new OptionError(backendChoice.findProblems(asked, 'GRAFT_BACKEND').join('; '))
}

const loaders: Readonly<Record<RuntimePackage, () => Promise<unknown>>> = {
  'onnxruntime-node': () => import('onnxruntime-node'),
  // By this name only: in Node it is the build for the CPU. Its entry ./wasm fetches its binary by
  // a URL, which Node's fetch refuses.
  'onnxruntime-web': () => import('onnxruntime-web'),
}

type LoadedRuntime = OnnxRuntime & {
  readonly env: { readonly wasm: { numThreads?: number } }
}

async function loadRuntime(
  name: RuntimePackage,
  { load = (known) => loaders[known]() }: NodeBackendOptions,
): Promise<LoadedRuntime> {
  const loaded = (await load(name)) as LoadedRuntime & { readonly default?: LoadedRuntime }
  return loaded.default ?? loaded
}

async function createNativeBackend(options: NodeBackendOptions): Promise<Backend> {
  const threads = resolveThreads(options)
  const runtime = await loadRuntime('onnxruntime-node', options)
  return createOnnxRuntimeBackend(
    runtime,
    threads === undefined ? { wasm: false } : { threads, wasm: false },
  )
}

async function createWasmBackend(options: NodeBackendOptions): Promise<Backend> {
  const threads = resolveThreads(options) ?? availableParallelism()
  const runtime = await loadRuntime('onnxruntime-web', options)
  runtime.env.wasm.numThreads ??= threads // read when the first program of the process is compiled
  return createOnnxRuntimeBackend(runtime, { wasm: true })
}

/**
 * Puts the package's CPU binaries in place if its install script failed; changes no package.json.
 */
const advice = 'npm install --ignore-scripts'

/** Why a package could not be imported, in a few words. */
function describeFailure(name: RuntimePackage, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const isMissing = new RegExp(`cannot find (package|module) ['"]${name}['"]`, 'i').test(message)
  return isMissing
    ? `${name} is not installed`
    : `${name} cannot be loaded (${message.split('\n')[0]})`
}

let hasWarned = false
function warnOnce(line: string): void {
  if (!hasWarned) process.stderr.write(`${line}\n`)
  hasWarned = true
}

/**
 * The backend that all models of this process share: GRAFT_BACKEND, else onnxruntime-node if it can
 * be loaded, else WebAssembly with one line on stderr. Throws OptionError for a wrong GRAFT_BACKEND
 * or number of threads, NotFoundError if the requested package cannot be loaded.
 */
export async function createNodeBackend(options: NodeBackendOptions = {}): Promise<Backend> {
  const choice = resolveChoice(options)
  const { warn = warnOnce } = options
  const failures: string[] = []
  const attempt = async (name: RuntimePackage): Promise<Backend | undefined> => {
    const create = name === 'onnxruntime-node' ? createNativeBackend : createWasmBackend
    return create(options).catch((error: unknown) => {
      if (error instanceof OptionError) throw error
      failures.push(describeFailure(name, error))
      return undefined
    })
  }
  const native = choice === 'wasm' ? undefined : await attempt('onnxruntime-node')
  if (native) return native
  const wasm = choice === 'native' ? undefined : await attempt('onnxruntime-web')
  if (!wasm)
    throw new NotFoundError(
      `ONNX Runtime: ${failures.join(', ')}. Install the packages again with: ${advice}`,
    )
  if (choice === undefined)
    warn(
      `graft: ${failures.join(', ')}; models run on WebAssembly, up to 3 times slower. For the fast runtime: ${advice}. To keep this one without this line: GRAFT_BACKEND=wasm.`,
    )
  return wasm
}
