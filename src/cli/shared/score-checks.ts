// --require and --junit of graft eval: bounds on figures, printed line by line and written as a
// report.

import { OptionError } from '../../base/errors.ts'
import {
  checkRequirements,
  type CheckedRequirement,
  describeCheck,
  type Evaluation,
  formatJUnit,
  type Metric,
  parseRequirements,
  type ScoreRequirement,
} from '../../eval/index.ts'
import { UsageError } from '../command.ts'
import type { Terminal } from '../ui/terminal.ts'

interface CheckValues {
  readonly data: string
  readonly require: string | undefined
  readonly junit: string | undefined
}

export interface RequiredScores {
  readonly requirements: readonly ScoreRequirement[]
  readonly metrics: readonly Metric[]
}

/** What --require asks for; undefined without it. Throws UsageError. */
export function readRequirements(
  { require: text, junit }: CheckValues,
  all: ReadonlyMap<string, Metric>,
): RequiredScores | undefined {
  if (text === undefined) {
    if (junit === undefined) return undefined
    throw new UsageError(
      '--junit writes the result of --require; add --require "exact-match>=0.8".',
    )
  }
  try {
    const requirements = parseRequirements(text, all.keys())
    return { requirements, metrics: requirements.map(({ metric }) => all.get(metric)!) }
  } catch (error) {
    if (error instanceof OptionError) throw new UsageError(`--${error.message}`, { cause: error })
    throw error
  }
}

/** Prints which figures reach their bounds, and writes the report; undefined without --require. */
export async function reportChecks(
  evaluation: Evaluation,
  required: RequiredScores | undefined,
  { data, junit }: CheckValues,
  seconds: number,
  terminal: Terminal,
): Promise<CheckedRequirement[] | undefined> {
  if (!required) return undefined
  const checks = checkRequirements(evaluation, required.requirements)
  for (const check of checks)
    terminal.print(`${check.met ? 'met' : 'missed'}: ${describeCheck(check)}`)
  if (junit !== undefined) {
    const [{ createFileSink }, { basename, dirname }] = await Promise.all([
      import('../../node/files/file-sink.ts'),
      import('node:path'),
    ])
    const report = new TextEncoder().encode(formatJUnit(`graft eval ${data}`, checks, seconds))
    await createFileSink(dirname(junit)).write(basename(junit), [report])
  }
  return checks
}
