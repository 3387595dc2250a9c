// A client of the soaked server that knows what its requests may be answered with, and notes
// everything else as a problem.

import { random as createRandom, type Random } from '../../../src/base/random.ts'

/** What JSON.parse gives. */
type Parsed = ReturnType<typeof JSON.parse>

export interface ClientAnswer {
  readonly status: number
  readonly body: Parsed
  readonly text: string
}

export interface SendOptions {
  readonly method?: string
  /** Statuses that this request may be answered with. Default: 200. */
  readonly allowed?: readonly number[]
  /** The client goes away after some milliseconds. */
  readonly leavesAfterMs?: number | undefined
}

/** No request may take longer. */
const stuckMs = 120_000
const mostProblems = 20

export class SoakClient {
  readonly random: Random
  readonly problems: string[] = []
  /** How many answers had each status; 'left': the client went away. */
  readonly statuses: Record<string, number> = {}
  /** Responses of users, newest last, of which some get feedback. */
  readonly responses: { readonly id: string; readonly user: string }[] = []
  readonly #url: string

  constructor(url: string, seed: number) {
    this.#url = url
    this.random = createRandom(seed)
  }

  get isFull(): boolean {
    return this.problems.length >= mostProblems
  }

  note(problem: string): void {
    if (!this.isFull) this.problems.push(problem)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.random.integer(list.length)]!
  }

  /** undefined where the client went away, or where it is noted as a problem. */
  async send(
    path: string,
    body?: unknown,
    options: SendOptions = {},
  ): Promise<ClientAnswer | undefined> {
    const { method = body === undefined ? 'GET' : 'POST', allowed = [200], leavesAfterMs } = options
    const controller = new AbortController()
    const timers: NodeJS.Timeout[] = []
    const leaveIn = (ms: number, reason: string): void =>
      void timers.push(setTimeout(() => controller.abort(new Error(reason)), ms))
    leaveIn(stuckMs, 'stuck')
    if (leavesAfterMs !== undefined) leaveIn(leavesAfterMs, 'left')
    const what = `${method} ${path} ${typeof body === 'string' ? body.slice(0, 200) : JSON.stringify(body)?.slice(0, 300)}`
    try {
      const response = await fetch(this.#url + path, {
        method,
        headers: body instanceof FormData ? {} : { 'content-type': 'application/json' },
        signal: controller.signal,
        ...(body !== undefined && { body: toBody(body) }),
      })
      const text = await response.text()
      this.#count(String(response.status))
      if (!allowed.includes(response.status)) {
        this.note(`status ${response.status}: ${what}: ${text.slice(0, 400)}`)
        return undefined
      }
      const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
      return { status: response.status, text, body: isJson ? JSON.parse(text) : undefined }
    } catch (error) {
      const { message } = (controller.signal.reason ?? error) as Error
      if (message === 'left') this.#count('left')
      else if (message === 'stuck') this.note(`no whole answer in ${stuckMs} ms: ${what}`)
      else this.note(`${what}: ${String(error)} ${String((error as Error).cause ?? '')}`)
      return undefined
    } finally {
      for (const timer of timers) clearTimeout(timer)
    }
  }

  /** A stream must end with a record that the pattern fits. */
  async stream(path: string, body: object, end: RegExp, options: SendOptions = {}): Promise<void> {
    const answer = await this.send(path, body, options)
    if (!answer || answer.status !== 200) return
    const last = answer.text.trim().split('\n').at(-1) ?? ''
    if (!end.test(last)) this.note(`${path}: a stream that ends with ${last.slice(0, 300)}`)
  }

  #count(status: string): void {
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
  }
}

const toBody = (body: unknown): string | FormData =>
  typeof body === 'string' || body instanceof FormData ? body : JSON.stringify(body)
