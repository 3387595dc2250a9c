import { describe, expect, it } from 'vitest'
import { FormatError } from '../../base/errors.ts'
import { MicroLora } from '../../micro/micro-lora.ts'
import { UserCheckpoints } from './checkpoints.ts'
import { createMemoryStore } from './memory-store.ts'
import { decodeMicroLora, encodeMicroLora } from './micro-lora-state.ts'
import type { StateForm } from './state-image.ts'
import { createTestState } from './testing.ts'

const width = 96
const input = Float32Array.from({ length: width }, (_, i) => Math.sin(i))
const target = Float32Array.from({ length: width }, (_, i) => Math.cos(3 * i))

function taught(): MicroLora {
  const lora = new MicroLora({
    inFeatures: width,
    outFeatures: width,
    rank: 2,
    momentum: 0.9,
    ewc: true,
    seed: 2,
  })
  for (let step = 0; step < 30; step++) {
    lora.adapt(input, { target, quality: 0.7 })
    lora.applyUpdates(0.1)
  }
  lora.consolidate()
  return lora
}

async function throughCheckpoint(lora: MicroLora, form: StateForm): Promise<MicroLora> {
  const store = createMemoryStore()
  await new UserCheckpoints(store).write('ada', encodeMicroLora(lora), 0, { form })
  return decodeMicroLora((await new UserCheckpoints(store).open('ada'))!.state)
}

/** ‖a − b‖ / ‖b‖ */
const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(
    a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / b.reduce((sum, x) => sum + x * x, 0),
  )

describe('a MicroLoRA as a state', () => {
  it('is the same again in f32, to the next step, and near in f16, int8 and int4', async () => {
    const lora = taught()
    const back = await throughCheckpoint(lora, 'f32')
    expect(back.toJSON()).toEqual(lora.toJSON())
    const errors = await Promise.all(
      (['f16', 'int8', 'int4'] as const).map(async (form) =>
        distance((await throughCheckpoint(lora, form)).forward(input), lora.forward(input)),
      ),
    )
    for (const [i, limit] of [0.001, 0.01, 0.15].entries()) expect(errors[i]).toBeLessThan(limit)
    expect(errors[2]).toBeGreaterThan(0)
    for (const each of [lora, back]) {
      each.adapt(input, { target, quality: 0.7 })
      each.applyUpdates(0.1)
    }
    expect(back.toJSON().tensors).toEqual(lora.toJSON().tensors)
  })
  it('keeps outputs that wait for their reward, exact also in int4', async () => {
    const lora = taught()
    const tried = lora.explore(input, { sessionId: 'ada' })
    for (const form of ['f32', 'int4'] as const) {
      const back = await throughCheckpoint(lora, form)
      const named = await throughCheckpoint(lora, form)
      const loss = back.adapt(input, { explored: true, reward: 0.9, sessionId: 'ada' })
      expect(loss).toBe(named.adapt(input, { reward: 0.9, emitted: tried }))
    }
  })
  it('is not made of another state', () => {
    expect(() => decodeMicroLora(createTestState(1))).toThrow(FormatError)
  })
})
