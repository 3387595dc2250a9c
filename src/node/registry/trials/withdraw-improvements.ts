// Withdraws versions that were trained on users' turns which must be forgotten. Their channels
// return to the newest earlier version without such turns, and their trials end.

import type { RegisteredExpert } from '../../../registry/registry.ts'
import type { TrialPlaces } from './conclude-trial.ts'
import type { Improvement, SourceTurn } from './improvements.ts'

export interface WithdrawnVersion {
  readonly id: string
  readonly version: string
}

/** Withdraws each version of an expert one of whose sources must be forgotten. */
export async function withdrawVersions(
  id: string,
  mustForget: (source: SourceTurn, improvement: Improvement) => boolean,
  places: TrialPlaces,
  reason: string,
): Promise<WithdrawnVersion[]> {
  const { registry, opened } = places
  const improvements = await opened.improvements.list(id)
  const gone = new Set<string>()
  for (const improvement of improvements) {
    const { version } = improvement
    const sources = await opened.improvements.listSources(id, version)
    if (sources.some((source) => mustForget(source, improvement))) gone.add(version)
  }
  if (gone.size === 0) return []
  await endTrials(id, gone, places, reason)
  const known = await registry.list(id)
  const kept = known.filter(({ version }) => !gone.has(version))
  const byVersion = new Map(improvements.map((one) => [one.version, one]))
  for (const { version, channels } of known) {
    if (!gone.has(version)) continue
    const before = findKept(version, byVersion, kept)
    for (const channel of channels) await registry.setChannel(id, channel, before)
    await registry.remove(`${id}@${version}`)
  }
  for (const version of gone) await opened.improvements.remove(id, version)
  return [...gone].map((version) => ({ id, version }))
}

/** The nearest ancestor that is kept; undefined if there is none. */
function findKept(
  version: string,
  improvements: ReadonlyMap<string, Improvement>,
  kept: readonly RegisteredExpert[],
): string | undefined {
  const isKept = (name: string): boolean => kept.some((one) => one.version === name)
  let at: string | undefined = version
  for (const seen = new Set<string>(); at !== undefined && !seen.has(at);) {
    seen.add(at)
    if (isKept(at)) return at
    at = improvements.get(at)?.parent
  }
  const root = improvements.get(version)?.root
  return root !== undefined && isKept(root) ? root : undefined
}

async function endTrials(
  id: string,
  gone: ReadonlySet<string>,
  { opened }: TrialPlaces,
  reason: string,
): Promise<void> {
  const last = (await opened.trials.list(id)).at(-1)
  if (!last || last.state === 'rolled-back') return
  const { candidate, incumbent, released } = last
  if ([candidate, incumbent, released].some((one) => one !== undefined && gone.has(one)))
    await opened.trials.end(last.number, { state: 'rolled-back', reason }, ['running', 'promoted'])
}

/** Withdraws the versions of all experts that were trained on a user's turns. */
export async function withdrawUser(user: string, places: TrialPlaces): Promise<WithdrawnVersion[]> {
  const { improvements } = places.opened
  const hidden = improvements.hideUser(user)
  const withdrawn: WithdrawnVersion[] = []
  for (const id of await improvements.listIds())
    withdrawn.push(
      ...(await withdrawVersions(
        id,
        (source) => source.user === hidden,
        places,
        'It had learned from a user who asked to be forgotten.',
      )),
    )
  return withdrawn
}
