import { beforeAll, describe, expect, it } from 'vitest'
import { f32 } from '../../base/tensor.ts'
import type { Program } from '../../compute/backend.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { composeBlocks, type ModelGraph } from '../../graph/model-graph.ts'
import { toAdapterFeeds, type Adapter } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { attach } from '../attach.ts'
import {
  backend,
  type Base,
  feedsFor,
  folderAt,
  furthest,
  logitsOf,
  parity,
  storiesBase,
} from '../../../test/support/adapters.ts'
import { loadAdapter } from '../files/peft.ts'
import { attachSlots, computeServingFeeds } from './slots.ts'

const ids = [[1, 40, 9, 222, 7]]
let base: Base
let slots: ModelGraph
let program: Program
beforeAll(async () => {
  base = await storiesBase()
  slots = attachSlots(base.model)
  program = await backend.compile(composeBlocks(slots.blocks))
})

const run = async (adapter: Adapter | undefined): Promise<Float32Array> => {
  const outputs = await program.run(
    new Map([...feedsFor(base, ids), ...computeServingFeeds(adapter, slots)]),
  )
  return outputs.get('logits')!.data as Float32Array
}
const parityAdapter = (name: string): Promise<Adapter> =>
  loadAdapter(folderAt(new URL(`${name}/`, parity)))

describe('slots', () => {
  it('give every linear layer inside the layers room for a rank of its own, and layers still share one graph', () => {
    const [embed, first, ...others] = slots.blocks
    const inputs = first!.graph.inputs.filter(({ role }) => role === 'adapter')
    expect(inputs).toHaveLength(14)
    expect(inputs[0]).toMatchObject({
      name: 'self_attn.q_proj.A',
      shape: ['R:self_attn.q_proj', 64],
    })
    expect(inputs[1]).toMatchObject({
      name: 'self_attn.q_proj.B',
      shape: [64, 'R:self_attn.q_proj'],
    })
    expect(others.slice(0, 4).every(({ graph }) => graph === first!.graph)).toBe(true)
    expect(
      [embed!, others[4]!].flatMap(({ graph }) =>
        graph.inputs.filter(({ role }) => role === 'adapter'),
      ),
    ).toEqual([])
  })

  it('serve the base exactly when they are empty, at rank 0, on both backends', async () => {
    const bare = await logitsOf(base.model, feedsFor(base, ids))
    expect(await run(undefined)).toEqual(bare)
    expect(
      [...computeServingFeeds(undefined, slots).values()].every(({ data }) => data.length === 0),
    ).toBe(true)
    const reference = evaluate(
      composeBlocks(slots.blocks),
      new Map([...feedsFor(base, ids), ...computeServingFeeds(undefined, slots)]),
    )
    expect(furthest(reference.get('logits')!.data as Float32Array, bare)).toBeLessThan(1e-3)
  })

  it('swap adapters of any ranks and layers in one program, and give the first one’s output again', async () => {
    const patterns = await parityAdapter('lora_patterns')
    const layers = await parityAdapter('lora_layers')
    const first = await run(patterns)
    const second = await run(layers)
    expect(
      furthest(
        first,
        await logitsOf(
          attach(base.model, patterns),
          new Map([...feedsFor(base, ids), ...toAdapterFeeds(patterns)]),
        ),
      ),
    ).toBeLessThan(1e-3)
    expect(
      furthest(
        second,
        await logitsOf(
          attach(base.model, layers),
          new Map([...feedsFor(base, ids), ...toAdapterFeeds(layers)]),
        ),
      ),
    ).toBeLessThan(1e-3)
    expect(furthest(first, second)).toBeGreaterThan(0.1)
    expect(await run(patterns)).toEqual(first)
    expect(await run(undefined)).toEqual(await logitsOf(base.model, feedsFor(base, ids)))
  })

  it('say everything they have no room for', () => {
    const adapter = initializeAdapter(
      'lora',
      { rank: 2, targets: ['lm_head', 'embed_tokens', 'q_proj'] },
      base.model,
      { seed: 1 },
    )
    expect(() => computeServingFeeds(adapter, slots)).toThrow(
      /model\.embed_tokens: has no slot\n\s+lm_head: has no slot\nUse attach/,
    )
    const shifted = initializeAdapter(
      'lora',
      { rank: 2, targets: ['q_proj'], layers: [0], loraBias: true },
      base.model,
      { seed: 1 },
    )
    expect(() => computeServingFeeds(shifted, slots)).toThrow(
      'model.layers.0.self_attn.q_proj: its slot has no shift',
    )
    expect(() => computeServingFeeds(adapter, base.model)).toThrow('the model has no slots')
  })

  it('do not pass over tensors that the model has no layer for', async () => {
    const adapter = await parityAdapter('lora_qv_r8')
    const stray = {
      ...adapter,
      tensors: new Map([
        ...adapter.tensors,
        ['base_model.model.model.layers.7.mlp.up_proj.lora_A.weight', f32([1, 64])],
      ]),
    } as Adapter
    expect(() => computeServingFeeds(stray, slots)).toThrow(
      'model.layers.7.mlp.up_proj.lora_A.weight: the model has no layer for it',
    )
  })
})
