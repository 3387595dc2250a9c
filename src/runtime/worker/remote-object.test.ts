import { afterEach, describe, expect, it } from 'vitest'
import { ContextLengthError, MismatchError, OptionError, WorkerError } from '../../base/errors.ts'
import { connectObject, type ConnectOptions } from './connect-object.ts'
import { exposeFailure, exposeObject } from './expose-object.ts'
import { markTransfer } from './transfer.ts'

class ThirdPartyError extends OptionError {
  readonly place = { line: 3 }
}

const createService = () => {
  const seen = { computed: 0, left: 0, aborted: [] as unknown[] }
  return {
    seen,
    add: (a: number, b: number): number => a + b,
    echo: async (value: unknown): Promise<unknown> => value,
    fill: async (length: number): Promise<Float32Array> => markTransfer(new Float32Array(length)),
    read: async (view: Float32Array) => ({ sum: view.reduce((a, b) => a + b, 0), view }),
    write: async (shared: Int32Array): Promise<void> => void (shared[0] = 7),
    fail: async (error: unknown): Promise<void> => {
      throw error
    },
    throwMismatch: async (): Promise<void> => {
      throw new MismatchError('The adapter', [{ name: 'q', got: '[1]', expected: '[2]' }])
    },
    throwOther: async (): Promise<void> => {
      throw new ThirdPartyError('odd', { cause: new TypeError('deep') })
    },
    giveFunction: async (): Promise<unknown> => ({ events: { stop: () => 1 } }),
    wait: ({ signal }: { signal: AbortSignal }): Promise<unknown> =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(['already', signal.reason])
        signal.addEventListener('abort', () => resolve(['later', signal.reason]), { once: true })
      }),
    async *count(to: number): AsyncGenerator<{ value: number }, void> {
      try {
        for (let value = 0; value < to; value++) {
          seen.computed++
          yield { value }
        }
      } finally {
        seen.left++
      }
    },
    async *countThenFail(to: number): AsyncGenerator<number, void> {
      for (let value = 0; value < to; value++) yield value
      throw new ContextLengthError('too long')
    },
    async *hang(options: { signal?: AbortSignal }): AsyncGenerator<number, void> {
      yield 1
      await new Promise((_, reject) => {
        options.signal?.addEventListener('abort', () => {
          seen.aborted.push(options.signal!.reason)
          reject(options.signal!.reason)
        })
      })
    },
  }
}
type Service = ReturnType<typeof createService>

const ports: { close(): void }[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})

const sequences = ['count', 'countThenFail', 'hang'] as const

function connect(options: Partial<ConnectOptions<Service>> = {}) {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1)
  const service = createService()
  exposeObject(port2, service)
  const connection = connectObject<Service>(port1, { sequences, ...options })
  return { service, port: port2, ...connection, connection, object: connection.object }
}

