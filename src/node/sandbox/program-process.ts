// The process that runs untrusted programs, each in a fresh QuickJS runtime with bounds on memory,
// stack and time. Modules other than assert are refused. Started by program-runner.ts.

import { stripTypeScriptTypes } from 'node:module'
import type { QuickJSContext, QuickJSHandle } from 'quickjs-emscripten-core'
import type { ProcessAnswer } from '../processes/request-process.ts'
import { limitMemory } from '../processes/limit-memory.ts'
import { assertModule } from './assert-module.ts'
import type { ProgramOutcome, ProgramRequest } from './program-runner.ts'

const memoryBytes = 64 * 2 ** 20
/** Of the process. QuickJS counts the overhead of large values, but not their bytes. */
const processBytes = 512 * 2 ** 20
const stackBytes = 512 * 2 ** 10
const mostSourceBytes = 1_000_000
const mostJobs = 100_000

/**
 * Time that a program may compute. Below the runner's own bound, so that most endless programs end
 * here and the process lives on.
 */
const computeMs = 3000

const assertNames = new Set(['assert', 'node:assert', 'assert/strict', 'node:assert/strict'])

async function createQuickJs() {
  const { newQuickJSWASMModuleFromVariant } = await import('quickjs-emscripten-core')
  return newQuickJSWASMModuleFromVariant(import('@jitl/quickjs-wasmfile-release-sync'))
}

type QuickJs = Awaited<ReturnType<typeof createQuickJs>>

/** The parser of TypeScript broke, and answers nothing right from then on. */
class BrokenParserError extends Error {}

/**
 * JavaScript of a program; TypeScript that needs more than its types taken away is transformed.
 * Throws SyntaxError.
 */
function toJavaScript(source: string): string {
  try {
    return stripTypeScriptTypes(source, { mode: 'transform' })
  } catch (error) {
    if (error instanceof SyntaxError) throw error
    throw new BrokenParserError('is nested too deeply to be read', { cause: error })
  }
}

function describeThrown(context: QuickJSContext, error: QuickJSHandle): string {
  const thrown: unknown = context.dump(error)
  error.dispose()
  if (typeof thrown !== 'object' || thrown === null) return String(thrown)
  const { name = 'Error', message = '' } = thrown as { name?: unknown; message?: unknown }
  return `${String(name)}: ${String(message)}`.slice(0, 500)
}

/** Evaluates the module and its pending promises; a rejected module is a failure. */
function evaluateModule(context: QuickJSContext, code: string): string | undefined {
  const result = context.evalCode(code, 'program.js', { type: 'module' })
  if (result.error) return describeThrown(context, result.error)
  const jobs = context.runtime.executePendingJobs(mostJobs)
  if (jobs.error) {
    result.value.dispose()
    return describeThrown(context, jobs.error)
  }
  jobs.dispose()
  const state = context.getPromiseState(result.value)
  result.value.dispose()
  if (state.type === 'rejected') return describeThrown(context, state.error)
  if (state.type === 'pending') return 'waits for something that never comes'
  if (!state.notAPromise) state.value.dispose()
  return undefined
}

/** Runs one program; returns an error message where it throws or is stopped. */
export function runProgram(quickJs: QuickJs, { source, tests }: ProgramRequest): ProgramOutcome {
  if (source.length + (tests?.length ?? 0) > mostSourceBytes)
    return { error: `has more than ${mostSourceBytes} characters` }
  let code: string
  try {
    code = toJavaScript(source)
    // only after the source was found to be whole, so that its end cannot take in a test
    if (tests !== undefined) code = toJavaScript(`${source}\n;${tests}`)
  } catch (error) {
    if (error instanceof BrokenParserError) throw error
    return { error: `no valid TypeScript: ${String(error).slice(0, 300)}` }
  }
  const runtime = quickJs.newRuntime()
  try {
    runtime.setMemoryLimit(memoryBytes)
    runtime.setMaxStackSize(stackBytes)
    const deadline = performance.now() + computeMs
    let isLate = false
    runtime.setInterruptHandler(() => (isLate ||= performance.now() > deadline))
    runtime.setModuleLoader((name) =>
      assertNames.has(name)
        ? assertModule
        : { error: new Error(`the module ${JSON.stringify(name)} is not in the sandbox`) },
    )
    const context = runtime.newContext()
    try {
      const error = evaluateModule(context, code)
      if (isLate) return { error: `took longer than ${computeMs / 1000} s` }
      return error === undefined ? { passed: true } : { error }
    } finally {
      context.dispose()
    }
  } finally {
    runtime.dispose()
  }
}

const isLarge = limitMemory(processBytes)

function send(outcome: ProgramOutcome, isLast = isLarge()): void {
  process.send?.({ outcome, isLast } satisfies ProcessAnswer<ProgramOutcome>)
}

async function answer(quickJs: QuickJs, request: ProgramRequest): Promise<QuickJs> {
  try {
    send(runProgram(quickJs, request))
    return quickJs
  } catch (error) {
    if (error instanceof BrokenParserError) send({ error: error.message }, true)
    else send({ error: `broke its sandbox: ${String(error).slice(0, 300)}` })
    return createQuickJs() // after a trap, WebAssembly's memory is in an undefined state
  }
}

let quickJs = createQuickJs()
process.on('message', (request: ProgramRequest) => {
  quickJs = quickJs.then((current) => answer(current, request))
})
process.on('disconnect', () => process.exit())
await quickJs
process.send?.('ready')
