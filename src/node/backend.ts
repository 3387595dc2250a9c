// ONNX Runtime for Node, with as many threads as this process may use.

import { availableParallelism, cpus } from 'node:os'
import { OptionError } from '../base/errors.ts'
import { positiveInteger } from '../base/schema.ts'
import type { Backend } from '../compute/backend.ts'
import { createOnnxRuntimeBackend, type OnnxRuntime } from '../compute/onnxruntime.ts'

export interface NodeBackendOptions {
  /** Threads of an operator. Default: GRAFT_THREADS, else what this process may use. */
  readonly threads?: number | undefined
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
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
    if (problems.length > 0) throw new OptionError(`${problems.join('; ')}.`)
    return wanted
  }
  // ONNX Runtime counts the machine's cores. In a container that may use fewer, too many threads
  // wait for each other.
  return availableParallelism() < cpus().length ? availableParallelism() : undefined
}

/** The backend that all models of this process may share. */
export async function createNodeBackend(options: NodeBackendOptions = {}): Promise<Backend> {
  const threads = resolveThreads(options)
  const runtime = (await import('onnxruntime-node')) as unknown as OnnxRuntime & {
    default?: OnnxRuntime
  }
  return createOnnxRuntimeBackend(
    runtime.default ?? runtime,
    threads === undefined ? {} : { threads },
  )
}
