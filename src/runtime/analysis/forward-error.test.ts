import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter } from '../../adapters/index.ts'
import { asStored } from '../../adapters/files/storage.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { MismatchError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { measureForwardError } from './forward-error.ts'
import { createModel, type Model } from '../model.ts'

const at = (path: string): string => new URL(`../../../${path}`, import.meta.url).pathname
const prompts = ['Once upon a time', 'The little dog', 'Lily and Tom went']

let model: Model
let adapter: Adapter
beforeAll(async () => {
  const base = await openBaseModel({
    name: 'stories260k',
    folder: await openDirectory(at('src/catalogue/models/stories260k')),
  })
  model = createModel({ base, backend: createOnnxRuntimeBackend(ort as never, { threads: 1 }) })
  adapter = await loadAdapter(await openDirectory(at('test/parity/lora_qv_r8')))
})
afterAll(() => model.dispose())

describe('measureForwardError', () => {
  it('is the relative distance of the logits, of all there is and of what the adapter changes', async () => {
    const after = asStored(adapter, 'int4')
    const {
      relative,
      ofChange,
      prompts: count,
    } = await measureForwardError(model, adapter, after, prompts)
    let error = 0
    let size = 0
    let change = 0
    for (const prompt of prompts) {
      const ids = [model.encode(prompt)]
      const [z, other, base] = await Promise.all(
        [{ adapter }, { adapter: after }, {}].map(async (choice) =>
          (await model.logits(ids, choice)).data.slice(-model.config.vocabularySize),
        ),
      )
      z!.forEach((value, i) => {
        error += (other![i]! - value) ** 2
        size += value ** 2
        change += (value - base![i]!) ** 2
      })
    }
    expect(count).toBe(3)
    expect(relative / Math.sqrt(error / size)).toBeCloseTo(1, 2)
    expect(ofChange / Math.sqrt(error / change)).toBeCloseTo(1, 2)
  })

  it('falls with every bit, to nothing for the same numbers', async () => {
    const errors: number[] = []
    for (const dtype of ['f32', 'f16', 'int8', 'int4'] as const)
      errors.push(
        (await measureForwardError(model, adapter, asStored(adapter, dtype), prompts)).ofChange,
      )
    expect(errors[0]).toBe(0)
    expect(errors).toEqual(errors.toSorted((a, b) => a - b))
    expect(errors[2]).toBeLessThan(0.03)
  })

  it('of an adapter that does nothing is 0, and one that does not fit is refused', async () => {
    const fresh = initializeAdapter('lora', {}, model.base.graph, { seed: 1 })
    expect(await measureForwardError(model, fresh, asStored(fresh, 'int4'), prompts)).toMatchObject(
      {
        relative: 0,
        ofChange: 0,
        equalGreedy: 1,
      },
    )
    const tensors = new Map([...adapter.tensors].map(([key]) => [key, f32([1, 1])]))
    await expect(
      measureForwardError(model, adapter, { ...adapter, tensors }, prompts),
    ).rejects.toThrow(MismatchError)
  })
})
