// Shares one compiled program among consecutive runs over one base: compiling takes seconds for a
// model of a hundred million weights, and the runs of several experts often differ only in data.

import type { GradientProgram, GradientProgramOptions } from './gradient-program.ts'

export interface SharedPrograms {
  /**
   * The program that was compiled for these weights and this key, or a new one that replaces it.
   * The caller disposes of it.
   */
  take(
    options: GradientProgramOptions,
    key: string,
    create: (options: GradientProgramOptions) => Promise<GradientProgram>,
  ): Promise<GradientProgram>
  dispose(): Promise<void>
}

/**
 * Keeps only the last program, because a compiled program keeps its activations' memory, and a
 * second one would cost what sharing the base saves.
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
