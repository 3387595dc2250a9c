// The policy as a graph over a fixed number of words, with its loss: FastGRNN unrolled in time, so
// that the gradient pass of the graphs is back-propagation through time. Independent of texts and
// of the table of word vectors, whose gradient leaves by the words' vectors.

import { GraphBuilder } from '../../graph/builder.ts'
import type { Graph, Value } from '../../graph/ir.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import { listHeads, listWeightShapes, type PolicyShape } from './policy-weights.ts'

/** The weights of the losses of the tier and of the confidence, relative to that of the expert. */
const sideWeight = 0.3

type Weigh = (name: string) => Value

/**
 * h after a word: z = σ(Wx + Uh + b_z), h̃ = tanh(Wx + Uh + b_h), h' = z⊙h + (σ(ζ)(1−z) + σ(ν))⊙h̃.
 */
function buildStep(
  g: GraphBuilder,
  weigh: Weigh,
  fromWord: Value,
  state: Value | undefined,
): Value {
  const unary = (operation: string, x: Value): Value => g.op(operation, [x])
  const times = (x: Value, weight: string): Value => g.matmul(x, weigh(weight), { transB: true })
  const sum = state ? g.add(fromWord, times(times(state, 'U2'), 'U1')) : fromWord
  const gate = unary('sigmoid', g.add(sum, weigh('gateBias')))
  const fresh = unary('tanh', g.add(sum, weigh('stateBias')))
  const zeta = unary('sigmoid', weigh('zeta'))
  // σ(ζ)(1−z) + σ(ν) = (σ(ζ) + σ(ν)) − σ(ζ)·z
  const share = g.subtract(g.add(zeta, unary('sigmoid', weigh('nu'))), g.multiply(zeta, gate))
  const added = g.multiply(share, fresh)
  return state ? g.add(g.multiply(gate, state), added) : added
}

/** What the heads read, [N, H]. A row whose text has ended keeps its state. */
function buildStates(g: GraphBuilder, weigh: Weigh, shape: PolicyShape, steps: number): Value {
  let state: Value | undefined
  let total: Value | undefined
  for (let t = 0; t < steps; t++) {
    const word = g.input(`word${t}`, 'f32', ['N', shape.width])
    const present = g.input(`present${t}`, 'f32', ['N', 1])
    const fromWord = g.matmul(g.matmul(word, weigh('W2'), { transB: true }), weigh('W1'), {
      transB: true,
    })
    const next = buildStep(g, weigh, fromWord, state)
    if (shape.reads === 'mean') {
      // The input is 1/T where there is a word.
      const share = g.multiply(next, g.input(`share${t}`, 'f32', ['N', 1]))
      total = total ? g.add(total, share) : share
    }
    state = state
      ? g.add(state, g.multiply(g.subtract(next, state), present))
      : g.multiply(next, present)
  }
  return total ?? state!
}

/**
 * Inputs: `word<t>` [N, D], `present<t>` [N, 1] (1, or 0 behind a text's end), `share<t>` for a
 * mean, `kept` [N, H] (dropout: 0, or 1/(1 − p)), the weights by name, and the shares that the
 * heads should give. Outputs: logits by head, and the loss summed over the batch.
 */
export function buildPolicyGraph(shape: PolicyShape, steps: number): Graph {
  const g = new GraphBuilder()
  const shapes = listWeightShapes(shape)
  const weigh: Weigh = (name) => g.weight(name, shapes.get(name)!)
  const read = g.multiply(
    buildStates(g, weigh, shape, steps),
    g.input('kept', 'f32', ['N', shape.hidden]),
  )
  let loss: Value | undefined
  for (const [head, size] of listHeads(shape)) {
    const logits = g.add(
      g.matmul(read, weigh(`${head}.weight`), { transB: true }),
      weigh(`${head}.bias`),
    )
    g.output(head, logits)
    const wanted = g.input(`wanted.${head}`, 'f32', ['N', size])
    const rows =
      head === 'confidence'
        ? // −y·log σ(c) − (1−y)·log(1−σ(c)) = softplus(c) − y·c
          g.reshape(g.subtract(g.op('softplus', [logits]), g.multiply(wanted, logits)), ['N'])
        : g.op('softCrossEntropy', [logits, wanted])
    const weighted = g.multiply(rows, g.input(`counts.${head}`, 'f32', ['N']))
    const own = g.scale(g.reduceSum(weighted, [0]), head === 'expert' ? 1 : sideWeight)
    loss = loss ? g.add(loss, own) : own
  }
  g.output('loss', loss!)
  return g.build()
}

/** The graph with the gradients of the loss: of every weight but the table, and of the words. */
export function buildPolicyGradients(shape: PolicyShape, steps: number): Graph {
  const words = Array.from({ length: steps }, (_, t) => `word${t}`)
  // One word alone has no state before it, so U has no part in the loss.
  const unused = new Set(steps === 1 ? ['table', 'U1', 'U2'] : ['table'])
  const names = [...listWeightShapes(shape).keys()].filter((name) => !unused.has(name))
  return withGradients(buildPolicyGraph(shape, steps), {
    of: ['loss'],
    withRespectTo: [...names, ...words],
  })
}

export const gradientOf = toGradientName
