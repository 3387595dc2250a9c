// PiSSA and OLoRA compared with PEFT: the start, three AdamW steps from it, and the plain LoRA that
// is saved.

import { beforeAll, describe, expect, it } from 'vitest'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { toAdapterFeeds, listParameterSpecs, type Adapter } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { attach } from '../attach.ts'
import {
  backend,
  type Base,
  feedsFor,
  feedsWith,
  folderAt,
  furthest,
  gradientGraph,
  logitsOf,
  memorySink,
  parity,
  readTensors,
  relativeDistance,
  rowsOf,
  storiesBase,
} from '../../../test/support/adapters.ts'
import { trainThreeSteps } from '../../../test/support/peft-case.ts'
import { mergeWeights } from '../merge-weights.ts'
import { toInputName, toPeftKey } from '../keys.ts'
import { addProduct } from './matrices.ts'
import { loadAdapter, saveAdapter } from '../files/peft.ts'

const values = (tensor: Tensor | undefined): Float32Array => toFloat32(tensor!)
const options = { rank: 3, alpha: 6, targets: ['q_proj', 'up_proj'], layers: [1, 3] }

describe.each(['pissa', 'olora'])('%s', (kind) => {
  let base: Base
  let expected: Map<string, Tensor>
  let fresh: Adapter
  let trained: Adapter
  let model: ModelGraph
  let losses: number[]
  let [ids, labels]: number[][][] = []
  beforeAll(async () => {
    base = await storiesBase()
    expected = await readTensors(new URL(`more/${kind}/expected.safetensors`, parity))
    ids = rowsOf(expected.get('input_ids')!)
    labels = rowsOf(expected.get('labels')!)
    fresh = initializeAdapter(kind, options, base.model, { seed: 1, weightOf: base.weightOf })
    model = attach(base.model, fresh)
    ;({ losses, trained } = await train())
  })

  async function train(): Promise<{ losses: number[]; trained: Adapter }> {
    const trainable = [...listParameterSpecs(base.model, fresh)].flatMap(([key, spec]) =>
      spec.trainable ? [toInputName(key)] : [],
    )
    const program = await backend.compile(gradientGraph(model, trainable))
    const feeds = feedsWith(base, model, fresh, { ids: ids!, labels: labels! })
    const start = new Map([...feeds, ...toAdapterFeeds(fresh)])
    const { losses: seen, parameters } = await trainThreeSteps(
      (fed) => program.run(fed),
      start,
      trainable,
    )
    const all = new Map([...toAdapterFeeds(fresh), ...parameters])
    return {
      losses: seen,
      trained: {
        ...fresh,
        tensors: new Map([...all].map(([key, tensor]) => [toPeftKey(key), tensor])),
      },
    }
  }

  it('starts from what PEFT takes out of the weight', () => {
    const starts = [...expected].filter(([key]) => key.startsWith('start.'))
    expect(starts).toHaveLength(4)
    for (const [key, tensor] of starts) {
      const part = (name: string): Tensor =>
        fresh.tensors.get(toPeftKey(`${key.slice(6)}.${name}`))!
      const a = part('lora_A.weight')
      const b = part('lora_B.weight')
      const product = new Float32Array(values(tensor).length)
      addProduct(product, values(b), values(a), [b.shape[0]!, 3, a.shape[1]!], 2)
      expect(relativeDistance(product, values(tensor)), key).toBeLessThan(1e-4)
    }
  })

  it('trains as in PEFT', () => {
    expect(furthest(losses, values(expected.get('adamw_losses')))).toBeLessThan(1e-3)
  })

  it('is saved as the plain LoRA that PEFT converts it to', async () => {
    const sink = memorySink()
    await saveAdapter(trained, sink)
    const ours = await loadAdapter(sink)
    const theirs = await loadAdapter(folderAt(new URL(`more/${kind}/`, parity)))
    expect(ours.kind).toBe('lora')
    expect(ours.config).toMatchObject({
      rank: 6,
      alpha: 12,
      targets: ['q_proj', 'up_proj'],
      start: 'kaiming',
    })
    expect([...ours.tensors].map(([key, { shape }]) => [key, shape])).toEqual(
      [...theirs.tensors].map(([key, { shape }]) => [key, shape]),
    )
    const merged = (adapter: Adapter): Map<string, Tensor> =>
      new Map(mergeWeights(base.model, adapter, base.weightOf))
    const wanted = merged(theirs)
    for (const [name, tensor] of merged(ours)) {
      const change = (one: Tensor): Float32Array =>
        values(one).map((value, i) => value - values(base.weightOf(name))[i]!)
      expect(relativeDistance(change(tensor), change(wanted.get(name)!)), name).toBeLessThan(1e-3)
    }
    const attached = attach(base.model, ours)
    const logits = await logitsOf(
      attached,
      new Map([...feedsFor(base, ids!), ...toAdapterFeeds(ours)]),
    )
    expect(furthest(logits, values(expected.get('logits')))).toBeLessThan(1e-3)
    expect(
      furthest(logits, await logitsOf(model, feedsWith(base, model, trained, { ids: ids! }))),
    ).toBeLessThan(1e-3)
  })

  it('keeps s where ranks and alphas are by module, rank-stabilised too', async () => {
    const own = {
      ...options,
      rankStabilized: true,
      rankPattern: { up_proj: 2 },
      alphaPattern: { q_proj: 3 },
    }
    const adapter = initializeAdapter(kind, own, base.model, { seed: 1, weightOf: base.weightOf })
    const moved = new Map(
      [...adapter.tensors].map(([key, tensor]) => [
        key,
        key.endsWith('.weight')
          ? f32(
              tensor.shape,
              values(tensor).map((value) => value + 0.01),
            )
          : tensor,
      ]),
    )
    const one = { ...adapter, tensors: moved }
    const sink = memorySink()
    await saveAdapter(one, sink)
    const saved = await loadAdapter(sink)
    const attached = attach(base.model, one)
    const plain = attach(base.model, saved)
    expect(
      furthest(
        await logitsOf(plain, feedsWith(base, plain, saved, { ids: ids! })),
        await logitsOf(attached, feedsWith(base, attached, one, { ids: ids! })),
      ),
    ).toBeLessThan(1e-3)
  })
})

it('needs the base, and no start of another kind', async () => {
  const base = await storiesBase()
  expect(() => initializeAdapter('pissa', options, base.model, { seed: 1 })).toThrow(
    'pass its weights as weightOf',
  )
  expect(() =>
    initializeAdapter('olora', { ...options, start: 'gaussian' }, base.model, {
      seed: 1,
      weightOf: base.weightOf,
    }),
  ).toThrow('leave it out')
})
