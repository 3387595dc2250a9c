// Trains one expert in several processes on this machine: starts the replicas, adds up their
// gradients, and starts all of them again from the last checkpoint if one is lost.

import { setTimeout as sleep } from 'node:timers/promises'
import { GraftError, WorkerError } from '../../base/errors.ts'
import type { TrainEvent } from '../../train/events.ts'
import type { ExchangeReport } from './relay.ts'
import { serveMeetings } from './relay.ts'
import { type FailedEvent, readTrainEnd, type ReplicaEvent } from './replica-events.ts'
import { type ReplicaEnd, type ReplicaProcess, startReplica } from './replica-process.ts'

/** A replica that ended before the run did. */
export interface LostReplica {
  readonly attempt: number
  readonly attempts: number
  readonly rank: number
  readonly reason: string
}

export interface ReplicasOptions {
  /** What each replica runs: it reads its place from its environment. */
  readonly command: readonly [string, ...string[]]
  readonly size: number
  /** The run's folder. */
  readonly out: string
  /** Of each replica. */
  readonly threads?: number | undefined
  /** How often all replicas are started, the first time included. */
  readonly attempts?: number
  /** Ends the run after the step that it is at, with a checkpoint. */
  readonly signal?: AbortSignal
  readonly onStart?: (pids: readonly (number | undefined)[], attempt: number) => void
  readonly onLost?: (lost: LostReplica) => void
  readonly onExchange?: (report: ExchangeReport) => void
}

const usualAttempts = 4

/** Events in the order in which they came, for one reader; `end` lets it leave. */
function createEventQueue() {
  const waiting: ReplicaEvent[] = []
  let isEnded = false
  let wake = (): void => undefined
  const change = (): void => wake()
  return {
    push(event: ReplicaEvent): void {
      waiting.push(event)
      change()
    },
    end(): void {
      isEnded = true
      change()
    },
    async *read(): AsyncGenerator<ReplicaEvent, void, void> {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift()!
        if (isEnded) return
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}

/** How an attempt ended: successfully, with an error of the run, or because a replica was lost. */
interface AttemptOutcome {
  readonly fault?: FailedEvent
  readonly lost?: ReplicaEnd
}

const isFault = ({ code }: ReplicaEnd): boolean => code === 1 || code === 2

const endingMs = 200 // the exit of a process is reported shortly after its pipe broke

/** Waits until all have ended; if one is lost, or the relay fails, the others are ended. */
async function observeReplicas(
  replicas: readonly ReplicaProcess[],
  meetings: Promise<void>,
): Promise<{ lost?: ReplicaEnd; faulty?: ReplicaEnd }> {
  let lost: ReplicaEnd | undefined
  let faulty: ReplicaEnd | undefined
  const killAll = (): void => {
    for (const replica of replicas) replica.kill()
  }
  const broken = meetings.then(
    () => '',
    async (error: unknown) => {
      await sleep(endingMs)
      killAll()
      return error instanceof Error ? error.message : String(error)
    },
  )
  await Promise.all(
    replicas.map(async (replica) => {
      const end = await replica.ended
      if (isFault(end)) faulty ??= end
      if (end.code === 0 || isFault(end) || lost) return
      lost = end
      killAll()
    }),
  )
  const reason = await broken
  return {
    ...(faulty && { faulty }),
    ...(lost && { lost: { ...lost, lastLine: lost.lastLine || reason } }),
  }
}

/** The message of a replica that failed before it could send events. */
const toFault = ({ lastLine }: ReplicaEnd): FailedEvent => ({
  type: 'failed',
  name: 'GraftError',
  message: lastLine,
})

/** One attempt: the events of replica 0, and what ended it. */
async function* runAttempt(
  options: ReplicasOptions,
  attempt: number,
): AsyncGenerator<ReplicaEvent, AttemptOutcome, void> {
  const { command, size, threads, signal, onExchange, onStart } = options
  const queue = createEventQueue()
  const faults: FailedEvent[] = []
  const replicas = Array.from({ length: size }, (_, rank) =>
    startReplica(command, { rank, size, attempt, threads }, (event) => {
      if (event.type === 'failed') {
        // all replicas fail alike; the first one's message is reported
        if (rank === 0) faults.unshift(event)
        else faults.push(event)
      } else if (rank === 0) queue.push(event)
    }),
  )
  const killAll = (): void => {
    for (const replica of replicas) replica.kill()
  }
  process.once('exit', killAll)
  onStart?.(
    replicas.map(({ pid }) => pid),
    attempt,
  )
  const meetings = serveMeetings(
    replicas.map(({ link }) => link),
    { signal, ...(onExchange && { onExchange }) },
  )
  const watched = observeReplicas(replicas, meetings).finally(() => queue.end())
  try {
    yield* queue.read()
    const { lost, faulty } = await watched
    const [fault = faulty && toFault(faulty)] = faults
    return { ...(lost && { lost }), ...(fault && { fault }) }
  } finally {
    killAll()
    process.off('exit', killAll)
    await watched
  }
}

/** The run's own error, under the name that it had in the replica. */
function toError({ name, message }: FailedEvent): GraftError {
  return Object.defineProperty(new GraftError(message), 'name', { value: name })
}

/**
 * Trains in `size` processes: events as of a run alone. Throws the run's own error unchanged,
 * without another attempt; WorkerError if a replica was lost in every attempt.
 */
export async function* trainInReplicas(
  options: ReplicasOptions,
): AsyncGenerator<TrainEvent, void, void> {
  const { attempts = usualAttempts, onLost, out, size, signal } = options
  for (let attempt = 1; ; attempt++) {
    const events = runAttempt(options, attempt)
    let next = await events.next()
    try {
      for (; !next.done; next = await events.next()) {
        const event = next.value
        if (event.type === 'train-end' && 'hasEwc' in event) yield await readTrainEnd(event, out)
        else yield event as TrainEvent
      }
    } finally {
      await events.return({})
    }
    const { fault, lost } = next.value
    if (fault) throw toError(fault)
    if (!lost) return
    const { rank, reason, lastLine } = lost
    onLost?.({ attempt, attempts, rank, reason })
    if (attempt === attempts || signal?.aborted)
      throw new WorkerError(
        `Replica ${rank} of ${size} was lost in attempt ${attempt} of ${attempts} (${reason}${lastLine === '' ? '' : `: ${lastLine}`}). The saved state is in ${out}; resume continues from there.`,
      )
  }
}
