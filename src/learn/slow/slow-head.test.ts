import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { getElement, createMatrix, createZeros } from '../../base/linalg/matrix.ts'
import { svd } from '../../base/linalg/svd.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { createHeadLoss } from '../tiers/head-gradient.ts'
import { createLearner } from '../learner.ts'
import { foldHead, type HeadChange, createSlowHead } from './slow-head.ts'
import {
  answer,
  canaries,
  story,
  storiesModel,
  type TestModel,
} from '../../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const normal = (shape: [number, number], scale: number, seed: number): F32Tensor => {
  const { normal: draw } = random(seed)
  return f32(
    shape,
    Float32Array.from({ length: shape[0] * shape[1] }, () => scale * draw()),
  )
}
const changeOf = (width: number, rank: number, seed: number, scale = 0.1): HeadChange => ({
  A: normal([rank, width], scale, seed),
  B: normal([width, rank], scale, seed + 1),
})
/** I + B·A, whole. */
function whole({ A, B }: HeadChange) {
  const [rank, width] = A.shape as [number, number]
  const result = createZeros(width, width)
  for (let i = 0; i < width; i++) result.data[i * width + i] = 1
  multiply(result, createMatrix(width, rank, B.data), createMatrix(rank, width, A.data), {
    add: true,
  })
  return result
}

describe('a sum at the head', () => {
  const width = 12
  it('is the one change after the other, exactly, where the rank holds both', () => {
    const slow = changeOf(width, 3, 1)
    const fast = changeOf(width, 2, 5)
    const { change, residual } = foldHead(slow, fast, 5)
    expect(residual).toBe(0)
    const product = createZeros(width, width)
    multiply(product, whole(slow), whole(fast))
    whole(change).data.forEach((value, i) =>
      expect(Math.abs(value - product.data[i]!)).toBeLessThan(1e-6),
    )
    expect(foldHead(undefined, fast, 4).change.A.data).toEqual(fast.A.data)
    // the fast tier goes on learning
    expect(foldHead(undefined, fast, 4).change.A.data).not.toBe(fast.A.data)
  })
  it('cut to a lower rank is the best of that rank, and reports what it lost', () => {
    const slow = changeOf(width, 4, 1)
    const fast = changeOf(width, 3, 5)
    const { change, residual } = foldHead(slow, fast, 4)
    expect(change.A.shape).toEqual([4, width])
    const product = createZeros(width, width)
    multiply(product, whole(slow), whole(fast))
    for (let i = 0; i < width; i++) product.data[i * width + i]! -= 1
    const { values } = svd(product)
    const squares = [...values].map((value) => value * value)
    const total = squares.reduce((a, b) => a + b)
    expect(residual).toBeCloseTo(Math.sqrt(squares.slice(4).reduce((a, b) => a + b) / total), 5)
    const kept = whole(change)
    let lost = 0
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++)
        lost += (getElement(kept, i, j) - (i === j ? 1 : 0) - getElement(product, i, j)) ** 2
    expect(Math.sqrt(lost / total)).toBeCloseTo(residual, 5)
  })
})

describe('a head behind a change', () => {
  it('gives the logits of changed hidden states, and the gradient of the loss at those before the change', async () => {
    const head = model.head('exact')
    const { width } = head
    const slow = createSlowHead(head, createHeadLoss(head, 'all'), changeOf(width, 4, 9, 0.05))
    const hidden = normal([2, width], 1, 3)
    const tokens = [5, 260]
    const lossAt = async (data: Float32Array): Promise<number> => {
      const { losses } = await slow.headLoss.compute(
        await slow.head.logits(f32([2, width], data)),
        tokens,
        [0.5, 0.5],
      )
      return (losses[0]! + losses[1]!) / 2
    }
    const { gradient } = await slow.headLoss.compute(
      await slow.head.logits(hidden),
      tokens,
      [0.5, 0.5],
    )
    const step = 1e-2
    for (const i of [0, 7, width - 1, width + 3]) {
      const moved = (by: number): Float32Array =>
        hidden.data.map((value, j) => (j === i ? value + by : value))
      const slope = ((await lossAt(moved(step))) - (await lossAt(moved(-step)))) / (2 * step)
      expect(gradient[i]!).toBeCloseTo(slope, 3)
    }
    const rows = await slow.head.rows([7])
    const logits = (await slow.head.logits(f32([1, width], hidden.data.slice(0, width)))).data
    expect(rows.reduce((sum, value, i) => sum + value * hidden.data[i]!, 0)).toBeCloseTo(
      logits[7]!,
      4,
    )
    const errors = f32([1, head.vocabularySize])
    errors.data[7] = 1
    const pulled = (await slow.head.pullBack(errors)).data
    rows.forEach((value, i) => expect(Math.abs(value - pulled[i]!)).toBeLessThan(1e-5))
  })
})

