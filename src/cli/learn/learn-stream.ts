// The work of graft learn: each turn is scored, also by the model without tiers, as it is learned; then the slow tier, files and a summary. The store keeps what was learned even when the
// run ends early.

import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import {
  type ConsolidationResult,
  type TurnExample,
  type Learner,
  type UserStore,
} from '../../learn/index.ts'
import { readDataFile } from '../../node/data.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import type { LoadedModel } from '../../node/model.ts'
import { drawLossCurve } from '../../train/run/loss-curve.ts'
import { saveExpert } from '../shared/save-expert.ts'
import {
  type LearnedTurnRecord,
  computeMeanLoss,
  showLearnResult,
  summarizeTurns,
} from './learn-summary.ts'
import { readTurns } from './learn-turns.ts'
import {
  openLearner,
  openStart,
  type OpenedStart,
  openStore,
  collectUserReport,
  showUser,
  type UserReport,
  type StartValues,
} from './learn-users.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface LearnValues extends StartValues {
  readonly data: string
  readonly turns: number | undefined
  readonly system: string | undefined
  readonly canaries: string | undefined
  readonly consolidate: boolean
  readonly out: string | undefined
  readonly plot: string | undefined
}

interface LearnContext {
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

/** Opens the store and the model, and closes both, whatever happens between. */
async function runWithModel<Result>(
  values: StartValues,
  terminal: Terminal,
  work: (opened: OpenedStart, store: UserStore | undefined) => Promise<Result>,
) {
  const store = values.store === undefined ? undefined : await openStore(values.store)
  try {
    const opened = await openStart(values, terminal)
    try {
      return await work(opened, store)
    } finally {
      await opened.model.dispose()
    }
  } finally {
    await store?.close()
  }
}

/** graft learn --show. Throws NotFoundError for a user whom the store does not have. */
export async function inspectUser(values: StartValues, terminal: Terminal): Promise<UserReport> {
  return runWithModel(values, terminal, async ({ model, expert }, opened) => {
    const store = opened!
    await checkUserExists(store, values.user)
    const learner = await openLearner(values, store, model, { expert })
    const report = await collectUserReport(learner, store, values.user)
    showUser(report, terminal)
    return report
  })
}

async function checkUserExists(store: UserStore, user: string): Promise<void> {
  if ((await store.list(user)).length > 0) return
  const known = (await store.users()).toSorted()
  const some = known
    .slice(0, 8)
    .map((name) => JSON.stringify(name))
    .join(', ')
  throw new NotFoundError(
    `${store.name} has no user ${JSON.stringify(user)}; ${known.length === 0 ? 'it has none at all' : `it has ${some}${known.length > 8 ? ', …' : ''}`}.`,
  )
}

export async function learnTurns(values: LearnValues, context: LearnContext) {
  const { out } = values
  if (out !== undefined && (await stat(out).catch(() => undefined)))
    throw new OptionError(`${out}: exists already. Choose a folder that does not exist yet.`)
  const data = await readDataFile(values.data)
  const canaryRows = values.canaries === undefined ? undefined : await readDataFile(values.canaries)
  return runWithModel(values, context.terminal, async (opened, store) => {
    const { model, expert } = opened
    const system = values.system ?? opened.system
    const canaries = canaryRows && readTurns(opened, canaryRows, system).turns
    const { turns, tooLong } = readTurns(opened, data, system)
    if (tooLong > 0)
      context.terminal.say(`  ${tooLong} turns left out: longer than the model's context`)
    const problems: unknown[] = []
    const options = {
      expert,
      onProblem: ({ error }: { readonly error?: unknown }) =>
        void (error !== undefined && problems.push(error)),
      ...(canaries && { canaries }),
    }
    const learner = await openLearner(values, store, model, options)
    const records = await streamTurns(learner, values.user, turns.slice(0, values.turns), context)
    const isStopped = context.signal.aborted
    const verdict =
      values.consolidate && !isStopped
        ? await consolidate(learner, values.user, context.terminal)
        : undefined
    await learner.flush()
    if (problems.length > 0) throw problems[0]
    const written = isStopped
      ? {}
      : await writeFiles(learner, model, { ...values, system }, records, verdict)
    const statistics = await learner.statistics(values.user)
    const warnings = await learner.warnings(values.user)
    await learner.close()
    const summary = summarizeTurns(records)
    const result = {
      reason: isStopped ? 'stopped' : 'finished',
      model: model.base.name,
      expert: values.adapter ?? null,
      user: values.user,
      store: store?.name ?? null,
      ...summary,
      consolidation: verdict ?? null,
      out: null,
      plot: null,
      unwritten: null,
      ...written,
      statistics,
      warnings,
      records,
    }
    showLearnResult(result, context.terminal)
    return result
  })
}

/**
 * The slow tier as an expert's folder and the loss curve, where they are wanted. Throws OptionError
 * for a slow tier that no folder can hold.
 */
async function writeFiles(
  learner: Learner,
  model: LoadedModel,
  { user, out, plot, system }: LearnValues,
  records: readonly LearnedTurnRecord[],
  verdict: ConsolidationResult | undefined,
) {
  const { version } = await learner.statistics(user)
  const { adapter, head } = (await learner.versions(user)).find(({ number }) => number === version)!
  const isRefused = verdict?.kept === false && !adapter // the summary gives the reason
  if (out !== undefined && !isRefused) {
    if (!adapter)
      throw new OptionError(
        `${out}: the slow tier of ${JSON.stringify(user)} has no adapter yet. --consolidate makes one if its validation gate passes.`,
      )
    if (head)
      throw new OptionError(
        `${out}: the slow tier of ${JSON.stringify(user)} also changes the head's input, which PEFT's files have no place for. Consolidate by training: --consolidate.`,
      )
    await saveExpert(
      adapter,
      { base: model.base.name, ...(system !== undefined && { system }) },
      out,
      {},
    )
  }
  if (plot !== undefined) {
    const { fast } = await learner.tiers(user)
    const steps = records.map(({ loss }, i) => ({
      step: i + 1,
      loss,
      learningRate: fast?.learningRate ?? 0,
      gradientNorm: 0,
    }))
    const title = `Loss of each turn before learning it: ${user}`
    const curve = drawLossCurve({ steps, validations: [] }, { title })
    await createFileSink(dirname(plot)).write(basename(plot), [new TextEncoder().encode(curve)])
  }
  return {
    ...(out !== undefined && (isRefused ? { unwritten: out } : { out })),
    ...(plot !== undefined && { plot }),
  }
}

async function streamTurns(
  learner: Learner,
  user: string,
  turns: readonly TurnExample[],
  { terminal, signal }: LearnContext,
) {
  const progress = terminal.progress('  learning', turns.length)
  const records: LearnedTurnRecord[] = []
  for (const turn of turns) {
    if (signal.aborted) break
    const start = performance.now()
    const { losses, frozenLosses } = await learner.learn({
      user,
      ...turn,
      wantsFrozenLosses: true,
    })
    records.push({
      frozen: computeMeanLoss(frozenLosses!),
      loss: computeMeanLoss(losses),
      ms: performance.now() - start,
    })
    const lately = records.slice(-20)
    progress.update(
      records.length,
      `turn ${records.length}/${turns.length}  loss ${computeMeanLoss(lately.map(({ loss }) => loss)).toFixed(3)}, frozen ${computeMeanLoss(lately.map((record) => record.frozen)).toFixed(3)}`,
    )
  }
  progress.end()
  return records
}

async function consolidate(
  learner: Learner,
  user: string,
  terminal: Terminal,
): Promise<ConsolidationResult> {
  const progress = terminal.progress('  consolidating', undefined)
  progress.update(0, 'training what was learned into the slow tier')
  const verdict = await learner.consolidate(user)
  progress.end()
  return verdict
}
