// A registry with an expert, its trials and its users in one folder, for tests that kill
// improvements of it: in a process of its own up to a named step, then in this one to the end.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'
import { improveExpert, type ImproveReport } from '../../src/node/improve/improve-expert.ts'
import { createAdapter, loadModel, saveAdapter } from '../../src/node/index.ts'
import { openRegistry } from '../../src/node/registry/open-registry.ts'
import { type OpenedTrials, openTrials } from '../../src/node/registry/trials/open-trials.ts'
import { openSqliteStore } from '../../src/node/stores/sqlite-store.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { root } from './sources.ts'

export interface OpenedPlaces {
  readonly registry: Registry
  readonly opened: OpenedTrials
}

/** teller@1.0.0, stable, which answers as the base does. */
export async function createTeller(folder: string): Promise<void> {
  const model = await loadModel('stories260k')
  const adapter = await createAdapter('lora', { rank: 8, targets: 'all-linear' }, model)
  await saveAdapter({ ...adapter, baseModel: 'stories260k' }, join(folder, 'first'))
  await model.dispose()
  await usePlaces(folder, async ({ registry }) => {
    const named = { id: 'teller', version: '1.0.0', channels: ['stable'] }
    await registry.add(join(folder, 'first'), named)
  })
}

export async function usePlaces<T>(
  folder: string,
  work: (places: OpenedPlaces) => Promise<T>,
): Promise<T> {
  const registry = await openRegistry(join(folder, 'registry'))
  const opened = await openTrials(registry.location)
  try {
    return await work({ registry, opened })
  } finally {
    await opened.close()
    await registry.close()
  }
}

/**
 * All users who met the candidate of the running trial thanked it, and nobody the other version.
 */
export const voteForCandidate = (folder: string, voters = 6): Promise<void> =>
  usePlaces(folder, async ({ opened: { trials } }) => {
    const { number } = (await trials.findRunning('teller'))!
    for (let i = 0; i < voters; i++)
      for (const side of ['candidate', 'incumbent'] as const) {
        const responseId = `${side}-${i}`
        await trials.addAnswer({ trial: number, responseId, side, voter: responseId })
        await trials.vote(responseId, 0, side === 'candidate' ? 1 : 0)
      }
  })

export const improveHere = (folder: string, options: object): Promise<ImproveReport> =>
  usePlaces(folder, async (places) => {
    const store = await openSqliteStore(join(folder, 'users.db'))
    try {
      return await improveExpert('teller', { ...places, store }, options)
    } finally {
      await store.close()
    }
  })

/** The process that improves and ends itself at a step; see improve-killed.ts. */
export const spawnImprovement = (folder: string, step: string, options: object) =>
  spawn(process.execPath, [
    join(root, 'test/support/improve-killed.ts'),
    ...[join(folder, 'registry'), join(folder, 'users.db'), step, JSON.stringify(options)],
  ])

/** Kills an improvement at a step. */
export async function killImprovement(
  folder: string,
  step: string,
  options: object,
): Promise<void> {
  const child = spawnImprovement(folder, step, options)
  let said = ''
  child.stderr.on('data', (part: Buffer) => (said += part.toString()))
  child.stdout.on('data', (part: Buffer) => (said += part.toString()))
  const signal = await new Promise((resolve) =>
    child.on('close', (_, sent: NodeJS.Signals | null) => resolve(sent)),
  )
  expect([step, signal, said]).toEqual([step, 'SIGKILL', expect.any(String)])
}

/** Every version is whole; which there are, which is stable, and how the trials stand. */
export const describePlaces = (folder: string) =>
  usePlaces(folder, async ({ registry, opened }) => {
    const listed = await registry.list('teller')
    for (const { version } of listed) await registry.verify(`teller@${version}`)
    const trials = await opened.trials.list('teller')
    return {
      versions: listed.map(({ version }) => version).toSorted(),
      stable: (await registry.resolve('teller@stable')).version,
      trials: trials.map(({ candidate, state, released }) => [candidate, state, released]),
      improvements: (await opened.improvements.list('teller'))
        .map(({ version }) => version)
        .toSorted(),
    }
  })
