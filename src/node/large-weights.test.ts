// Weights in memory that exceed one ONNX message are passed to ONNX Runtime separately; if others
// are in a file, that is refused.

import * as ort from 'onnxruntime-node'
import { expect, it } from 'vitest'
import { f32, type FileTensor, type Tensor } from '../base/tensor.ts'
import { createNativeSession } from '../compute/native-session.ts'
import type { OnnxRuntime } from '../compute/onnx-library.ts'
import { encodeOnnx } from '../formats/onnx.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { toOnnx } from '../graph/passes/to-onnx.ts'

const width = 160 // 160 × 160 numbers are more than stays in the model

/** x + a + b. */
function buildSum(initializers: ReadonlyMap<string, Tensor | FileTensor>) {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', [width, width])
  const [a, b] = ['a', 'b'].map((name) => g.weight(name, [width, width]))
  g.output('sum', g.op('add', [g.op('add', [x, a!]), b!]))
  return toOnnx(g.build(), initializers)
}

const fill = (value: number): Tensor =>
  f32([width, width], new Float32Array(width * width).fill(value))

const runtime = ort as unknown as OnnxRuntime
const settings = { logSeverityLevel: 3 }

it('weights in memory give equal results inside the model and outside of it', async () => {
  const model = buildSum(
    new Map([
      ['a', fill(2)],
      ['b', fill(3)],
    ]),
  )
  const lengths: number[] = []
  const counting: OnnxRuntime = {
    ...runtime,
    InferenceSession: {
      create(bytes, options) {
        lengths.push(bytes.length)
        return runtime.InferenceSession.create(bytes, options)
      },
    },
  }
  const x = new runtime.Tensor('float32' as never, fill(1).data as never, [width, width])
  for (const mostBytes of [undefined, 0]) {
    const session = await createNativeSession(counting, model, settings, mostBytes)
    const [sum] = Object.values(await session.run({ x }))
    expect(new Set(sum!.data as Float32Array)).toEqual(new Set([6]))
    await session.release()
  }
  expect(lengths[0]).toBe(encodeOnnx(model).length)
  expect(lengths[1]).toBeLessThan(2000)
})

it('too many weights in memory are refused if others are in a file', async () => {
  const place = { folder: 'none', file: 'b.bin', offsetBytes: 0, sizeBytes: 4 * width * width }
  const inFile: FileTensor = { dtype: 'f32', shape: [width, width], ...place }
  const model = buildSum(
    new Map<string, Tensor | FileTensor>([
      ['a', fill(2)],
      ['b', inFile],
    ]),
  )
  await expect(createNativeSession(runtime, model, settings, 1000)).rejects.toThrow(
    /got 0\.0 GB of weights in memory beside those in a file.*GRAFT_PREPARED_GB=0/,
  )
})