describe('consolidating by a sum', () => {
  it('leaves outputs as they are, clears the fast tier and keeps the memory; later sums cut, and tell what they lost', async () => {
    const learner = createLearner({ model, fast: { learningRate: 0.01 }, slow: { rank: 4 } })
    for (let i = 0; i < 6; i++) await learner.learn({ user: 'ada', ...story(i) })
    const before = await Promise.all([0, 6].map((i) => learner.loss({ user: 'ada', ...story(i) })))
    const text = (await answer(learner, 'ada', 'Once there was Tim.')).end.text
    const pairs = (await learner.tiers('ada')).memory!.count
    const verdict = await learner.consolidate('ada', { by: 'sum' })
    expect(verdict).toMatchObject({ kept: true, by: 'sum', residual: 0 })
    expect(verdict.learned!.after).toBeCloseTo(verdict.learned!.before, 4)
    expect(verdict.learned!.untaught).toBeGreaterThan(verdict.learned!.before + 0.1)
    const student = await learner.tiers('ada')
    expect([student.fast!.steps, student.memory!.count]).toEqual([0, pairs])
    const after = await Promise.all([0, 6].map((i) => learner.loss({ user: 'ada', ...story(i) })))
    after.forEach((loss, i) => expect(Math.abs(loss - before[i]!)).toBeLessThan(1e-4))
    expect((await answer(learner, 'ada', 'Once there was Tim.')).end.text).toBe(text)

    for (let i = 6; i < 10; i++) await learner.learn({ user: 'ada', ...story(i) })
    const learned = await learner.loss({ user: 'ada', ...story(6) })
    const second = await learner.consolidate('ada', { by: 'sum', least: -9 })
    expect(second.residual!).toBeGreaterThan(0)
    expect(second.residual!).toBeLessThan(1)
    const cut = await learner.loss({ user: 'ada', ...story(6) })
    expect(cut).not.toBe(learned)
    expect(Math.abs(cut - learned)).toBeLessThan(0.5)
    await learner.restore('ada', 0)
    expect((await learner.tiers('ada')).memory!.count).toBe(0)
    expect(await learner.loss({ user: 'ada', ...story(6) })).toBeCloseTo(
      await learner.loss({ user: 'eve', ...story(6) }),
      6,
    )
  })

  it('is refused where canaries suffer, and where the fast tier has learned nothing', async () => {
    const learner = createLearner({
      model,
      fast: { learningRate: 0.05, trust: 1 },
      slow: { rank: 4 },
    })
    await expect(learner.consolidate('mob', { by: 'sum' })).rejects.toThrow(OptionError)
    for (let i = 0; i < 6; i++)
      await learner.learn({
        user: 'mob',
        prompt: 'Once upon a time',
        completion: 'ZZZZ ZZZZ ZZZZ ZZZZ',
      })
    const { steps } = (await learner.tiers('mob')).fast!
    const verdict = await learner.consolidate('mob', { by: 'sum', canaries })
    expect(verdict.kept).toBe(false)
    expect(verdict.reason).toMatch(/canaries went from/)
    expect((await learner.tiers('mob')).fast!.steps).toBe(steps)
    expect(await learner.versions('mob')).toHaveLength(1)
  })

  it('keeps a limited number of versions, and always the first one', async () => {
    const learner = createLearner({ model, slow: { rank: 4 }, keptVersions: 2 })
    for (let i = 0; i < 4; i++) {
      await learner.learn({ user: 'ada', ...story(i) })
      await learner.consolidate('ada', { by: 'sum', least: -9 })
    }
    expect((await learner.versions('ada')).map(({ number }) => number)).toEqual([0, 3, 4])
    await expect(learner.restore('ada', 1)).rejects.toThrow(/there are 0, 3, 4/)
  })
})
