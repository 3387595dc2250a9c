// Measures this machine's speed of matrix products: times one layer, forward and backward, for a
// second.

import { random } from '../../base/random.ts'
import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { type Block, composeBlocks } from '../../graph/model-graph.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import { selectLocalFeeds } from '../programs/gradient-checkpointing.ts'
import { collectDims, countProductOperations } from './graph-cost.ts'

/**
 * Times one layer forward and backward at the batch's shape, because a step consists mostly of
 * that. Runs for about `seconds`, at least three times; the rate is that of the median run, in
 * operations a second.
 */
export async function calibrate(
  layer: Block,
  {
    wanted,
    feeds,
    width,
    backend,
    seconds,
    now,
  }: {
    wanted: readonly string[]
    feeds: Map<string, Tensor>
    width: number
    backend: Backend
    seconds: number
    now: () => number
  },
): Promise<{ rate: number; seconds: number }> {
  const graph = composeBlocks([layer])
  const own = graph.inputs.flatMap(({ name }) => (wanted.includes(name) ? [name] : []))
  const whole = withGradients(graph, {
    of: ['x'],
    withRespectTo: ['x', ...own],
    keep: [],
    recompute: {},
  })
  const { shape } = feeds.get('ids')!
  const numbers = random(1)
  const normal = (): Tensor =>
    f32(
      [...shape, width],
      Float32Array.from({ length: sizeOf(shape) * width }, () => numbers.uniform() - 0.5),
    )
  const fed = selectLocalFeeds(feeds, { ...layer, prefix: '', graph: whole }, [
    ['x', normal()],
    [toGradientName('x'), normal()],
  ])
  const program = await backend.compile(whole, { lean: true })
  try {
    const times: number[] = []
    const started = now()
    do {
      const before = now()
      await program.run(fed)
      times.push((now() - before) / 1000)
    } while (times.length < 3 || now() - started < seconds * 1000)
    const steady = times.slice(1).sort((a, b) => a - b) // the first run warms up
    const median = steady[Math.floor(steady.length / 2)]!
    return {
      rate: countProductOperations(whole, collectDims(whole, fed)) / median,
      seconds: (now() - started) / 1000,
    }
  } finally {
    await program.dispose()
  }
}
