// Comparing a kind with PEFT's own results: logits, loss, every gradient, three AdamW steps, merged
// logits, and the folder written back.

import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Tensor } from '../../base/tensor.ts'
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
  furthest,
  gradientGraph,
  gradientOf,
  logitsOf,
  memorySink,
  parity,
  relativeDistance,
} from '../../../test/support/adapters.ts'
import {
  listDistantParameters,
  readPeftCase,
  trainThreeSteps,
} from '../../../test/support/peft-case.ts'
import { mergeWeights } from '../merge-weights.ts'
import { toInputName } from '../keys.ts'
import { stringifyAdapterConfig, loadAdapter, saveAdapter } from '../files/peft.ts'
import { attachSlots, computeServingFeeds } from '../serving/slots.ts'

export interface ParityCase {
  /** Folder in test/parity. */
  readonly name: string
  base(): Promise<Base>
  /** Of gradients, relative. Default 1e-4. */
  readonly tolerance?: number
  /** Why a comparison does not apply. */
  readonly skip?: { readonly merge?: string; readonly slots?: string; readonly training?: string }
}

const values = (tensor: Tensor | undefined): Float32Array => toFloat32(tensor!)

export function parityContract({
  name,
  base: makeBase,
  tolerance = 1e-4,
  skip = {},
}: ParityCase): void {
  describe(name, () => {
    const directory = new URL(`${name}/`, parity)
    let base: Base
    let adapter: Adapter
    let expected: ReadonlyMap<string, Tensor>
    let ids: number[][]
    let labels: number[][]
    beforeAll(async () => {
      base = await makeBase()
      ;({ adapter, expected, ids, labels } = await readPeftCase(name))
    })
    const trainable = (): string[] =>
      [...listParameterSpecs(base.model, adapter)].flatMap(([key, spec]) =>
        spec.trainable ? [toInputName(key)] : [],
      )

    it('fits the model', () => {
      expect(() => checkAdapter(adapter, base.model, base.weightOf)).not.toThrow()
    })

    it('gives the same logits', async () => {
      // PEFT also returns the logits at a soft prompt's positions, but not at a prefix's: only
      // common positions are compared.
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
        return !(relativeDistance(got, wanted) < tolerance)
      })
      expect(off).toEqual([])
    })

    it('ends where PEFT ends after three AdamW steps', async (context) => {
      if (skip.training) context.skip(skip.training)
      const adapted = attach(base.model, adapter, { training: true })
      const program = await backend.compile(gradientGraph(adapted, trainable()))
      const feeds = feedsWith(base, adapted, adapter, { ids, labels })
      const start = new Map([...feeds, ...toAdapterFeeds(adapter)])
      const trained = await trainThreeSteps((fed) => program.run(fed), start, trainable())
      const { losses } = trained
      expect(furthest(losses, values(expected.get('adamw_losses')))).toBeLessThan(1e-3)
      const after = [...expected.keys()].filter((key) => key.startsWith('after3.'))
      expect(after.length).toBe(trainable().length)
      const byName = new Map(
        [...expected].map(([key, tensor]) => {
          const [, kind, own] = /^(grad|after3)\.(.*)$/.exec(key) ?? []
          return [kind === undefined ? key : `${kind} ${toInputName(own!)}`, tensor]
        }),
      )
      const expectedOf = (kind: string, key: string) => byName.get(`${kind} ${key}`)
      expect(listDistantParameters(trained, start, expectedOf)).toEqual([])
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
