// Experts of two kinds compared with PEFT, which loaded the parts of the same folders and attached
// both to one model: logits, loss and gradients of both together, logits of each part alone.

import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { toFloat32 } from '../../../formats/convert.ts'
import type { Tensor } from '../../../base/tensor.ts'
import type { Adapter } from '../../adapter.ts'
import { attach } from '../../attach.ts'
import { saveAdapter } from '../../files/peft.ts'
import { splitAdapter } from '../../joint/joint-adapters.ts'
import { toInputName } from '../../keys.ts'
import { mergeWeights } from '../../merge-weights.ts'
import {
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
  storiesBase,
} from '../../../../test/support/adapters.ts'
import { readPeftCase } from '../../../../test/support/peft-case.ts'

describe.each([
  ['ia3_prompt', 'ia3+prompt-tuning'],
  ['ia3_prefix', 'ia3+prefix-tuning'],
  ['lora_prompt', 'lora+prompt-tuning'],
  ['lora_ia3', 'lora+ia3'],
  ['lora_ia3_qv', 'lora+ia3'],
])('%s', (name, kind) => {
  let base: Base
  let adapter: Adapter
  let expected: ReadonlyMap<string, Tensor>
  let ids: number[][]
  let labels: number[][]
  const values = (key: string): Float32Array => toFloat32(expected.get(key)!)
  const logitsWith = (one: Adapter): Promise<Float32Array> => {
    const model = attach(base.model, one)
    return logitsOf(model, feedsWith(base, model, one, { ids, asked: ids[0]!.length }))
  }
  beforeAll(async () => {
    base = await storiesBase()
    ;({ adapter, expected, ids, labels } = await readPeftCase(`joint/${name}`))
  })

  it('gives PEFT’s logits, with both parts and with each alone', async () => {
    expect(adapter.kind).toBe(kind)
    expect(furthest(await logitsWith(adapter), values('logits'))).toBeLessThan(1e-3)
    for (const part of splitAdapter(adapter)) {
      const alone = await logitsWith(part)
      expect(furthest(alone, values(`part.${part.kind}.logits`)), part.kind).toBeLessThan(1e-3)
      expect(furthest(alone, values('logits')), part.kind).toBeGreaterThan(0.05)
    }
  })

  it('gives PEFT’s loss, and its gradients of both', async () => {
    const adapted = attach(base.model, adapter, { training: true })
    const keys = [...expected.keys()].filter((key) => key.startsWith('grad.'))
    const names = keys.map((key) => toInputName(key.slice(5)))
    const program = await backend.compile(gradientGraph(adapted, names))
    const outputs = await program.run(feedsWith(base, adapted, adapter, { ids, labels }))
    expect(outputs.get('loss')!.data[0]).toBeCloseTo(values('loss')[0]!, 4)
    const off = keys.filter((key, i) => {
      const got = gradientOf(outputs, names[i]!)
      return !(relativeDistance(got, values(key)) < 1e-4)
    })
    expect(names.length).toBeGreaterThan(8)
    expect(off).toEqual([])
  })

  it('is merged where it has no virtual tokens, and refused with a reason where it has some', async () => {
    const merge = (): [string, Tensor][] => [...mergeWeights(base.model, adapter, base.weightOf)]
    const mergedLogits = (): Promise<Float32Array> =>
      logitsOf(base.model, new Map([...feedsFor(base, ids), ...merge()]))
    const found = await Promise.resolve()
      .then(mergedLogits)
      .then((logits) => (furthest(logits, values('logits')) < 1e-3 ? 'equal' : 'different'))
      .catch((error: Error) => error.message)
    expect(found).toMatch(kind === 'lora+ia3' ? /^equal$/ : /part changes no weight/)
  })

  it('is saved as PEFT has read it', async () => {
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    for (const [path, bytes] of sink.files) {
      const original = await readFile(new URL(`joint/${name}/${path}`, parity))
      expect(Buffer.compare(bytes, original), path).toBe(0)
    }
  })
})
