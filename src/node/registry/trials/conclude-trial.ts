// Starts and ends trials in a registry: a candidate is released, or the previous version answers
// again. Every step can be repeated if a process ended in between.

import semver from 'semver'
import { ConflictError, NotFoundError, OptionError } from '../../../base/errors.ts'
import { readOptions } from '../../../base/schema.ts'
import type { RegisteredExpert, Registry } from '../../../registry/registry.ts'
import type { Trial, TrialEnd } from '../../../route/trials/trial.ts'
import type { OpenedTrials } from './open-trials.ts'
import { shadowFields, type ShadowOptions } from './shadow-options.ts'

/** The channel of the version that answers. */
export const stableChannel = 'stable'

export interface TrialPlaces {
  readonly registry: Registry
  readonly opened: Pick<OpenedTrials, 'trials' | 'improvements'>
}

/** The version that answers for an expert now: its stable one, else the newest release. */
export async function findIncumbent(registry: Registry, id: string): Promise<RegisteredExpert> {
  const versions = await registry.list(id)
  const stable = versions.find(({ channels }) => channels.includes(stableChannel))
  return stable ?? registry.resolve(id)
}

/**
 * Lets a version answer a share of the requests, next to the current one. Throws ConflictError if a
 * trial of the expert runs, OptionError for the version that answers already.
 */
export async function startTrial(
  reference: string,
  { registry, opened }: TrialPlaces,
  options: ShadowOptions = {},
): Promise<Trial> {
  const values = readOptions('Options of a trial', options, shadowFields)
  const candidate = await registry.resolve(reference)
  const { id, version } = candidate
  const incumbent = await findIncumbent(registry, id)
  if (incumbent.version === version)
    throw new OptionError(
      `${id}@${version} answers already. Name another version, such as a pre-release: ${id}@${chooseNext(version)}.`,
    )
  return opened.trials.start({ id, candidate: version, incumbent: incumbent.version, ...values })
}

const chooseNext = (version: string): string => `${semver.inc(version, 'minor')}-rc.1`

/**
 * Throws NotFoundError for an expert that the registry does not have, OptionError for a version.
 */
async function requireName(id: string, registry: Registry): Promise<void> {
  if ((await registry.list(id)).length > 0) return
  const { id: name } = await registry.resolve(id)
  throw new OptionError(`Got ${JSON.stringify(id)}, expected a name without a version: ${name}.`)
}

/** The trial of an expert that runs. Throws NotFoundError. */
export async function getRunningTrial(
  id: string,
  { registry, opened }: TrialPlaces,
): Promise<Trial> {
  const running = await opened.trials.findRunning(id)
  if (running) return running
  await requireName(id, registry)
  throw new NotFoundError(
    `No version of ${JSON.stringify(id)} is being tried; graft experts shadow ${id}@<version> starts a trial.`,
  )
}

/** Releases a trial's candidate: under its version without "-rc.1", as the stable one. */
export async function promoteCandidate(
  trial: Trial,
  { registry, opened }: TrialPlaces,
  reason: string,
): Promise<Trial> {
  const { id, candidate } = trial
  const { major, minor, patch, prerelease } = semver.parse(candidate)!
  const released = prerelease.length > 0 ? `${major}.${minor}.${patch}` : candidate
  if (released !== candidate) {
    await opened.improvements.copy(id, candidate, released) // before requests can use it
    const { location } = await registry.resolve(`${id}@${candidate}`)
    await registry.add(location, { id, version: released })
  }
  await registry.setChannel(id, stableChannel, released)
  return opened.trials.end(trial.number, { state: 'promoted', reason, released })
}

/**
 * Makes the previous version answer again. The candidate of a running trial was never released.
 * After a released one, its predecessor's files are added under the next patch version, because a
 * released version never changes.
 */
export async function rollBack(
  trial: Trial,
  { registry, opened }: TrialPlaces,
  reason: string,
): Promise<Trial> {
  const end: TrialEnd = { state: 'rolled-back', reason }
  if (trial.state === 'running') return opened.trials.end(trial.number, end)
  const { number, id } = trial
  const again = await repeatVersion(trial, { registry, opened })
  await registry.setChannel(id, stableChannel, again)
  return opened.trials.end(number, { ...end, released: again }, ['promoted'])
}

/** Adds the predecessor's files as the newest version, unless a call that was killed did that. */
async function repeatVersion(
  { id, incumbent, candidate, released = candidate }: Trial,
  { registry, opened }: TrialPlaces,
): Promise<string> {
  const known = (await registry.list(id)).map(({ version }) => version)
  const top = semver.maxSatisfying(known, '*')!
  const { location } = await registry.resolve(`${id}@${incumbent}`)
  if (semver.gt(top, released)) {
    // adds nothing if the content exists
    const added = registry.add(location, { id, version: top }).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
    if (await added) return top
  }
  const next = semver.inc(top, 'patch')!
  await opened.improvements.copy(id, incumbent, next)
  await registry.add(location, { id, version: next })
  return next
}

/**
 * The trial of an expert that can be rolled back: one that runs, else the last that was promoted.
 */
export async function findLastTrial(id: string, { registry, opened }: TrialPlaces): Promise<Trial> {
  const last = (await opened.trials.list(id)).at(-1)
  if (last && last.state !== 'rolled-back') return last
  await requireName(id, registry)
  throw new NotFoundError(
    `There is nothing to roll back of ${JSON.stringify(id)}: ${last ? `${last.candidate} was rolled back already. ${last.reason ?? ''}`.trim() : 'no version of it was tried.'}`,
  )
}
