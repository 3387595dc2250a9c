// Runs programs that a model wrote: JavaScript or TypeScript in QuickJS, which is WebAssembly with
// no network, no files and no clock to wait on, inside its own process.

import { createRequestProcess } from '../processes/request-process.ts'

export interface ProgramRequest {
  /** A module in JavaScript or TypeScript; it may import 'assert'. */
  readonly source: string
  /** Code that runs after the source, in its scope. The source must be a whole program without it. */
  readonly tests?: string | undefined
}

/** Whether the program ran to its end, or why not. */
export type ProgramOutcome = { readonly passed: true } | { readonly error: string }

export interface ProgramRunner {
  run(request: ProgramRequest): Promise<ProgramOutcome>
  dispose(): void
}

/** A runner whose process starts with the first program; one that takes longer fails. */
export const createProgramRunner = (timeoutMs = 5000): ProgramRunner =>
  createRequestProcess<ProgramRequest, ProgramOutcome>({
    file: new URL(
      import.meta.url.endsWith('.ts') ? './program-process.ts' : './program-process.js',
      import.meta.url,
    ),
    purpose: 'programs',
    timeoutMs,
    // stripping types is called experimental by Node 24; its warning would be of no use to anybody
    execArgv: ['--no-warnings'],
  })
