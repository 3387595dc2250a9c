// An async generator that can be left while it computes a value. A plain one ends only when the
// value is ready, which may take long if the request waits for a row.

import { OptionError } from '../../base/errors.ts'

/**
 * The values of `open`, whose signal is aborted when the reader leaves or `outer` is aborted:
 *
 *     generate: (request) => createLeavable(request.signal, (signal) => run({ ...request, signal }))
 */
export const createLeavable = <Value>(
  outer: AbortSignal | undefined,
  open: (signal: AbortSignal) => AsyncGenerator<Value, void>,
): AsyncGenerator<Value, void, void> => new Leavable(outer, open)

class Leavable<Value> implements AsyncGenerator<Value, void, void> {
  readonly #left = new AbortController()
  readonly #values: AsyncGenerator<Value, void>

  constructor(
    outer: AbortSignal | undefined,
    open: (signal: AbortSignal) => AsyncGenerator<Value, void>,
  ) {
    const { signal } = this.#left
    this.#values = open(outer ? AbortSignal.any([outer, signal]) : signal)
  }

  next(): Promise<IteratorResult<Value, void>> {
    return this.#values.next()
  }

  async return(): Promise<IteratorReturnResult<void>> {
    await this.#leave()
    return { done: true, value: undefined }
  }

  async throw(error: unknown): Promise<never> {
    await this.#leave()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#leave()
  }

  async #leave(): Promise<void> {
    this.#left.abort(new OptionError('The request was left by its reader.'))
    await this.#values.return()
  }
}
