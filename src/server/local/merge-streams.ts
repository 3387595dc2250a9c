// Merges several streams, in the order in which their items arrive. The first error ends all.

/** Items with the number of their stream. Leaving the loop returns every stream. */
export async function* mergeStreams<Item>(
  streams: readonly AsyncIterable<Item>[],
): AsyncGenerator<readonly [index: number, item: Item], void> {
  if (streams.length === 1) {
    for await (const item of streams[0]!) yield [0, item]
    return
  }
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]())
  const ready: (readonly [number, IteratorResult<Item>])[] = []
  let failure: { readonly error: unknown } | undefined
  let wake = (): void => {}
  const pull = (index: number): void => {
    iterators[index]!.next().then(
      (result) => {
        ready.push([index, result])
        wake()
      },
      (error: unknown) => {
        failure ??= { error }
        wake()
      },
    )
  }
  iterators.forEach((_, index) => pull(index))
  try {
    for (let running = iterators.length; running > 0;) {
      if (ready.length === 0 && !failure) await new Promise<void>((resolve) => (wake = resolve))
      for (let next = ready.shift(); next; next = ready.shift()) {
        const [index, result] = next
        if (result.done) running--
        else {
          yield [index, result.value]
          pull(index)
        }
      }
      if (failure) throw failure.error
    }
  } finally {
    for (const iterator of iterators) void iterator.return?.().catch(() => {})
  }
}
