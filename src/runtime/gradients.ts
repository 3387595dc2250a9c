// model.gradients: rows and scored positions as one batch of the gradient program. Programs are
// kept by the adapter's configuration.

import type { Adapter } from '../adapters/index.ts'
import { toAdapterFeeds, listVirtualIds } from '../adapters/adapter.ts'
import { toPeftKey } from '../adapters/keys.ts'
import type { F32Tensor, Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { PADDING } from '../graph/feeds.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { Batch } from '../train/batches/batch.ts'
import type { GradientProgram } from '../train/programs/gradient-program.ts'
import type { ScoredLabel } from './scoring.ts'

export interface Gradients {
  readonly loss: number
  /** By PEFT key, f32. */
  readonly gradients: Map<string, Tensor>
}

export interface Differentiator {
  run(
    ids: readonly (readonly number[])[],
    scored: readonly ScoredLabel[],
    adapter: Adapter,
    trainable: readonly string[],
  ): Promise<Gradients>
  dispose(): Promise<void>
}

/** Rows side by side, padded on the right; the mean of the scored losses. */
export function toBatch(
  ids: readonly (readonly number[])[],
  scored: readonly ScoredLabel[],
): Batch {
  const tokens = Math.max(...ids.map(({ length }) => length))
  const spread = (fill: number, value: (row: readonly number[], t: number) => number): Int32Array =>
    Int32Array.from(
      ids.flatMap((row) =>
        Array.from({ length: tokens }, (_, t) => (t < row.length ? value(row, t) : fill)),
      ),
    )
  return {
    rows: ids.length,
    tokens,
    ids: spread(0, (row, t) => row[t]!),
    positions: spread(0, (_, t) => t),
    segments: spread(PADDING, () => 0),
    scored: Int32Array.from(scored, ({ row, position }) => row * tokens + position),
    labels: Int32Array.from(scored, ({ label }) => label),
    weights: new Float32Array(scored.length).fill(1 / scored.length),
  }
}

/** Gradients over one base. The weights are read once, at the first call. */
export function createDifferentiator(parts: {
  graph: ModelGraph
  backend: Backend
  weights: () => Promise<Map<string, F32Tensor>>
}): Differentiator {
  const programs = new Map<string, Promise<GradientProgram>>()
  const compile = async (
    { kind, config }: Adapter,
    trainable: readonly string[],
  ): Promise<GradientProgram> => {
    // without dropout, so that it is the gradient of what `loss` returns
    const adapter = { kind, config: { ...config, dropout: 0 } }
    const { createGradientProgram } = await import('../train/programs/gradient-program.ts')
    return createGradientProgram({
      graph: parts.graph,
      backend: parts.backend,
      weights: await parts.weights(),
      adapter,
      trainable,
    })
  }
  return {
    async run(ids, scored, adapter, trainable) {
      const key = JSON.stringify([adapter.kind, adapter.config, trainable])
      const program = programs.get(key) ?? compile(adapter, trainable)
      programs.set(key, program)
      const parameters = new Map(
        [...toAdapterFeeds(adapter)].map(([name, tensor]) => [toPeftKey(name), tensor]),
      )
      const virtual = listVirtualIds(adapter)
      const rows = ids.map((row) => [...virtual, ...row])
      const moved = scored.map((one) => ({ ...one, position: one.position + virtual.length }))
      return (await program).gradients(toBatch(rows, moved), parameters)
    },
    async dispose() {
      const made = [...programs.values()]
      programs.clear()
      await Promise.all(made.map(async (program) => (await program).dispose()))
    },
  }
}
