// What graft improve does: opens registry, trials and users, runs one step of the loop, prints the
// result.

import { improveExpert, type ImproveReport } from '../../node/improve/improve-expert.ts'
import type { ImproveSettings } from '../../node/improve/improve-options.ts'
import { NotFoundError } from '../../base/errors.ts'
import { findReleased } from '../../node/library/released.ts'
import { openRegistry } from '../../node/registry/open-registry.ts'
import { getRegistryDirectory } from '../../node/registry/registry-directory.ts'
import { openTrials } from '../../node/registry/trials/open-trials.ts'
import type { Registry } from '../../registry/registry.ts'
import { openStore } from '../learn/learn-users.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'
import { getServedUsers } from './export-turns.ts'

interface ImproveValues extends Pick<
  ImproveSettings,
  'share' | 'canaries' | 'held' | 'epochs' | 'loss' | 'redact' | 'seed'
> {
  readonly registry: string | undefined
  readonly store: string | undefined
  readonly model: string | undefined
  readonly votes: number
  readonly rows: number
  readonly 'learning-rate': number | undefined
}

interface ImproveContext {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  readonly commandLine: string
}

/** Throws NotFoundError for a released expert that is not in the registry yet. */
async function requireRegistered(id: string, registry: Registry): Promise<void> {
  if ((await registry.list(id)).length > 0 || !(await findReleased(id))) return
  throw new NotFoundError(
    `${id} comes with the package and is not in ${registry.location} yet. Add it, and serve it from there: graft experts add ${id} --channel stable`,
  )
}

export async function runImprove(
  id: string,
  values: ImproveValues,
  { terminal, signal, commandLine }: ImproveContext,
): Promise<ImproveReport> {
  const { registry: folder, store: users, votes, rows, 'learning-rate': rate, ...plain } = values
  const registry = await openRegistry(folder ?? getRegistryDirectory())
  try {
    await requireRegistered(id, registry)
    const opened = await openTrials(registry.location)
    const store = await openStore(users ?? getServedUsers())
    // shown once something is trained: most calls train nothing
    const shown: { progress?: Progress } = {}
    try {
      const report = await improveExpert(
        id,
        { registry, opened, store },
        {
          ...plain,
          leastVoters: votes,
          leastRows: rows,
          learningRate: rate,
          command: commandLine,
          signal,
          onEvent(event) {
            if (event.type !== 'step-end') return
            shown.progress ??= terminal.progress('  training', undefined)
            shown.progress.update(event.step, `step ${event.step}  loss ${event.loss.toFixed(3)}`)
          },
        },
      )
      shown.progress?.end()
      for (const { version } of report.withdrawn)
        terminal.print(`${id}@${version} is withdrawn: users asked to forget what it learned from.`)
      terminal.print(report.summary)
      return report
    } finally {
      await store.close()
      await opened.close()
    }
  } finally {
    await registry.close()
  }
}
