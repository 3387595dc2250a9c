import { describe, expect, it } from 'vitest'
import { MicroLora } from './micro-lora.ts'
import {
  awaken,
  meanLoss,
  problem,
  randomVector,
  measureRelativeError,
  slowForward,
} from './testing.ts'

const small = { inFeatures: 12, outFeatures: 8 }
const x = randomVector(12, 1)
const target = randomVector(8, 2)

describe('EWC', () => {
  /**
   * Two tasks that want different outputs of inputs in overlapping halves of the space; the loss on
   * the first after the second.
   */
  function afterBoth(lambda: number | undefined): { first: number; second: number; alone: number } {
    const lora = new MicroLora({
      inFeatures: 16,
      outFeatures: 6,
      rank: 8,
      optimizer: 'adam',
      ewc: true,
      seed: 1,
    })
    const tasks = [problem(1, 50, { nIn: 16, nOut: 6 }), problem(1, 60, { nIn: 16, nOut: 6 })].map(
      (next, task) => () => {
        const one = next()
        for (let i = 0; i < 16; i++) if (task === 0 ? i >= 10 : i < 6) one.input[i] = 0
        const again = halfMap(task, one.input)
        return { input: one.input, target: again }
      },
    ) as [ReturnType<typeof problem>, ReturnType<typeof problem>]
    const learn = (next: ReturnType<typeof problem>, own: number | undefined): void => {
      for (let i = 0; i < 800; i++) {
        const { input, target: wanted } = next()
        lora.adapt(input, { target: wanted })
        if (own === undefined) lora.applyUpdates(0.01)
        else lora.applyUpdatesWithEwc(0.01, own)
      }
    }
    learn(tasks[0], undefined)
    const alone = meanLoss(lora, tasks[0])
    lora.consolidate()
    learn(tasks[1], lambda)
    return { first: meanLoss(lora, tasks[0]), second: meanLoss(lora, tasks[1]), alone }
  }
  const matrices = [randomVector(96, 70), randomVector(96, 80)]
  const halfMap = (task: number, input: Float32Array): Float32Array =>
    Float32Array.from({ length: 6 }, (_, o) =>
      input.reduce(
        (sum, value, i) => sum + 0.25 * value * (o % 2 === task ? matrices[task]![o * 16 + i]! : 0),
        0,
      ),
    )

  it('keeps an old task while a new one is learned', () => {
    const plain = afterBoth(undefined)
    const kept = afterBoth(3)
    expect(kept.alone).toBe(plain.alone)
    expect(kept.first - kept.alone).toBeLessThan(0.4 * (plain.first - plain.alone))
    expect(kept.second).toBeLessThan(0.2)
  })
  it('does not overshoot, however large λ is, and without a finished task does nothing', () => {
    const [plain, held] = [0, 1].map(() => new MicroLora({ ...small, ewc: true })) as [
      MicroLora,
      MicroLora,
    ]
    for (const lora of [plain, held]) lora.adapt(x, { target })
    plain.applyUpdates(0.1)
    held.applyUpdatesWithEwc(0.1, 1e9)
    expect(held.module().read('weights')).toEqual(plain.module().read('weights'))
    held.consolidate()
    const anchor = held.module().read('weights')
    for (let i = 0; i < 20; i++) {
      held.adapt(x, { target })
      held.applyUpdatesWithEwc(0.1, 1e9)
    }
    const importance = held.module().read('importance')
    const moved = held
      .module()
      .read('weights')
      .map((value, i) => (importance[i]! > 1e-3 ? Math.abs(value - anchor[i]!) : 0))
    expect(Math.max(...moved)).toBeLessThan(1e-4)
  })
  it('the importance is the mean of the squared derivatives of the outputs', () => {
    const lora = new MicroLora({ ...small, ewc: true, bias: true })
    const module = lora.module()
    awaken(module)
    const inputs = [1, 2, 3].map((seed) => randomVector(12, seed))
    for (const input of inputs) lora.adapt(input, { target })
    lora.consolidate()
    const weights = Array.from(module.read('weights'))
    const expected = weights.map((value, k) => {
      const squares = inputs.map((input) => {
        const [up, down] = [1e-4, -1e-4].map((by) =>
          slowForward(module, weights.with(k, value + by), input),
        ) as [number[], number[]]
        return up.reduce((sum, y, o) => sum + ((y - down[o]!) / 2e-4) ** 2, 0)
      })
      return squares.reduce((sum, square) => sum + square) / 3
    })
    expect(measureRelativeError(module.read('importance'), expected)).toBeLessThan(1e-4)
  })
  it('is refused without its option', () => {
    expect(() => new MicroLora(small).applyUpdatesWithEwc(0.1)).toThrow('needs the option ewc')
    expect(() => new MicroLora(small).consolidate()).toThrow('needs the option ewc')
  })
})
