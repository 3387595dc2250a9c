// Calls into a worker: by name, with events on the way, a result or a problem at the end, and an
// AbortSignal that reaches the worker. Independent of models.

/** Input, progress, result. */
export interface CallShape {
  readonly input: unknown
  readonly event: unknown
  readonly output: unknown
}

/** The calls of a worker by name. */
export type CallTable<Calls> = Record<keyof Calls, CallShape>

export type Handlers<Calls extends CallTable<Calls>> = {
  readonly [Name in keyof Calls]: (
    input: Calls[Name]['input'],
    tell: (event: Calls[Name]['event']) => void,
    signal: AbortSignal,
  ) => Promise<Calls[Name]['output']>
}

export interface CallOptions<Event> {
  readonly onEvent?: (event: Event) => void
  readonly signal?: AbortSignal | undefined
}

export type Caller<Calls extends CallTable<Calls>> = <Name extends keyof Calls & string>(
  name: Name,
  input: Calls[Name]['input'],
  options?: CallOptions<Calls[Name]['event']>,
) => Promise<Calls[Name]['output']>

type Asked =
  | { readonly id: number; readonly name: string; readonly input: unknown }
  | { readonly id: number; readonly aborts: true }
type Told =
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly problem: { readonly name: string; readonly message: string } }

/** Both ends of a channel: a Worker outside, `self` inside. */
export interface CallPort {
  postMessage(message: unknown): void
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void
}

/** Inside the worker: answers calls, several at a time. */
export function serveCalls<Calls extends CallTable<Calls>>(
  port: CallPort,
  handlers: Handlers<Calls>,
): void {
  const running = new Map<number, AbortController>()
  const tell = (told: Told): void => port.postMessage(told)
  port.addEventListener('message', ({ data }) => {
    const asked = data as Asked
    if ('aborts' in asked) running.get(asked.id)?.abort()
    else void answer(asked)
  })
  async function answer({ id, name, input }: Exclude<Asked, { aborts: true }>): Promise<void> {
    const controller = new AbortController()
    running.set(id, controller)
    try {
      const handler = handlers[name as keyof Calls]
      const output = await handler(
        input as never,
        (event) => tell({ id, event }),
        controller.signal,
      )
      tell({ id, output })
    } catch (error) {
      const { name: kind, message } = error instanceof Error ? error : new Error(String(error))
      tell({ id, problem: { name: kind, message } })
    } finally {
      running.delete(id)
    }
  }
}

interface Waiting {
  readonly resolve: (output: never) => void
  readonly reject: (error: Error) => void
  readonly onEvent: ((event: never) => void) | undefined
}

/** Outside of the worker. A call rejects with an Error of the worker's name and sentence. */
export function createCaller<Calls extends CallTable<Calls>>(port: Worker): Caller<Calls> {
  const waiting = new Map<number, Waiting>()
  let last = 0
  port.addEventListener('message', ({ data }) => {
    const told = data as Told
    const call = waiting.get(told.id)
    if (!call) return
    if ('event' in told) return void call.onEvent?.(told.event as never)
    waiting.delete(told.id)
    if ('output' in told) call.resolve(told.output as never)
    else call.reject(Object.assign(new Error(told.problem.message), { name: told.problem.name }))
  })
  port.addEventListener('error', ({ message }) => {
    const reason = new Error(`The worker could not be started or has ended: ${message}`)
    for (const { reject } of waiting.values()) reject(reason)
    waiting.clear()
  })
  return (name, input, { onEvent, signal } = {}) => {
    const id = ++last
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve: resolve as Waiting['resolve'], reject, onEvent })
      signal?.addEventListener('abort', () => port.postMessage({ id, aborts: true }))
      port.postMessage({ id, name, input })
      if (signal?.aborted) port.postMessage({ id, aborts: true })
    })
  }
}
