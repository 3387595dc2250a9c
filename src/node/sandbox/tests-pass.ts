// Tests pass: the answer is code that passes the row's tests, run in a sandbox. Functional
// correctness as Chen et al. 2021, arXiv:2107.03374, and Athiwaratkun et al. 2023, arXiv:2210.14868
// (MXEval), measure it, with one sample a row.

import { type Metric, scoreBinary } from '../../eval/metric.ts'
import { createProgramRunner, type ProgramRequest } from './program-runner.ts'

/** The code of an answer: its first Markdown fence, else all of it. */
export const extractCode = (answer: string): string =>
  /```[a-z]*[ \t]*\n([^]*?)(?:```|$)/i.exec(answer)?.[1] ?? answer

const readText = (value: unknown): string => (typeof value === 'string' ? value : '')

/** What is run: the row's `before` (a function's head, say) and the answer's code; its `test`. */
export const buildProgram = (
  row: Readonly<Record<string, unknown>>,
  answer: string,
): ProgramRequest => ({
  source: `${readText(row['before'])}${extractCode(answer)}`,
  tests: readText(row['test']),
})

/**
 * A metric that keeps one process for all its programs; dispose ends it. `timeoutMs`: of one
 * program.
 */
export function createTestsPass(timeoutMs?: number): Metric {
  const runner = createProgramRunner(timeoutMs)
  return {
    name: 'tests-pass',
    about: "the answer is JavaScript or TypeScript that passes the row's tests in a sandbox",
    needs: 'answers',
    kind: 'share',
    better: 'higher',
    findProblem({ row }) {
      return readText(row['test']).trim() === ''
        ? 'the row has no "test": code that throws where the answer is wrong, such as assert.deepEqual(add(1, 2), 3)'
        : undefined
    },
    async score({ row, answer }) {
      const outcome = await runner.run(buildProgram(row, answer))
      return scoreBinary('passed' in outcome)
    },
    dispose: () => runner.dispose(),
  }
}
