import { describe, expect, it } from 'vitest'
import { FormatError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { headKinds } from './head-table.ts'

const { normal } = random(2)
const centres = Array.from({ length: 4 }, () => Float32Array.from({ length: 16 }, () => normal()))
const draw = (c: number): Float32Array => centres[c]!.map((value) => value + 0.3 * normal())
const classes = Array.from({ length: 60 }, (_, i) => i % 4)
const vectors = classes.map(draw)
const best = (scores: Float64Array): number => scores.indexOf(Math.max(...scores))

describe.each([...headKinds.values()])('the $kind head', ({ kind, fit, read, about }) => {
  const head = fit({ vectors, classes, count: 4, shrinkage: 0.05 })

  it('finds the classes of new vectors', () => {
    expect(about.length).toBeGreaterThan(8)
    const right = classes.filter((c) => best(head.logits(draw(c))) === c)
    expect(right.length).toBeGreaterThan(57)
  })
  it('scores alike after it was written and read', () => {
    const state = JSON.parse(JSON.stringify(head.write())) as Record<string, unknown>
    const again = read(state, 4, 16)
    for (const vector of vectors.slice(0, 8))
      expect([...again.logits(vector)].map((x) => x.toFixed(3))).toEqual(
        [...head.logits(vector)].map((x) => x.toFixed(3)),
      )
    expect(again.write()).toEqual(state)
  })
  it('takes a class more by its examples', () => {
    const own = Float32Array.from({ length: 16 }, () => normal())
    const near = () => own.map((value) => value + 0.2 * normal())
    const more = head.withClass([near(), near(), near()])
    expect(best(more.logits(near()))).toBe(4)
    expect(best(more.logits(draw(1)))).toBe(1)
    expect(read(more.write(), 5, 16).logits(own)).toHaveLength(5)
  })
  it('places vectors of one class near each other', () => {
    const distance = (a: Float32Array, b: Float32Array) =>
      a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0)
    const [a, b, c] = [draw(0), draw(0), draw(1)].map((v) => head.place(v)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ]
    expect(distance(a, b)).toBeLessThan(distance(a, c))
  })
  it('is refused for other experts, other vectors, and broken numbers', () => {
    const state = head.write()
    expect(() => read(state, kind === 'nearest' || kind === 'prototypes' ? 3 : 5, 16)).toThrow(
      FormatError,
    )
    expect(() => read(state, 4, 15)).toThrow(FormatError)
    const [name] = Object.keys(state) as [string]
    for (const broken of [undefined, {}, [{}], { dtype: 'f32', shape: [1], base64: '*' }])
      expect(() => read({ ...state, [name]: broken }, 4, 16)).toThrow(FormatError)
  })
})

it('a linear head reads parts of different kinds each alone, and adds their scores', () => {
  const { fit, read } = headKinds.get('linear')!
  const given = { vectors, classes, count: 4, shrinkage: 0.05 }
  const joint = fit(Object.assign({ parts: [10, 6] }, given))
  const first = fit(Object.assign({}, given, { vectors: vectors.map((v) => v.slice(0, 10)) }))
  const second = fit(Object.assign({}, given, { vectors: vectors.map((v) => v.slice(10)) }))
  const vector = draw(2)
  const [a, b] = [first.logits(vector.slice(0, 10)), second.logits(vector.slice(10))]
  joint.logits(vector).forEach((score, c) => expect(score).toBeCloseTo(a[c]! + 0.25 * b[c]!, 3))
  expect(() => read(joint.write(), 4, 17)).toThrow(/reads 16 numbers, and vectors have 17/)
})
