// A head's graph that ends in something other than logits: a loss, or the requested outputs of a
// frozen model.

import type { Graph, Value } from '../../graph/ir.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'
import type { HeadGraph } from './loss.ts'

/**
 * The head followed by `ending`, which reads its logits and states; the ending's values are the
 * only outputs.
 */
export function withEnding(head: Graph, ending: HeadGraph): Graph {
  let names: string[] = []
  const ended = rewrite(
    head,
    '%loss',
    () => undefined,
    (g, valueOf) => {
      const [logits, states] = (['logits', 'hidden'] as const).map((name) =>
        valueOf(head.outputs.get(name)!),
      ) as [Value, Value]
      const values = Object.entries(ending(g, logits, states))
      names = values.map(([name]) => name)
      for (const [name, value] of values) g.output(name, value)
    },
  )
  return prune({
    ...ended,
    outputs: new Map(names.map((name) => [name, ended.outputs.get(name)!])),
  })
}
