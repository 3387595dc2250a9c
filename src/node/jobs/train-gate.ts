// Decides whether a trained expert may be served: compares its loss on held-out rows with that of
// the version it would replace.

import type { Difference } from '../../eval/index.ts'

/** Mean losses in nats per token on the same held-out rows. */
export interface GateReport {
  readonly name: string
  readonly rows: number
  readonly loss: number
  readonly baseLoss: number
  /** Of the version that is served under this name now. */
  readonly currentLoss: number | undefined
  /** Of the perplexity to that of the current version, or of the base; with its 95 % interval. */
  readonly difference: Difference | undefined
}

/** Why the expert must not be served; undefined if it may. */
export type TrainGate = (report: GateReport) => string | undefined | Promise<string | undefined>

/** The default: a lower loss than the version before, or than the base if there is none. */
export function checkLowerLoss(report: GateReport): string | undefined {
  const { loss, baseLoss, currentLoss, rows } = report
  const [other, name] =
    currentLoss === undefined ? [baseLoss, 'the base'] : [currentLoss, 'the version that serves']
  if (loss < other) return undefined
  return `its loss on ${rows} held-out rows is ${loss.toFixed(3)}, that of ${name} ${other.toFixed(3)}`
}
