// Comparing a kind with PEFT's own results: logits, loss, every gradient, three AdamW steps, merged
// logits, and the folder written back.

import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { toAdapterFeeds, checkAdapter, listParameterSpecs, type Adapter } from '../adapter.ts'
import { attach } from '../attach.ts'
import {
  activeFeeds,
  backend,
  type Base,
  feedsFor,
  feedsWith,
  folderAt,
  furthest,
  gradientGraph,
  gradientOf,
  logitsOf,
  memorySink,
  parity,
  readTensors,
  relativeDistance,
  rowsOf,
} from '../../../test/support/adapters.ts'
import { mergeWeights } from '../merge-weights.ts'
import { toInputName } from '../keys.ts'
import { stringifyAdapterConfig, loadAdapter, saveAdapter } from '../files/peft.ts'
import { attachSlots, computeServingFeeds } from '../serving/slots.ts'

export interface ParityCase {
  /** Folder in test/parity. */
  readonly name: string
  base(): Promise<Base>
  /** Why a comparison does not apply. */
  readonly skip?: { readonly merge?: string; readonly slots?: string; readonly training?: string }
}

const values = (tensor: Tensor | undefined): Float32Array => toFloat32(tensor!)

/**
 * One step of AdamW with decoupled weight decay (Loshchilov and Hutter 2019), as torch computes it.
 */
export function adamW(
  parameter: Float32Array,
  gradient: ArrayLike<number>,
  [mean, square]: [Float32Array, Float32Array],
  step: number,
): void {
  const rate = 1e-2
  const beta1 = 0.9
  const beta2 = 0.999
  const epsilon = 1e-8
  const decay = 0.01
  for (let i = 0; i < parameter.length; i++) {
    mean[i] = beta1 * mean[i]! + (1 - beta1) * gradient[i]!
    square[i] = beta2 * square[i]! + (1 - beta2) * gradient[i]! ** 2
    const scale = Math.sqrt(square[i]! / (1 - beta2 ** step)) + epsilon
    parameter[i] =
      parameter[i]! * (1 - rate * decay) - (rate * (mean[i]! / (1 - beta1 ** step))) / scale
  }
}

