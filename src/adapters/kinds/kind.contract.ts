// What every adapter kind must do, run for each row of the table: see kinds.test.ts.

import { beforeAll, describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { MismatchError } from '../../base/errors.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { composeBlocks, type ModelGraph } from '../../graph/model-graph.ts'
import { checkAdapter, listParameterSpecs, type Adapter } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { attach } from '../attach.ts'
import {
  backend,
  type Base,
  feedsFor,
  feedsWith,
  furthest,
  gradientGraph,
  gradientOf,
  inDouble,
  logitsOf,
  memorySink,
  storiesBase,
  withLoss,
} from '../../../test/support/adapters.ts'
import { mergeWeights } from '../merge-weights.ts'
import { toFileKey, toInputName } from '../keys.ts'
import { loadAdapter, saveAdapter } from '../files/peft.ts'
import { attachSlots, computeServingFeeds } from '../serving/slots.ts'

export interface KindCase {
  readonly name: string
  readonly options: Readonly<Record<string, unknown>>
  /** How far a new adapter's output may be from the base's; 0 if the method is exact. */
  readonly freshTolerance: number
  /** Why a test does not apply. */
  readonly skip?: {
    readonly merge?: string
    readonly slots?: string
    readonly gradients?: string
    readonly seeds?: string
    readonly files?: string
  }
}

/** The adapter with noise on every tensor, so that nothing is zero. */
function disturbed(adapter: Adapter, seed: number): Adapter {
  const noise = random(seed)
  const tensors = new Map(
    [...adapter.tensors].map(([key, tensor]) => [
      key,
      f32(
        tensor.shape,
        toFloat32(tensor).map((value) => value + 0.1 * noise.normal()),
      ),
    ]),
  )
  return { ...adapter, tensors }
}

export function adapterKindContract(
  kind: string,
  { name, options, freshTolerance, skip = {} }: KindCase,
): void {
  describe(`${kind}: ${name}`, () => {
    const ids = [[1, 17, 301, 44, 5, 260, 99]]
    let base: Base
    let fresh: Adapter
    let adapter: Adapter
    beforeAll(async () => {
      base = await storiesBase()
      fresh = initializeAdapter(kind, options, base.model, {
        seed: 3,
        weightOf: base.weightOf,
        baseModel: 'stories260k',
      })
      adapter = disturbed(fresh, 5)
    })
    const logitsWith = (
      model: ModelGraph,
      feeds: Iterable<[string, Tensor]>,
    ): Promise<Float32Array> => logitsOf(model, new Map([...feedsFor(base, ids), ...feeds]))
    const attachedLogits = (one: Adapter): Promise<Float32Array> => {
      const model = attach(base.model, one)
      return logitsOf(model, feedsWith(base, model, one, { ids }))
    }

    it('changes nothing when fresh', async () => {
      const attached = await attachedLogits(fresh)
      expect(furthest(attached, await logitsWith(base.model, []))).toBeLessThanOrEqual(
        freshTolerance,
      )
    })

    it('is made the same by the same seed, and otherwise by another', (context) => {
      const make = (seed: number): Adapter =>
        initializeAdapter(kind, options, base.model, {
          seed,
          weightOf: base.weightOf,
          baseModel: 'stories260k',
        })
      expect(make(3)).toEqual(fresh)
      expect([...make(4).tensors.keys()]).toEqual([...fresh.tensors.keys()])
      if (skip.seeds) context.skip(skip.seeds)
      expect(make(4).tensors).not.toEqual(fresh.tensors)
    })

    it('declares the parts of the base that its initial values read', () => {
      for (const [key, { reads = [], start }] of listParameterSpecs(base.model, fresh)) {
        const undeclared = new Set<string>()
        const table = base.weightOf('model.embed_tokens.weight').data // the largest weight
        start(random(1), (part) => {
          if (!reads.includes(part)) undeclared.add(part)
          return table
        })
        expect([...undeclared], key).toEqual([])
      }
    })

    it('changes the output once its tensors do, and the same way when merged', async (context) => {
      const attached = await attachedLogits(adapter)
      expect(furthest(attached, await logitsWith(base.model, []))).toBeGreaterThan(0.01)
      if (skip.merge) context.skip(skip.merge)
      const merged = await logitsWith(base.model, mergeWeights(base.model, adapter, base.weightOf))
      expect(furthest(merged, attached)).toBeLessThan(1e-3)
    })

    it('has the gradients that finite differences give', (context) => {
      if (skip.gradients) context.skip(skip.gradients)
      const model = attach(base.model, adapter)
      const names = [...listParameterSpecs(model, adapter)]
        .filter(([, { trainable }]) => trainable)
        .map(([key]) => toInputName(key))
      const feeds = inDouble(feedsWith(base, model, adapter, { ids, labels: ids }))
      const gradients = evaluate(gradientGraph(model, names), feeds)
      const loss = withLoss(model)
      const step = 1e-5
      const noise = random(9)
      const off = names.filter((input) => {
        const at = feeds.get(input)!
        const direction = Float64Array.from({ length: at.data.length }, () => noise.normal())
        const moved = (sign: number): number => {
          const data = (at.data as Float64Array).map(
            (value, i) => value + sign * step * direction[i]!,
          )
          return Number(
            evaluate(loss, new Map([...feeds, [input, { ...at, data }]])).get('loss')!.data[0],
          )
        }
        const slope = gradientOf(gradients, input)
        const measured = (moved(1) - moved(-1)) / (2 * step)
        const computed = direction.reduce((sum, value, i) => sum + value * slope[i]!, 0)
        return !(Math.abs(measured - computed) < 1e-6 * Math.max(1, Math.abs(computed)))
      })
      expect(names).not.toEqual([])
      expect(off).toEqual([])
    })

    it('comes back from its files as it was', async (context) => {
      if (skip.files) context.skip(skip.files)
      const first = memorySink()
      const second = memorySink()
      await saveAdapter(adapter, first)
      const loaded = await loadAdapter(first)
      expect(loaded.tensors.size).toBe(adapter.tensors.size)
      for (const [key, tensor] of adapter.tensors) expect(loaded.tensors.get(key)).toEqual(tensor)
      await saveAdapter(loaded, second)
      expect(second.files).toEqual(first.files)
      expect(furthest(await attachedLogits(loaded), await attachedLogits(adapter))).toBe(0)
    })

    it('reports everything that does not fit in one error', () => {
      const tensors = new Map(adapter.tensors)
      // a soft prompt has one tensor only
      const [reshaped, missing] = [...tensors.keys()] as [string, string?]
      if (missing) tensors.delete(missing)
      tensors.set(reshaped, f32([2, 3]))
      tensors.set('base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight', f32([1]))
      let error: unknown
      try {
        checkAdapter({ ...adapter, tensors }, base.model)
      } catch (caught) {
        error = caught
      }
      expect(error).toBeInstanceOf(MismatchError)
      const { mismatches, message } = error as MismatchError
      expect(mismatches.map(({ name: key }) => key).sort()).toEqual(
        [
          ...(missing ? [toFileKey(kind, missing)] : []),
          toFileKey(kind, reshaped),
          'base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight',
        ].sort(),
      )
      expect(message).toContain('Its config has "stories260k"')
      expect(() => checkAdapter(adapter, base.model)).not.toThrow()
    })

    it('gives exactly its own output again after another took its place, in one program', async () => {
      const other = disturbed(fresh, 6)
      const model = attach(base.model, adapter)
      const program = await backend.compile(composeBlocks(model.blocks))
      const run = async (one: Adapter): Promise<unknown> =>
        (await program.run(feedsWith(base, model, one, { ids }))).get('logits')!.data
      const first = await run(adapter)
      expect(await run(other)).not.toEqual(first)
      expect(await run(adapter)).toEqual(first)
    })

    it('is served from slots as it is attached', async (context) => {
      if (skip.slots) context.skip(skip.slots)
      const slots = attachSlots(base.model, {
        modules: () => true,
        shift: true,
        v: true,
        u: () => true,
      })
      const attached = await attachedLogits(adapter)
      expect(
        furthest(
          await logitsWith(slots, computeServingFeeds(adapter, slots, base.weightOf)),
          attached,
        ),
      ).toBeLessThan(1e-3)
    })

    it('is not merged while it contains NaN', (context) => {
      if (skip.merge) context.skip(skip.merge)
      const [key, tensor] = [...adapter.tensors][0]!
      const tensors = new Map([
        ...adapter.tensors,
        [
          key,
          f32(
            tensor.shape,
            toFloat32(tensor).map(() => NaN),
          ),
        ],
      ])
      expect(() => [...mergeWeights(base.model, { ...adapter, tensors }, base.weightOf)]).toThrow(
        key,
      )
    })
  })
}
