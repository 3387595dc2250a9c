// Whether a trained expert may serve: its loss on rows that it did not learn from, beside that of
// what it would replace.

import type { Difference } from '../../eval/index.ts'

/** Mean losses in nats per token on the same held-out rows. */
export interface GateReport {
  readonly name: string
  readonly rows: number
  readonly loss: number
  readonly baseLoss: number
  /** Of the version that serves under this name now. */
  readonly currentLoss: number | undefined
  /** Of the perplexity to that of the current version, or of the base; with its 95 % interval. */
  readonly difference: Difference | undefined
}

/** Why the expert must not serve; undefined where it may. */
export type TrainGate = (report: GateReport) => string | undefined | Promise<string | undefined>

/** The default: a lower loss than the version before, or than the base where there is none. */
export function checkLowerLoss(report: GateReport): string | undefined {
  const { loss, baseLoss, currentLoss, rows } = report
  const [other, name] =
    currentLoss === undefined ? [baseLoss, 'the base'] : [currentLoss, 'the version that serves']
  if (loss < other) return undefined
  return `its loss on ${rows} held-out rows is ${loss.toFixed(3)}, that of ${name} ${other.toFixed(3)}`
}
