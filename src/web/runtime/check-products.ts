// Products with known results, in the forms that serving and gradients use. ONNX Runtime's build
// for WebGL and its older WebGPU (the import `onnxruntime-web` without a subpath) computes those of
// gradients wrong.

import { UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { referenceBackend } from '../../compute/reference.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import type { Graph } from '../../graph/ir.ts'

const rows = 5
const inFeatures = 8
const outFeatures = 3

function buildProducts(): Graph {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', [2, rows, inFeatures])
  const gradient = g.input('g', 'f32', [2, rows, outFeatures])
  const weight = g.weight('w', [outFeatures, inFeatures])
  g.output('forward', g.op('linear', [x, weight], { module: 'm' }))
  g.output('input', g.op('matmul', [gradient, weight], { transA: false, transB: false, alpha: 1 }))
  g.output('weight', g.op('matmul', [gradient, x], { transA: true, transB: false, alpha: 0.5 }))
  return g.build()
}

const fill = (shape: number[], step: number): Tensor =>
  f32(
    shape,
    Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      (_, i) => ((i * step) % 17) / 8 - 1,
    ),
  )

/** Throws UnsupportedError if a product is wrong. */
export async function checkProducts(backend: Backend): Promise<void> {
  const graph = buildProducts()
  const feeds = new Map([
    ['x', fill([2, rows, inFeatures], 5)],
    ['g', fill([2, rows, outFeatures], 7)],
    ['w', fill([outFeatures, inFeatures], 3)],
  ])
  const [expected, got] = await Promise.all([
    referenceBackend.compile(graph).then((program) => program.run(feeds)),
    runOnce(backend, graph, feeds),
  ])
  for (const [name, { data }] of expected) {
    const own = got.get(name)!.data
    const isRight = data.length === own.length && !data.some((value, i) => isFar(value, own[i]!))
    if (isRight) continue
    throw new UnsupportedError(
      `The runtime that was given computes wrong numbers (the product "${name}" of a known test). Use onnxruntime-web/wasm; the bare import of onnxruntime-web is known to compute wrong gradients.`,
    )
  }
}

/** NaN is far from everything. */
const isFar = (a: number | bigint, b: number | bigint): boolean =>
  !(Math.abs(Number(a) - Number(b)) < 1e-4)

async function runOnce(
  backend: Backend,
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const program = await backend.compile(graph, { lean: true })
  try {
    return await program.run(feeds)
  } finally {
    await program.dispose()
  }
}
