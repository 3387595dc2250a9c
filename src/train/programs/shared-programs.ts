// One compiled program for runs that follow one another over one base: compiling takes seconds on a
// model of a hundred million weights, and the runs of several experts often differ in data alone.

import type { GradientProgram, GradientProgramOptions } from './gradient-program.ts'

export interface SharedPrograms {
  /**
   * The program that was made for these very weights and this key, or a new one in its place. Its
   * user disposes it as its own.
   */
  take(
    options: GradientProgramOptions,
    key: string,
    create: (options: GradientProgramOptions) => Promise<GradientProgram>,
  ): Promise<GradientProgram>
  dispose(): Promise<void>
}

/**
 * Keeps one program, the last: a compiled one keeps its activations' memory, so a second would cost
 * what sharing the base saves.
 */
export function createSharedPrograms(): SharedPrograms {
  let kept:
    | {
        readonly weights: GradientProgramOptions['weights']
        readonly key: string
        readonly program: GradientProgram
      }
    | undefined
  const drop = async (): Promise<void> => {
    const { program } = kept ?? {}
    kept = undefined
    await program?.dispose()
  }
  return {
    async take(options, key, create) {
      if (kept?.key !== key || kept.weights !== options.weights) {
        await drop()
        kept = { weights: options.weights, key, program: await create(options) }
      }
      return { ...kept.program, dispose: async () => undefined }
    },
    dispose: drop,
  }
}
