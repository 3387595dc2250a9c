// A head's graph that ends in something else than logits: in a loss, or in what a frozen model is
// asked for.

import type { Graph, Value } from '../../graph/ir.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'
import type { HeadGraph } from './loss.ts'

/**
 * The head with `ending` behind its logits and states, and the ending's values as its only outputs.
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
