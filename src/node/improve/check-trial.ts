// The state of a trial: evaluates its votes and measures its canaries.

import { resolve } from 'node:path'
import { ConflictError } from '../../base/errors.ts'
import { judgeVotes, type TrialJudgement } from '../../route/trials/judge-votes.ts'
import type { Trial } from '../../route/trials/trial.ts'
import { loadAdapter } from '../adapters.ts'
import { loadModel, type LoadedModel } from '../model.ts'
import type { TrialPlaces } from '../registry/trials/conclude-trial.ts'
import { type CanaryReport, measureCanaries } from './measure-canaries.ts'

export interface TrialReport extends TrialJudgement {
  readonly canaries?: CanaryReport | undefined
}

/** `model`: by default the base that the candidate names is loaded if there are canaries. */
export async function checkTrial(
  trial: Trial,
  places: TrialPlaces,
  model: LoadedModel | string | undefined,
): Promise<TrialReport> {
  const judgement = judgeVotes(await places.opened.trials.listVotes(trial.number), trial)
  if (trial.canaries === undefined) return judgement
  return { ...judgement, canaries: await measureTrial(trial, trial.canaries, places, model) }
}

/** The rows that a trial watches, on its two versions. */
export async function measureTrial(
  {
    id,
    candidate,
    incumbent,
    released,
  }: Pick<Trial, 'id' | 'candidate' | 'incumbent' | 'released'>,
  canaries: string,
  { registry }: Pick<TrialPlaces, 'registry'>,
  given: LoadedModel | string | undefined,
): Promise<CanaryReport> {
  const after = await registry.resolve(`${id}@${released ?? candidate}`)
  const before = await registry.resolve(`${id}@${incumbent}`)
  const isOpen = typeof given === 'object'
  const model = isOpen ? given : await loadModel(given ?? after.manifest.base.id ?? id)
  try {
    return await measureCanaries(resolve(canaries), model, {
      before: await loadAdapter(before.location, { model }),
      after: await loadAdapter(after.location, { model }),
    })
  } finally {
    if (!isOpen) await model.dispose()
  }
}

/** One line about votes. */
export function describeVotes({ candidate, incumbent, look, nextLook }: TrialJudgement): string {
  const show = ({ score, voters }: TrialJudgement['candidate']): string =>
    voters === 0 ? 'no votes' : `${score.toFixed(3)} by ${voters} users`
  const sides = `${show(candidate)} against ${show(incumbent)}`
  if (!look) return `${sides}; a first decision takes ${nextLook} users on each side`
  const { difference, low, high, level } = look
  const interval = `${difference.toFixed(3)}, ${(100 * level).toFixed(1)} % interval ${low.toFixed(3)} to ${high.toFixed(3)}`
  return `${sides}: difference ${interval} at ${look.voters} users; next look at ${nextLook}`
}

/** Throws ConflictError if neither votes nor canaries support a promotion. */
export function requirePromotable({ id, candidate }: Trial, report: TrialReport): void {
  const { verdict, canaries } = report
  const name = `${id}@${candidate}`
  if (canaries && !canaries.isKept)
    throw new ConflictError(
      `${name} is not promoted: the loss on ${canaries.rows} canaries rose from ${canaries.before.toFixed(3)} to ${canaries.after.toFixed(3)} nats per token. Roll it back: graft experts rollback ${id}`,
    )
  if (verdict !== 'better')
    throw new ConflictError(
      `${name} is not promoted: ${verdict === 'worse' ? 'it is worse' : report.look ? 'no difference beyond the interval yet' : 'too few votes'} (${describeVotes(report)}).`,
    )
}
