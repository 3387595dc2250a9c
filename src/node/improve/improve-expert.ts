// One step of the loop from feedback to a better expert. First it withdraws what users asked to be
// forgotten; then it judges a running trial; otherwise it trains, judges and tries a new version.
// Each call, by hand or by a timer, continues where the last one ended.

import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import semver from 'semver'
import { ConflictError, NotFoundError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import type { UserStore } from '../../learn/store/user-store.ts'
import type { RegisteredExpert } from '../../registry/registry.ts'
import { createExpertKeys } from '../../runtime/engine/pool/expert-key.ts'
import type { Trial } from '../../route/trials/trial.ts'
import type { TrainEvent } from '../../train/events.ts'
import { loadAdapter } from '../adapters.ts'
import { withLockOrError } from '../files/lock.ts'
import { loadModel, type LoadedModel } from '../model.ts'
import {
  findIncumbent,
  promoteCandidate,
  rollBack,
  startTrial,
  type TrialPlaces,
} from '../registry/trials/conclude-trial.ts'
import {
  type WithdrawnVersion,
  withdrawVersions,
} from '../registry/trials/withdraw-improvements.ts'
import { checkTrial, describeVotes, measureTrial, type TrialReport } from './check-trial.ts'
import { collectTurns, type UserTurns } from './collect-turns.ts'
import {
  buildFeedbackRows,
  countNewTurns,
  createForgottenTest,
  type FeedbackRows,
} from './feedback-rows.ts'
import { feedbackLosses, improveFields, type ImproveSettings } from './improve-options.ts'
import { type CandidateReport, trainCandidate } from './train-candidate.ts'

export interface ImproveOptions extends Partial<ImproveSettings> {
  /** The base. Default: the one that the expert names. */
  readonly model?: string | undefined
  readonly command?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
}

/**
 * 'shadowed': a new version is tried; 'refused': one was trained and is not better; 'waiting': for
 * votes, or for more turns.
 */
export interface ImproveReport {
  readonly action: 'shadowed' | 'refused' | 'promoted' | 'rolled-back' | 'waiting'
  /** One line. */
  readonly summary: string
  /** Versions that were withdrawn, because what they learned from must be forgotten. */
  readonly withdrawn: readonly WithdrawnVersion[]
  readonly trial?: Trial | undefined
  readonly votes?: TrialReport | undefined
  readonly candidate?: CandidateReport | undefined
}

export interface ImprovePlaces extends TrialPlaces {
  readonly store: UserStore
}

interface Run {
  readonly id: string
  readonly places: ImprovePlaces
  readonly settings: ImproveSettings
  readonly model: LoadedModel
  readonly options: ImproveOptions
}

/** Throws ConflictError if another process is improving the expert. */
export async function improveExpert(
  id: string,
  places: ImprovePlaces,
  options: ImproveOptions = {},
): Promise<ImproveReport> {
  const { model: source, command, signal, onEvent, ...given } = options
  const settings = readOptions('Options of an improvement', given, improveFields)
  const lock = join(places.registry.location, 'improving', `${id}.lock`)
  const refuse = (holder: string): Error =>
    new ConflictError(`${id} is already being improved by process ${holder}.`)
  const { manifest } = await findIncumbent(places.registry, id)
  return withLockOrError(lock, refuse, async () => {
    const model = await loadModel(source ?? manifest.base.id ?? id)
    try {
      return await improveNow({
        id,
        places,
        settings,
        model,
        options: { command, signal, onEvent },
      })
    } finally {
      await model.dispose()
    }
  })
}

/** The folder in which the next version of an expert is trained. */
const toTrainingPlace = ({ location }: ImprovePlaces['registry'], id: string): string =>
  join(location, 'improving', `${id}.expert`)

async function improveNow(run: Run): Promise<ImproveReport> {
  const { id, places } = run
  // the remains of a killed call
  await rm(toTrainingPlace(places.registry, id), { recursive: true, force: true })
  const histories = await collectHistories(run)
  const { hideUser } = places.opened.improvements
  const isForgotten = createForgottenTest(histories, hideUser)
  const withdrawn = await withdrawVersions(
    id,
    (source, { store }) => store === places.store.name && isForgotten(source),
    places,
    'It had learned from turns that users asked to be forgotten.',
  )
  const report =
    (await concludeTrial(run)) ?? (await resumeTrial(run)) ?? (await trainNext(run, histories))
  return { withdrawn, ...report }
}

/** Turns with any version of the expert, including versions that are gone from the registry. */
async function collectHistories({ id, places, model }: Run): Promise<UserTurns[]> {
  const { registry, store, opened } = places
  const keys = createExpertKeys()
  const experts = new Set<string>()
  for (const { version } of await registry.list(id)) {
    const { location } = await registry.resolve(`${id}@${version}`)
    experts.add(await keys.hash(await loadAdapter(location, { model })))
  }
  for (const { version } of await opened.improvements.list(id))
    for (const { expert } of await opened.improvements.listSources(id, version)) experts.add(expert)
  return collectTurns(store, { base: await model.base.identity(), experts })
}

type Outcome = Omit<ImproveReport, 'withdrawn'>

/** The outcome of the last trial; undefined if there is nothing to report. */
async function concludeTrial({ id, places, settings, model }: Run): Promise<Outcome | undefined> {
  const last = (await places.opened.trials.list(id)).at(-1)
  if (!last || last.state === 'rolled-back') return undefined
  const watched = settings.canaries === undefined ? last.canaries : resolve(settings.canaries)
  if (last.state === 'promoted') {
    if (watched === undefined) return undefined
    const canaries = await measureTrial(last, watched, places, model)
    if (canaries.isKept) return undefined
    const reason = `Canaries fell: ${canaries.before.toFixed(3)} to ${canaries.after.toFixed(3)} nats per token.`
    return describeRollback(await rollBack(last, places, reason))
  }
  const votes = await checkTrial({ ...last, canaries: watched }, places, model)
  const line = describeVotes(votes)
  if (votes.canaries && !votes.canaries.isKept) {
    const { before, after } = votes.canaries
    const reason = `Canaries fell: ${before.toFixed(3)} to ${after.toFixed(3)} nats per token.`
    return { ...describeRollback(await rollBack(last, places, reason)), votes }
  }
  if (votes.verdict === 'worse')
    return { ...describeRollback(await rollBack(last, places, `Votes: ${line}.`)), votes }
  if (votes.verdict === 'open')
    return {
      action: 'waiting',
      summary: `${id}@${last.candidate} is being tried: ${line}.`,
      trial: last,
      votes,
    }
  const trial = await promoteCandidate(last, places, `Votes: ${line}.`)
  return {
    action: 'promoted',
    summary: `${id}@${trial.released} is released and stable: ${line}.`,
    trial,
    votes,
  }
}

/** Tries a version that a killed call had made and not yet tried. */
async function resumeTrial({ id, places, settings }: Run): Promise<Outcome | undefined> {
  const { opened } = places
  const tried = new Set((await opened.trials.list(id)).map(({ candidate }) => candidate))
  const made = (await listMade(id, places)).at(-1)
  if (made === undefined || tried.has(made) || semver.prerelease(made) === null) return undefined
  const trial = await startTrial(`${id}@${made}`, places, chooseTrialOptions(settings))
  const summary = `${id}@${made} answers ${100 * trial.share} % of requests.`
  return { action: 'shadowed', summary, trial }
}

/** Versions made from feedback that are in the registry, the oldest first. */
async function listMade(id: string, { registry, opened }: TrialPlaces): Promise<string[]> {
  const known = new Set((await registry.list(id)).map(({ version }) => version))
  const improvements = await opened.improvements.list(id)
  return improvements.flatMap(({ version }) => (known.has(version) ? [version] : []))
}

const describeRollback = (trial: Trial): Outcome => ({
  action: 'rolled-back',
  summary: `${trial.id}@${trial.candidate} is withdrawn. ${trial.reason ?? ''}`.trim(),
  trial,
})

async function trainNext(run: Run, histories: readonly UserTurns[]): Promise<Outcome> {
  const { id, places, settings, model, options } = run
  const { registry, opened, store } = places
  const incumbent = await findIncumbent(registry, id)
  const improvements = await opened.improvements.list(id)
  const root = improvements.find(({ version }) => version === incumbent.version)?.root
  const rootExpert = await registry.resolve(`${id}@${root ?? incumbent.version}`)
  const expert = await loadAdapter(rootExpert.location, { model })
  const { held, redact, seed, loss } = settings
  const choice = { form: feedbackLosses[loss], held, redact, seed }
  const { hideUser } = opened.improvements
  const rows = buildFeedbackRows(histories, { model, expert }, { ...choice, hideUser })
  const missing = await describeMissing(run, rows, (await listMade(id, places)).at(-1))
  if (missing !== undefined) return { action: 'waiting', summary: missing }
  const { location } = await registry.resolve(`${id}@${incumbent.version}`)
  const { command, signal, onEvent } = options
  const folders = {
    place: toTrainingPlace(registry, id),
    root: rootExpert.location,
    incumbent: location,
  }
  const task = { model, rows, settings, command, signal, onEvent, ...folders }
  return trainCandidate(task, async (folder, candidate) => {
    if (candidate.refusal !== undefined) {
      const summary = `A version trained on ${candidate.rows} rows is not tried: ${candidate.refusal}.`
      return { action: 'refused', summary, candidate }
    }
    const version = chooseVersion(await registry.list(id))
    const made = { version, root: rootExpert.version, parent: incumbent.version, store: store.name }
    // first, so that the sources of a version are always recorded
    await opened.improvements.add(id, made, rows.sources)
    await registry.add(folder, { id, version })
    const trial = await startTrial(`${id}@${version}`, places, chooseTrialOptions(settings))
    const summary = `${id}@${version}, trained on ${candidate.rows} rows of ${candidate.users} ${candidate.users === 1 ? 'user' : 'users'}, answers ${100 * trial.share} % of requests: ${candidate.loss.toFixed(3)} nats per token on ${candidate.heldRows} held ${candidate.heldRows === 1 ? 'row' : 'rows'}, ${candidate.lossBefore.toFixed(3)} before.`
    return { action: 'shadowed', summary, trial, candidate }
  })
}

const chooseTrialOptions = ({ share, leastVoters, canaries }: ImproveSettings) => ({
  share,
  leastVoters,
  canaries: canaries === undefined ? undefined : resolve(canaries),
})

/** Why there is nothing to train yet. Throws NotFoundError if the expert has no feedback at all. */
async function describeMissing(
  { id, places, settings }: Run,
  { train, held, sources }: FeedbackRows,
  last: string | undefined,
): Promise<string | undefined> {
  const { improvements } = places.opened
  if (sources.length === 0)
    throw new NotFoundError(
      `${places.store.name}: no user has judged an answer of ${id} yet. Serve it with graft serve --registry … --learn, and send what users say to /v1/feedback.`,
    )
  const before = last === undefined ? [] : await improvements.listSources(id, last)
  const fresh = countNewTurns(sources, before)
  if (fresh < settings.leastRows)
    return `${fresh} rated turns are new; ${settings.leastRows} are needed for the next version of ${id}.`
  if (train.rows.length === 0 || held.rows.length === 0)
    return `Of ${sources.length} rated turns ${train.rows.length} rows are to learn and ${held.rows.length} to judge by; both are needed.`
  return undefined
}

/** '1.2.0' → '1.3.0-rc.1', and '1.3.0-rc.2' if that exists. */
export function chooseVersion(known: readonly Pick<RegisteredExpert, 'version'>[]): string {
  const versions = known.map(({ version }) => version)
  const newest = semver.maxSatisfying(versions, '*') ?? '0.1.0'
  const next = semver.inc(newest, 'minor')!
  const numbers = versions.flatMap((version) => {
    const found = /^(.+)-rc\.(\d+)$/.exec(version)
    return found?.[1] === next ? [Number(found[2])] : []
  })
  return `${next}-rc.${Math.max(0, ...numbers) + 1}`
}
