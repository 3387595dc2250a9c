// The contract of every loss: its gradient is the derivative of its value, the table describes its
// options, and wrong options are refused.

import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import type { Graph } from '../../graph/ir.ts'
import { doubled, expectClose, normal } from '../../graph/testing.ts'
import type { Batch } from '../batches/batch.ts'
import type { HeadGraph, Loss, NamedTensors } from './loss.ts'

const vocabulary = 7
const labels = [0, 3, 6, 3, 1, 5, 2]
/** Learned tokens of each row, for two pairs or four rows. */
const labelCounts = [2, 1, 3, 1]
/** Of the four rows. */
const grades = [1.5, -0.7, 0.4, -1.2].map((advantage) => ({
  reward: advantage > 0 ? 1 : 0,
  advantage,
}))
const step = 1e-5 // of the central difference in f64: its own error is about 1e-10

/** A head that is nothing but logits. */
function buildHeadGraph(ending: HeadGraph, words = vocabulary): Graph {
  const g = new GraphBuilder()
  const logits = g.input('logits', 'f32', ['M', words]) // and the states
  for (const [name, value] of Object.entries(ending(g, logits, logits))) g.output(name, value)
  return g.build()
}

const createLabelFeeds = (): Map<string, Tensor> =>
  new Map<string, Tensor>([
    ['labels', i64([labels.length], labels)],
    [
      'weights',
      f32(
        [labels.length],
        labels.map((_, m) => (m + 1) / 28),
      ),
    ],
  ])

/** Everything a loss reads; the frozen model's outputs are computed from separate logits. */
export function collectLossFeeds(loss: Loss, settings: object): Map<string, Tensor> {
  const feeds = createLabelFeeds()
  const pass = loss.frozen?.(settings)
  let frozen: NamedTensors = new Map()
  if (pass) {
    const logits = normal(random(5), [labels.length, vocabulary], 2)
    const outputs = evaluate(buildHeadGraph(pass.graph), new Map([...feeds, ['logits', logits]]))
    frozen = pass.condense?.(outputs) ?? outputs
  }
  const ids = Int32Array.from(labels)
  const batch = { labels: ids, ids, scored: ids.map((_, m) => m) } as Batch
  for (const [name, tensor] of loss.feeds?.(
    {
      batch,
      labelCounts,
      groupSize: 2,
      pairWeights: [0.25, 0.75],
      verdicts: [true, false],
      grades,
      frozen,
    },
    settings,
  ) ?? [])
    feeds.set(name, tensor)
  return feeds
}

export const buildLossGraph = (loss: Loss, settings: object, words?: number): Graph =>
  buildHeadGraph((g, logits, states) => loss.graph(g, logits, settings, states), words)

/** The graph with the inputs of `stopGradient` replaced by their values at these feeds. */
function fixStopped(graph: Graph, feeds: ReadonlyMap<string, Tensor>): Graph {
  const stopped = graph.nodes.filter(({ operation }) => operation === 'stopGradient')
  const outputs = new Map(stopped.map(({ output }) => [output.name, output]))
  const values = evaluate({ ...graph, outputs }, feeds)
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => !stopped.includes(node)),
    constants: new Map([...graph.constants, ...values]),
  }
}

export function lossContract(loss: Loss, optionsOf: Readonly<Record<string, unknown>>): void {
  const settings = loss.complete(optionsOf)
  const logits = normal(random(3), [labels.length, vocabulary], 2)

  it('has the gradient of its value: central differences in f64', () => {
    const graph = buildLossGraph(loss, settings)
    const wide = new Map(
      [...collectLossFeeds(loss, settings), ['logits', logits] as const].map(([name, tensor]) => [
        name,
        doubled(tensor),
      ]),
    )
    const fixed = fixStopped(graph, new Map([...wide, ['logits', doubled(logits)]]))
    const own = withGradients(graph, { of: ['loss'], withRespectTo: ['logits'] })
    const valueAt = (data: Float64Array): number =>
      Number(
        evaluate(fixed, new Map([...wide, ['logits', { ...wide.get('logits')!, data }]])).get(
          'loss',
        )!.data[0],
      )
    const slopes = Float64Array.from(logits.data, (_, at) => {
      const moved = (by: number): number =>
        valueAt(Float64Array.from(logits.data, (value, i) => (i === at ? value + by : value)))
      return (moved(step) - moved(-step)) / (2 * step)
    })
    expectClose(
      evaluate(own, wide).get(toGradientName('logits')),
      { dtype: 'f64', shape: logits.shape, data: slopes },
      1e-8,
    )
  })
  it('reports finite numbers from its outputs', () => {
    const outputs = evaluate(
      buildLossGraph(loss, settings),
      new Map([...collectLossFeeds(loss, settings), ['logits', logits]]),
    )
    expect(Number.isFinite(Number(outputs.get('loss')!.data[0]))).toBe(true)
    outputs.delete('loss')
    expect(outputs.size > 0).toBe(loss.report !== undefined)
    for (const number of Object.values(loss.report?.([outputs]) ?? {}))
      expect(Number.isFinite(number)).toBe(true)
  })
  it('has complete settings without any option, and refuses unknown ones all at once', () => {
    expect(Object.keys(loss.complete({})).sort()).toEqual(Object.keys(loss.options).sort())
    expect(() => loss.complete({ surely: 1, unknown: 2 })).toThrow(OptionError)
    expect(() => loss.complete({ surely: 1, unknown: 2 })).toThrow(/"surely".*"unknown"/)
  })
}
