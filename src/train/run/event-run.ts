// A run as returned to its caller: events to iterate over, and the last of them as a promise.

import { GraftError, OptionError } from '../../base/errors.ts'

/** The event that ends a run. */
export type EndOf<Event> = Extract<Event, { readonly type: 'train-end' }>

/** Events of a run in order. Nothing happens before the first event or `done` is requested. */
export interface EventRun<Event extends { readonly type: string }> extends AsyncGenerator<
  Event,
  void,
  void
> {
  /**
   * The last event, with the adapter. Without an event loop, reading it starts the run and consumes
   * all events. With a loop, the loop sets the pace: `done` resolves when the loop receives
   * 'train-end', and rejects when the loop is left before. Rejects with the error that ends the
   * run; without an await, such a rejection is not reported as unhandled, because the loop throws
   * the same error.
   */
  readonly done: Promise<EndOf<Event>>
}

const isEnd = <Event extends { readonly type: string }>(event: Event): boolean =>
  event.type === 'train-end'

/** The run whose events `open` yields. */
export function createEventRun<Event extends { readonly type: string }>(
  open: () => AsyncIterable<Event>,
): EventRun<Event> {
  const { promise, resolve, reject } = Promise.withResolvers<EndOf<Event>>()
  promise.catch(() => undefined)
  let course: 'open' | 'iterated' | 'driven' = 'open'

  /** Passes every event to the loop. */
  async function* iterate(): AsyncGenerator<Event, void, void> {
    if (course === 'driven')
      throw new OptionError(
        'This run was started by `done`, so its events cannot be iterated any more. Start the loop first, or use the result of `done`.',
      )
    course = 'iterated'
    try {
      for await (const event of open()) {
        if (isEnd(event)) resolve(event as EndOf<Event>)
        yield event
      }
    } catch (error) {
      reject(error)
      throw error
    } finally {
      // has no effect after the end
      reject(
        new GraftError(
          "The loop over the run's events was left before the end, so there is no result.",
        ),
      )
    }
  }

  /** Consumes all events if there is no loop. */
  async function drive(): Promise<void> {
    if (course !== 'open') return
    course = 'driven'
    try {
      let end: Event | undefined
      for await (const event of open()) if (isEnd(event)) end = event
      if (end) resolve(end as EndOf<Event>)
      else reject(new GraftError('The run ended without a result.'))
    } catch (error) {
      reject(error)
    }
  }

  const getDone = (): Promise<EndOf<Event>> => {
    // later, so that `const { done } = run` before a loop leaves the events to the loop
    queueMicrotask(() => void drive())
    return promise
  }
  return Object.defineProperty(iterate(), 'done', { get: getDone }) as EventRun<Event>
}
