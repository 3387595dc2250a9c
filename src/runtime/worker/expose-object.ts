// The side that owns the object: receives calls from a port, runs them, and sends back results,
// errors, and sequences of values at the reader's pace.

import { NotFoundError, OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { decodeValue, encodeError, encodeValue, type SignalFinding } from './encode-value.ts'
import type { AnswerMessage, CallMessage } from './messages.ts'
import { listenToPort, type RemotePort } from './port.ts'

export interface ExposeOptions {
  /** Closes the object, once every call has ended. */
  readonly close?: (() => Promise<void> | void) | undefined
}

interface RunningCall {
  /** Aborts the signals of a call, because no caller waits for it any more. */
  abandon(reason: unknown): void
  /** Of a sequence. */
  addCredit?(count: number): void
  leave?(): void
  readonly done: Promise<void>
}

/**
 * Lets the other side of the port call this object's methods, except those of Object.prototype.
 * Other properties are not accessible.
 */
export function exposeObject(port: RemotePort, object: object, options: ExposeOptions = {}): void {
  const exposed = new ExposedObject(port, object, options)
  listenToPort(port, (message) => exposed.take(message as CallMessage))
  port.postMessage({ type: 'ready' } satisfies AnswerMessage, [])
}

/** Reports to the other side that there will be no object, and why. */
export function exposeFailure(port: RemotePort, error: unknown): void {
  port.postMessage({ type: 'failed', error: encodeError(error) } satisfies AnswerMessage, [])
}

class ExposedObject {
  readonly #port: RemotePort
  readonly #object: object
  readonly #options: ExposeOptions
  readonly #calls = new Map<number, RunningCall>()
  readonly #signals = new Map<number, AbortController>()
  #isStopped = false

  constructor(port: RemotePort, object: object, options: ExposeOptions) {
    this.#port = port
    this.#object = object
    this.#options = options
  }

  take(message: CallMessage): void {
    if (message.type === 'call') this.#start(message)
    else if (message.type === 'credit') this.#calls.get(message.id)?.addCredit?.(message.count)
    else if (message.type === 'leave') this.#calls.get(message.id)?.leave?.()
    else if (message.type === 'abort')
      this.#signals.get(message.signal)?.abort(decodeValue(message.reason))
    else void this.#stop()
  }

  #start(call: CallMessage & { readonly type: 'call' }): void {
    const { id, method, credit } = call
    const signals: number[] = []
    const findSignal: SignalFinding = (signal, aborted) => {
      signals.push(signal)
      const controller = this.#signals.get(signal) ?? new AbortController()
      this.#signals.set(signal, controller)
      if (aborted) controller.abort(aborted.reason)
      return controller.signal
    }
    const abandon = (reason: unknown): void => {
      for (const signal of signals) this.#signals.get(signal)?.abort(reason)
    }
    const run = (): unknown => this.#invoke(method, decodeValue(call.args, findSignal) as unknown[])
    const end = (): void => {
      this.#calls.delete(id)
      for (const signal of signals) this.#signals.delete(signal)
    }
    const sequence = credit === undefined ? undefined : new SentSequence(credit)
    const post = (message: AnswerMessage, transfer: ArrayBuffer[] = []): void =>
      this.#port.postMessage(message, transfer)
    const done = sequence ? sequence.send(id, method, run, post) : answerCall(id, method, run, post)
    this.#calls.set(id, {
      abandon,
      addCredit: (count) => sequence?.addCredit(count),
      leave: () => {
        abandon(new OptionError(`${method}: nobody reads its values any more.`))
        sequence?.leave()
      },
      done: done.then(end),
    })
  }

  #invoke(method: string, args: unknown[]): unknown {
    if (this.#isStopped) throw new OptionError(`${method}: the object was closed.`)
    const found = (this.#object as Record<string, unknown>)[method]
    if (typeof found !== 'function' || method in Object.prototype)
      throw createUnknownMethodError(method, this.#object)
    return Reflect.apply(found, this.#object, args)
  }

  async #stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    const running = [...this.#calls.values()]
    const reason = new OptionError('The object was closed.')
    for (const call of running) {
      call.abandon(reason)
      call.leave?.()
    }
    await Promise.all(running.map(({ done }) => done))
    let error: AnswerMessage & { readonly type: 'stopped' } = { type: 'stopped', error: undefined }
    try {
      await this.#options.close?.()
    } catch (thrown) {
      error = { type: 'stopped', error: encodeError(thrown) }
    }
    this.#port.postMessage(error, [])
  }
}

type Post = (message: AnswerMessage, transfer?: ArrayBuffer[]) => void

/** Runs a call of one result. Never throws. */
async function answerCall(
  id: number,
  method: string,
  run: () => unknown,
  post: Post,
): Promise<void> {
  try {
    const result = await run()
    if (isSequence(result))
      throw new OptionError(
        `${method} gives a sequence of values: name it in the option sequences of connectObject.`,
      )
    const { encoded, transfer } = encodeValue(result, `the result of ${method}`)
    post({ type: 'result', id, value: encoded }, transfer)
  } catch (error) {
    post({ type: 'error', id, error: encodeError(error) })
  }
}

/** A running sequence: values are computed as long as there is credit. */
class SentSequence {
  #credit: number
  #isLeft = false
  #wake: (() => void) | undefined
  #iterator: AsyncIterator<unknown> | undefined

  constructor(credit: number) {
    this.#credit = credit
  }

  addCredit(count: number): void {
    this.#credit += count
    this.#wake?.()
  }

  /** Ends the sequence, also while a value is being computed. */
  leave(): void {
    this.#isLeft = true
    this.#wake?.()
    this.#iterator?.return?.().catch(() => {}) // it has no reader any more
  }

  /** Never throws. */
  async send(id: number, method: string, run: () => unknown, post: Post): Promise<void> {
    try {
      const result = await run()
      if (!isSequence(result))
        throw new OptionError(
          `${method} gives no sequence of values: take it out of the option sequences of connectObject.`,
        )
      const iterator = result[Symbol.asyncIterator]()
      this.#iterator = iterator
      await this.#sendValues(iterator, (value) => {
        const { encoded, transfer } = encodeValue(value, `a value of ${method}`)
        post({ type: 'item', id, value: encoded }, transfer)
      })
      post({ type: 'end', id })
    } catch (error) {
      post(this.#isLeft ? { type: 'end', id } : { type: 'error', id, error: encodeError(error) })
    }
  }

  async #sendValues(
    iterator: AsyncIterator<unknown>,
    sendValue: (value: unknown) => void,
  ): Promise<void> {
    try {
      while (await this.#waitForCredit()) {
        const next = await iterator.next()
        if (next.done) return
        if (this.#isLeft) break
        this.#credit--
        sendValue(next.value)
      }
    } catch (error) {
      await iterator.return?.().catch(() => {})
      throw error
    }
    await iterator.return?.()
  }

  /** False if the reader has left. */
  async #waitForCredit(): Promise<boolean> {
    while (this.#credit <= 0 && !this.#isLeft)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    return !this.#isLeft
  }
}

const isSequence = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value

/** Own methods and those of the classes above, without Object's. */
function listMethods(object: object): string[] {
  const names = new Set<string>()
  for (
    let holder: object | null = object;
    holder !== null && holder !== Object.prototype;
    holder = Object.getPrototypeOf(holder) as object | null
  )
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(holder)))
      if (typeof value === 'function' && name !== 'constructor') names.add(name)
  return [...names]
}

function createUnknownMethodError(method: string, object: object): NotFoundError {
  const names = listMethods(object)
  const meant = findNearestName(method, names)
  const hint = meant === undefined ? `there are ${names.join(', ')}` : `did you mean ${meant}?`
  return new NotFoundError(`There is no method ${method} to call: ${hint}`)
}