export function parityContract({ name, base: makeBase, skip = {} }: ParityCase): void {
  describe(name, () => {
    const directory = new URL(`${name}/`, parity)
    let base: Base
    let adapter: Adapter
    let expected: ReadonlyMap<string, Tensor>
    let ids: number[][]
    let labels: number[][]
    beforeAll(async () => {
      base = await makeBase()
      adapter = await loadAdapter(folderAt(directory))
      expected = await readTensors(new URL('expected.safetensors', directory))
      const inputs = expected.has('input_ids')
        ? expected
        : await readTensors(new URL('base.safetensors', parity))
      ids = rowsOf(inputs.get('input_ids')!)
      labels = rowsOf(inputs.get('labels')!)
    })
    const trainable = (): string[] =>
      [...listParameterSpecs(base.model, adapter)].flatMap(([key, spec]) =>
        spec.trainable ? [toInputName(key)] : [],
      )

    it('fits the model', () => {
      expect(() => checkAdapter(adapter, base.model, base.weightOf)).not.toThrow()
    })

    it('gives the same logits', async () => {
      // PEFT gives the logits of a soft prompt's places too, those of a prefix not: compare what
      // there is.
      const adapted = attach(base.model, adapter)
      expect(
        furthest(
          await logitsOf(
            adapted,
            feedsWith(base, adapted, adapter, { ids, asked: expected.get('logits')!.shape[1]! }),
          ),
          values(expected.get('logits')),
        ),
      ).toBeLessThan(1e-3)
    })

    it('gives the same loss and gradients', async () => {
      const adapted = attach(base.model, adapter, { training: true })
      const program = await backend.compile(gradientGraph(adapted, trainable()))
      const outputs = await program.run(feedsWith(base, adapted, adapter, { ids, labels }))
      expect(outputs.get('loss')!.data[0]).toBeCloseTo(values(expected.get('loss'))[0]!, 4)
      const keys = [...expected.keys()].filter((key) => key.startsWith('grad.'))
      expect(keys.map((key) => toInputName(key.slice(5))).sort()).toEqual(trainable().sort())
      const off = keys.filter((key) => {
        const got = gradientOf(outputs, toInputName(key.slice(5)))
        const wanted = values(expected.get(key))
        return !(relativeDistance(got, wanted) < 1e-4)
      })
      expect(off).toEqual([])
    })

    it('ends where PEFT ends after three AdamW steps', async (context) => {
      if (skip.training) context.skip(skip.training)
      const adapted = attach(base.model, adapter, { training: true })
      const program = await backend.compile(gradientGraph(adapted, trainable()))
      const feeds = feedsWith(base, adapted, adapter, { ids, labels })
      const parameters = new Map(
        [...toAdapterFeeds(adapter)].map(([key, { shape, data }]) => [
          key,
          f32(shape, data.slice()),
        ]),
      )
      const moments = new Map(
        [...parameters].map(([key, { data }]) => [
          key,
          [data.map(() => 0), data.map(() => 0)] as [Float32Array, Float32Array],
        ]),
      )
      const losses: number[] = []
      for (let step = 1; step <= 3; step++) {
        const outputs = await program.run(new Map([...feeds, ...parameters]))
        losses.push(Number(outputs.get('loss')!.data[0]))
        for (const key of trainable())
          adamW(parameters.get(key)!.data, gradientOf(outputs, key), moments.get(key)!, step)
      }
      expect(furthest(losses, values(expected.get('adamw_losses')))).toBeLessThan(1e-3)
      const after = [...expected.keys()].filter((key) => key.startsWith('after3.'))
      expect(after.length).toBe(trainable().length)
      const off = after.filter((key) => {
        return !(
          relativeDistance(
            parameters.get(toInputName(key.slice(7)))!.data,
            values(expected.get(key)),
          ) < 1e-4
        )
      })
      expect(off).toEqual([])
    })

    it('is served from slots with the same logits', async (context) => {
      if (skip.slots) context.skip(skip.slots)
      const activation = adapter.config.invocationTokens !== undefined
      const head = [...adapter.tensors.keys()].some((key) => key.includes('.lm_head.'))
      const modules = ({ kind, layer }: ModuleInfo): boolean =>
        kind === 'linear' && (head || layer !== undefined)
      const slots = attachSlots(base.model, {
        shift: true,
        v: true,
        u: () => true,
        activation,
        modules,
      })
      const feeds = new Map([
        ...feedsFor(base, ids),
        ...computeServingFeeds(adapter, slots, base.weightOf),
        ...activeFeeds(adapter, ids),
      ])
      expect(furthest(await logitsOf(slots, feeds), values(expected.get('logits')))).toBeLessThan(
        1e-3,
      )
    })

    it('gives the same logits when merged', async (context) => {
      if (skip.merge) context.skip(skip.merge)
      const feeds = new Map([
        ...feedsFor(base, ids),
        ...mergeWeights(base.model, adapter, base.weightOf),
      ])
      expect(
        furthest(await logitsOf(base.model, feeds), values(expected.get('merged_logits'))),
      ).toBeLessThan(1e-3)
    })

    it('is saved as it was loaded', async () => {
      const sink = memorySink()
      await saveAdapter(adapter, sink)
      const original = await readFile(new URL('adapter_model.safetensors', directory))
      expect(Buffer.compare(sink.files.get('adapter_model.safetensors')!, original)).toBe(0)
      expect(JSON.parse(stringifyAdapterConfig(adapter))).toEqual(
        JSON.parse(await readFile(new URL('adapter_config.json', directory), 'utf8')),
      )
      expect(await loadAdapter(sink)).toEqual(adapter)
    })
  })
}
