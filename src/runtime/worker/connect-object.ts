// The side that calls: an object whose methods are run on the other side of a port.

import { WorkerError } from '../../base/errors.ts'
import { decodeError, decodeValue, encodeValue } from './encode-value.ts'
import type { AnswerMessage, CallMessage } from './messages.ts'
import { listenToPort, type RemotePort } from './port.ts'
import { ReadSequence, type Reply } from './read-sequence.ts'
import { SentSignals } from './sent-signals.ts'

type Method = (...args: never[]) => unknown

/** Names of the methods that give a sequence of values. */
export type SequenceNames<Of> = {
  [Name in keyof Of]: Of[Name] extends (...args: never[]) => AsyncIterable<unknown> ? Name : never
}[keyof Of] &
  string

type RemoteMethod<Of extends Method> =
  ReturnType<Of> extends AsyncIterable<infer Value>
    ? (...args: Parameters<Of>) => AsyncGenerator<Value, void, void>
    : (...args: Parameters<Of>) => Promise<Awaited<ReturnType<Of>>>

/** The methods of an object as another thread has them: all of them asynchronous. */
export type Remote<Of> = {
  readonly [Name in keyof Of as Of[Name] extends Method ? Name : never]: Of[Name] extends Method
    ? RemoteMethod<Of[Name]>
    : never
}

export interface ConnectOptions<Of> {
  /** The methods that give a sequence of values (async generators); default: none. */
  readonly sequences?: readonly SequenceNames<Of>[] | undefined
  /** Values of a sequence that are sent before the reader has taken them. Default 64. */
  readonly ahead?: number | undefined
  /** Called when the number of calls in flight becomes 0, and when it no longer is. */
  readonly onBusy?: ((isBusy: boolean) => void) | undefined
}

export interface Connection<Of> {
  readonly object: Remote<Of>
  /** Resolves when the other side has its object; rejects with the reason if it has none. */
  readonly ready: Promise<void>
  /** Calls that have not ended. */
  readonly inFlight: number
  /**
   * Called when the other side has ended: every call, also a later one, rejects with this error.
   */
  fail(error: Error): void
  /** Ends running calls, closes the object on the other side, and resolves when it is closed. */
  stop(): Promise<void>
}

/**
 * Calls an object that `exposeObject` shows on the other side of the port:
 *
 *     const { object } = connectObject<Engine>(port, { sequences: ['generate'] })
 *     for await (const event of object.generate(request)) …
 *
 * Arguments and results are plain data, typed arrays and errors; arguments may hold abort signals.
 * Leaving a sequence early ends it on the other side. Errors arrive with their class and fields.
 */
export function connectObject<Of>(
  port: RemotePort,
  options: ConnectOptions<Of> = {},
): Connection<Of> {
  return new PortConnection<Of>(port, options)
}

class PortConnection<Of> implements Connection<Of> {
  readonly object: Remote<Of>
  readonly ready: Promise<void>
  readonly #port: RemotePort
  readonly #options: ConnectOptions<Of>
  readonly #replies = new Map<number, { readonly reply: Reply; readonly signals: SentSignals }>()
  readonly #ready = Promise.withResolvers<void>()
  #stopped: PromiseWithResolvers<void> | undefined
  #failure: Error | undefined
  #count = 0

  constructor(port: RemotePort, options: ConnectOptions<Of>) {
    this.#port = port
    this.#options = options
    this.ready = this.#ready.promise
    this.ready.catch(() => {}) // the code that awaits it gets the error
    listenToPort(port, (message) => this.#take(message as AnswerMessage))
    this.object = this.#createProxy()
  }

  get inFlight(): number {
    return this.#replies.size
  }

  fail(error: Error, whyNotReady: unknown = error): void {
    this.#failure ??= error
    this.#ready.reject(whyNotReady)
    this.#stopped?.resolve() // what is gone is closed
    for (const [id, { reply }] of [...this.#replies]) {
      this.#end(id)
      reply.onError(error)
    }
  }

  async stop(): Promise<void> {
    if (this.#failure) return
    if (!this.#stopped) {
      this.#stopped = Promise.withResolvers<void>()
      this.#post({ type: 'stop' })
    }
    await this.#stopped.promise
  }

  #createProxy(): Remote<Of> {
    const sequences = new Set<string>(this.#options.sequences)
    const methods = new Map<string, unknown>()
    const createMethod = (name: string): unknown =>
      sequences.has(name)
        ? (...args: unknown[]) => this.#readSequence(name, args)
        : (...args: unknown[]) => this.#call(name, args)
    const get = (_target: object, name: string | symbol): unknown => {
      // A proxy with `then` would be taken for a promise.
      if (typeof name === 'symbol' || name === 'then') return undefined
      if (!methods.has(name)) methods.set(name, createMethod(name))
      return methods.get(name)
    }
    return new Proxy({}, { get }) as Remote<Of>
  }

  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#start(method, args, undefined, { onResult: resolve, onError: reject })
    })
  }

  #readSequence(method: string, args: readonly unknown[]): AsyncGenerator<unknown, void, void> {
    const { ahead = 64 } = this.#options
    return new ReadSequence(ahead, (reply) => {
      const id = this.#start(method, args, ahead, reply)
      return {
        addCredit: (count) => this.#post({ type: 'credit', id, count }),
        leave: () => this.#post({ type: 'leave', id }),
      }
    })
  }

  /** Sends a call; throws if its arguments cannot be sent. */
  #start(
    method: string,
    args: readonly unknown[],
    credit: number | undefined,
    reply: Reply,
  ): number {
    if (this.#failure) throw this.#failure
    if (this.#stopped) throw new WorkerError(`${method}: the connection was closed.`)
    const id = this.#count++
    const signals = new SentSignals((message) => this.#post(message))
    const { encoded, transfer } = encodeValue(args, `${method}: arguments`, (signal) =>
      signals.name(signal),
    )
    this.#replies.set(id, { reply, signals })
    if (this.#replies.size === 1) this.#options.onBusy?.(true)
    try {
      this.#post({ type: 'call', id, method, args: encoded, credit }, transfer)
    } catch (error) {
      this.#end(id)
      throw error
    }
    signals.watch()
    return id
  }

  #post(message: CallMessage, transfer: ArrayBuffer[] = []): void {
    if (!this.#failure) this.#port.postMessage(message, transfer)
  }

  #end(id: number): void {
    this.#replies.get(id)?.signals.unwatch()
    this.#replies.delete(id)
    if (this.#replies.size === 0) this.#options.onBusy?.(false)
  }

  #takeFailure(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause)
    this.fail(new WorkerError(`The worker has no object: ${reason}`, { cause }), cause)
  }

  #take(message: AnswerMessage): void {
    if (message.type === 'ready') return this.#ready.resolve()
    if (message.type === 'failed') return this.#takeFailure(decodeError(message.error))
    if (message.type === 'stopped') {
      if (message.error) this.#stopped?.reject(decodeError(message.error))
      return this.#stopped?.resolve()
    }
    const reply = this.#replies.get(message.id)?.reply
    if (message.type === 'item') return reply?.onItem?.(decodeValue(message.value))
    this.#end(message.id)
    if (message.type === 'result') reply?.onResult?.(decodeValue(message.value))
    else if (message.type === 'end') reply?.onEnd?.()
    else reply?.onError(decodeError(message.error))
  }
}
