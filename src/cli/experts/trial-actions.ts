// The actions of graft experts that try a new version: shadow, trials, promote, rollback.

import type { Trial } from '../../route/trials/trial.ts'
import type { TrialPlaces } from '../../node/registry/trials/conclude-trial.ts'
import { formatTable } from '../ui/table.ts'
import type { ActionContext, Actions } from './action.ts'

/** Opens the registry's trials and closes them, whatever happens between. */
async function withTrials<Result>(
  { registry }: Pick<ActionContext, 'registry'>,
  work: (places: TrialPlaces) => Promise<Result>,
): Promise<Result> {
  const { openTrials } = await import('../../node/registry/trials/open-trials.ts')
  const opened = await openTrials(registry.location)
  try {
    return await work({ registry, opened })
  } finally {
    await opened.close()
  }
}

const loadConclusions = () => import('../../node/registry/trials/conclude-trial.ts')
const loadChecks = () => import('../../node/improve/check-trial.ts')

export const trialActions: Actions = {
  shadow: {
    usage: '<name@version>',
    about: 'starts a trial: the version answers a share of the requests',
    words: [1, 1],
    options: ['share', 'votes', 'canaries', 'model'],
    run: ([reference], context) =>
      withTrials(context, (places) => startShadow(reference!, places, context)),
  },
  trials: {
    usage: '[name]',
    about: 'trials, running and ended, with votes',
    words: [0, 1],
    options: [],
    run: ([id], context) => withTrials(context, (places) => listTrials(id, places, context)),
  },
  promote: {
    usage: '<name>',
    about: 'releases the version under trial if votes call it better',
    words: [1, 1],
    options: ['force', 'model'],
    run: ([id], context) => withTrials(context, (places) => promoteTried(id!, places, context)),
  },
  rollback: {
    usage: '<name>',
    about: 'ends the trial, or reverts the last promotion',
    words: [1, 1],
    options: [],
    run: ([id], { registry, terminal }) =>
      withTrials({ registry }, async (places) => {
        const { findLastTrial, rollBack } = await loadConclusions()
        const ended = await rollBack(await findLastTrial(id!, places), places, 'By hand.')
        const { candidate, incumbent, released } = ended
        terminal.print(
          released === undefined || released === candidate
            ? `${id}@${candidate} is no longer tried; ${id}@${incumbent} answers`
            : `${id}@${released} answers, with the files of ${id}@${incumbent}`,
        )
        return ended
      }),
  },
}

async function startShadow(
  reference: string,
  places: TrialPlaces,
  { values, terminal }: ActionContext,
): Promise<Trial> {
  const { startTrial, findIncumbent } = await loadConclusions()
  const { share, votes: leastVoters, model } = values
  const canaries = await resolveCanaries(values.canaries)
  if (canaries !== undefined) {
    const { measureTrial } = await loadChecks()
    const { id, version: candidate } = await places.registry.resolve(reference)
    const incumbent = (await findIncumbent(places.registry, id)).version
    const report = await measureTrial({ id, candidate, incumbent }, canaries, places, model)
    const { describeCanaries } = await import('../../node/improve/measure-canaries.ts')
    const line = describeCanaries(report)
    const { ConflictError } = await import('../../base/errors.ts')
    if (!report.isKept) throw new ConflictError(`${reference} is not tried: ${line}.`)
    terminal.print(line)
  }
  const trial = await startTrial(reference, places, { share, leastVoters, canaries })
  terminal.print(
    `${trial.id}@${trial.candidate} answers ${100 * trial.share} % of requests beside ${trial.id}@${trial.incumbent}`,
  )
  terminal.print(`graft experts promote ${trial.id} releases it once votes call it better`)
  return trial
}

async function resolveCanaries(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : (await import('node:path')).resolve(path)
}

async function promoteTried(
  id: string,
  places: TrialPlaces,
  { values, terminal }: ActionContext,
): Promise<Trial> {
  const { getRunningTrial, promoteCandidate } = await loadConclusions()
  const { checkTrial, describeVotes, requirePromotable } = await loadChecks()
  const trial = await getRunningTrial(id, places)
  const report = await checkTrial(trial, places, values.model)
  if (!values.force) requirePromotable(trial, report)
  const reason = values.force ? 'By hand.' : `Votes: ${describeVotes(report)}.`
  const promoted = await promoteCandidate(trial, places, reason)
  terminal.print(`${id}@${promoted.released} is released and stable`)
  terminal.print(describeVotes(report))
  return promoted
}

async function listTrials(
  id: string | undefined,
  places: TrialPlaces,
  { terminal }: ActionContext,
): Promise<readonly object[]> {
  const { judgeVotes } = await import('../../route/trials/judge-votes.ts')
  const { describeVotes } = await loadChecks()
  const trials = await places.opened.trials.list(id)
  const rows: { trial: Trial; votes: string }[] = []
  for (const trial of trials) {
    const judgement = judgeVotes(await places.opened.trials.listVotes(trial.number), trial)
    rows.push({ trial, votes: describeVotes(judgement) })
  }
  const lines = rows.map(({ trial, votes }) => [
    `${trial.id}@${trial.candidate}`,
    `beside ${trial.incumbent}`,
    trial.state,
    trial.reason ?? votes,
  ])
  for (const line of formatTable(lines)) terminal.print(line)
  if (rows.length === 0) terminal.print('No version was tried yet.')
  return rows.map(({ trial, votes }) => Object.assign({ votes }, trial))
}