describe('a remote object', () => {
  it('answers calls with results, also of methods that are not asynchronous', async () => {
    const { object } = connect()
    expect(await object.add(1, 2)).toBe(3)
    const value = { ids: [1, 2], text: 'ä', map: new Map([['a', new Uint8Array([1])]]), none: null }
    expect(await object.echo(value)).toEqual(value)
    expect(await object.echo(undefined)).toBeUndefined()
  })

  it('moves marked arrays, copies only the part of a view', async () => {
    const { object } = connect()
    const whole = markTransfer(Float32Array.of(1, 2))
    expect((await object.read(whole)).sum).toBe(3)
    expect(whole.length).toBe(0)
    const part = new Float32Array(1000).fill(1).subarray(10, 20)
    const { view } = await object.read(part)
    expect([view.length, view.buffer.byteLength, part.length]).toEqual([10, 40, 10])
    expect((await object.fill(3)).length).toBe(3)
  })

  it('shares shared memory', async ({ skip }) => {
    if (typeof SharedArrayBuffer === 'undefined') return skip('this page has no shared memory')
    const { object } = connect()
    const shared = new Int32Array(new SharedArrayBuffer(4))
    await object.write(shared)
    expect(shared[0]).toBe(7)
  })

  it('gives errors back with class, fields, cause and stack', async () => {
    const { object } = connect()
    const error = await object.throwMismatch().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MismatchError)
    const { mismatches, name, message, stack } = error as MismatchError
    expect(mismatches).toEqual([{ name: 'q', got: '[1]', expected: '[2]' }])
    expect([name, message.split('\n')[0]]).toEqual(['MismatchError', 'The adapter (1 mismatch):'])
    expect(stack).toContain('throwMismatch')
    expect(Object.keys(error as object)).toEqual(['mismatches'])
  })

  it('gives an unknown class as the nearest one above, under its own name', async () => {
    const { object } = connect()
    const error = (await object.throwOther().catch((thrown: unknown) => thrown)) as ThirdPartyError
    expect(error).toBeInstanceOf(OptionError)
    expect([error.name, error.place, error.message]).toEqual([
      'ThirdPartyError',
      { line: 3 },
      'odd',
    ])
    expect(error.cause).toBeInstanceOf(TypeError)
  })

  it('sends errors as values, and thrown values that are not errors', async () => {
    const { object } = connect()
    const [first] = (await object.echo([new OptionError('a value')])) as [Error]
    expect(first).toBeInstanceOf(OptionError)
    await expect(object.fail('text')).rejects.toBe('text')
    await expect(object.fail({ code: 4 })).rejects.toEqual({ code: 4 })
    const reason = AbortSignal.abort().reason as unknown
    const abort = (await object.fail(reason).catch((thrown: unknown) => thrown)) as DOMException
    expect([abort instanceof DOMException, abort.name]).toEqual([true, 'AbortError'])
  })

  it('refuses by name what would lose its meaning', async () => {
    const { object, service } = connect()
    const take = () => {}
    await expect(object.echo({ states: [{ take }] })).rejects.toThrow(
      /^echo: arguments, at \[0\]\.states\[0\]\.take: got a function, which cannot be sent/,
    )
    await expect(object.echo(new EventTarget())).rejects.toThrow(/object of the class EventTarget/)
    const round: { self?: unknown } = {}
    round.self = round
    await expect(object.echo(round)).rejects.toThrow(
      /\[0\]\.self: got a value that contains itself/,
    )
    await expect(object.giveFunction()).rejects.toThrow(
      /the result of giveFunction, at events\.stop: got a function/,
    )
    await expect(object.count((() => 3) as never).next()).rejects.toThrow(OptionError)
    expect(service.seen.computed).toBe(0)
  })

  it('names what was probably meant where there is no such method', async () => {
    const { object } = connect()
    const other = object as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
    await expect(other['ad']!(1)).rejects.toThrow(
      'There is no method ad to call: did you mean add?',
    )
    await expect(other['hasOwnProperty']!('a')).rejects.toThrow(/no method hasOwnProperty/)
    await expect(other['seen']!()).rejects.toThrow(/no method seen/)
  })

  it('passes abort signals on: aborted before, later, with any reason', async () => {
    const { object } = connect()
    expect(await object.wait({ signal: AbortSignal.abort('before') })).toEqual([
      'already',
      'before',
    ])
    const control = new AbortController()
    const waiting = object.wait({ signal: control.signal })
    await object.add(1, 1)
    control.abort(new OptionError('enough'))
    const [when, reason] = (await waiting) as [string, Error]
    expect([when, reason instanceof OptionError]).toEqual(['later', true])
    const odd = new AbortController()
    const second = object.wait({ signal: odd.signal })
    odd.abort(() => {})
    expect(await second).toEqual(['later', '(a function that cannot be sent to another thread)'])
  })
})

