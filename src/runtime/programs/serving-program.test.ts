import * as ort from 'onnxruntime-node'
import { createProgramCompiler } from './program-compiler.ts'
import { describe, expect, it } from 'vitest'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createBaseWeights } from './base-weights.ts'
import { createForward } from './forward.ts'
import { createServingProgram, buildServingGraph } from './serving-program.ts'

const onnx = createOnnxRuntimeBackend(ort as never, { threads: 1 })
// has biases on q, k and v
const path = new URL('../../../test/parity/architectures/qwen2', import.meta.url).pathname

async function opened() {
  const base = await openBaseModel({ name: 'qwen2', folder: await openDirectory(path) })
  const weights = createBaseWeights(base.graph, base.weights, 'q4')
  const adapter = initializeAdapter(
    'lora',
    {
      rank: 3,
      rankPattern: { v_proj: 5 },
      targets: ['q_proj', 'v_proj', 'up_proj', 'o_proj'],
      layers: [0],
      start: 'random',
    },
    base.graph,
    { seed: 1 },
  )
  return { base, weights, adapter, model: base.graph }
}

describe('the serving program', () => {
  it('stacks q, k, v and gate, up of packed weights, and leaves float weights alone', async () => {
    const { base, weights, model } = await opened()
    const { stacks } = buildServingGraph({ model, weights, accuracy: 'exact' })
    expect(stacks.slice(0, 2).map(({ module }) => module)).toEqual([
      'model.layers.0.self_attn.q_proj+k_proj+v_proj',
      'model.layers.0.mlp.gate_proj+up_proj',
    ])
    expect(
      buildServingGraph({
        model,
        weights: createBaseWeights(model, base.weights),
        accuracy: 'exact',
      }).stacks,
    ).toEqual([])
    await base.weights.close()
  })

  it('gives the same from stacked slots as from single layers with the adapter attached', async () => {
    const { base, weights, adapter, model } = await opened()
    const compiler = createProgramCompiler({ weights, backend: onnx })
    const common = { model, weights, compiler, accuracy: 'exact' } as const
    const programs = [
      createServingProgram(common),
      createServingProgram({ ...common, attached: adapter }),
    ]
    const tokens = [
      [5, 9, 33, 70],
      [8, 4],
    ]
    const [stacked, single] = await Promise.all(
      programs.map(async (program) => {
        const forward = createForward({ config: base.config, weights, program: () => program })
        return (await forward(tokens, forward.cache(2), { served: adapter, at: 'all' })).flat()
      }),
    )
    const plain = createForward({ config: base.config, weights, program: () => programs[0]! })
    const without = (await plain(tokens, plain.cache(2), { at: 'all' })).flat()
    const distance = (a: Float32Array, b: Float32Array): number =>
      a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)
    expect(stacked).toHaveLength(6)
    expect(Math.max(...stacked!.map((row, i) => distance(row, single![i]!)))).toBeLessThan(1e-4)
    expect(Math.min(...stacked!.map((row, i) => distance(row, without[i]!)))).toBeGreaterThan(1e-3)
    await base.weights.close()
  })
})