describe('a sequence', () => {
  it('gives every value in order, then ends', async () => {
    const { object } = connect()
    const values: number[] = []
    for await (const { value } of object.count(1000)) values.push(value)
    expect(values).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  })

  it('is computed only so far ahead of its reader', async () => {
    const { object, service } = connect({ ahead: 8 })
    const sequence = object.count(1000)
    expect(service.seen.computed).toBe(0)
    await sequence.next()
    await object.add(1, 1)
    expect(service.seen.computed).toBe(8)
    for (let i = 0; i < 10; i++) await sequence.next()
    await object.add(1, 1)
    expect(service.seen.computed).toBe(16)
    await sequence.return()
    expect(service.seen.left).toBe(1)
  })

  it('ends on the other side when its reader leaves, also while a value is awaited', async () => {
    const { object, service } = connect()
    for await (const { value } of object.count(1000)) if (value === 3) break
    expect(service.seen.left).toBe(1)
    const signal = new AbortController().signal
    const hanging = object.hang({ signal })
    await hanging.next()
    const pending = hanging.next()
    await hanging.return()
    expect(await pending).toEqual({ done: true, value: undefined })
    expect(service.seen.aborted).toHaveLength(1)
    expect(await hanging.next()).toEqual({ done: true, value: undefined })
  })

  it('ends with the error after the values, and then is over', async () => {
    const { object } = connect()
    const sequence = object.countThenFail(2)
    expect([(await sequence.next()).value, (await sequence.next()).value]).toEqual([0, 1])
    await expect(sequence.next()).rejects.toBeInstanceOf(ContextLengthError)
    expect(await sequence.next()).toEqual({ done: true, value: undefined })
  })

  it('must be named as one, and nothing else may be', async () => {
    const { object } = connect({ sequences: ['add' as never] })
    await expect(object.count(3) as never).rejects.toThrow(/count gives a sequence of values/)
    const wrong = object.add(1, 2) as unknown as AsyncGenerator
    await expect(wrong.next()).rejects.toThrow(/add gives no sequence/)
  })
})

describe('the connection', () => {
  it('reports when calls are in flight', async () => {
    const busy: boolean[] = []
    const { object, connection } = connect({ onBusy: (isBusy) => busy.push(isBusy) })
    const both = Promise.all([object.add(1, 2), object.add(3, 4)])
    expect(connection.inFlight).toBe(2)
    await both
    expect([connection.inFlight, busy]).toEqual([0, [true, false]])
  })

  it('ends every call with the error where the other side is gone', async () => {
    const { object, connection } = connect()
    await connection.ready
    const waiting = object.wait({ signal: new AbortController().signal })
    const reading = object.hang({})
    await reading.next()
    const next = reading.next()
    connection.fail(new WorkerError('gone'))
    await expect(waiting).rejects.toThrow('gone')
    await expect(next).rejects.toBeInstanceOf(WorkerError)
    await expect(object.add(1, 2)).rejects.toThrow('gone')
    await connection.stop()
  })

  it('stops: what runs is ended, the object is closed once, later calls are refused', async () => {
    const { port1, port2 } = new MessageChannel()
    ports.push(port1)
    const service = createService()
    const order: string[] = []
    exposeObject(port2, service, { close: () => void order.push(`closed, ${service.seen.left}`) })
    const connection = connectObject<Service>(port1, { sequences, ahead: 1 })
    const reading = connection.object.count(1000)
    await reading.next()
    await Promise.all([connection.stop(), connection.stop()])
    expect(order).toEqual(['closed, 1'])
    await expect(connection.object.add(1, 2)).rejects.toBeInstanceOf(WorkerError)
  })

  it('gets the reason why there is no object', async () => {
    const { port1, port2 } = new MessageChannel()
    ports.push(port1)
    const connection = connectObject<Service>(port1)
    const early = connection.object.add(1, 2)
    early.catch(() => {}) // awaited below
    exposeFailure(port2, new OptionError('maxRows: got 0'))
    await expect(connection.ready).rejects.toBeInstanceOf(OptionError)
    await expect(early).rejects.toThrow(/^The worker has no object: maxRows: got 0$/)
    await expect(early).rejects.toBeInstanceOf(WorkerError)
  })
})
