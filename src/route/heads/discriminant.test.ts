import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { addClass, fitDiscriminant, projectVector, scoreClasses } from './discriminant.ts'

/** Points of C classes around their own centres, stretched along one direction for all. */
function createPoints(count: number, each: number, width: number, seed = 1) {
  const { normal } = random(seed)
  const centres = Array.from({ length: count }, () =>
    Array.from({ length: width }, () => normal() * 2),
  )
  const vectors: Float32Array[] = []
  const classes: number[] = []
  for (let n = 0; n < count * each; n++) {
    const stretch = normal() * 20
    vectors.push(
      Float32Array.from(centres[n % count]!, (x, i) => x + normal() * 0.5 + (i < 2 ? stretch : 0)),
    )
    classes.push(n % count)
  }
  return { vectors, classes }
}

const best = (scores: Float64Array): number => scores.indexOf(Math.max(...scores))

describe('a linear discriminant', () => {
  it('agrees with Fisher’s two-class direction, computed by hand', () => {
    // classes around (0,0) and (2,1), both with covariance diag(4, 1): w ∝ Σ⁻¹(m₁ − m₀) = (0.5, 1)
    const offsets = [
      [2, 1],
      [2, -1],
      [-2, 1],
      [-2, -1],
    ]
    const vectors = [0, 1].flatMap((c) =>
      offsets.map(([x, y]) => Float32Array.of(x! + 2 * c, y! + c)),
    )
    const head = fitDiscriminant(vectors, [0, 0, 0, 0, 1, 1, 1, 1], 2, { shrinkage: 0 })
    expect(head.rank).toBe(1)
    expect(head.directions[1]! / head.directions[0]!).toBeCloseTo(2, 4)
    // ‖m₁ − m₀‖² is the Mahalanobis distance: 2²/4 + 1²/1 = 2
    expect((head.means[1]! - head.means[0]!) ** 2).toBeCloseTo(2, 4)
  })
  it('distinguishes classes where the nearest mean cannot', () => {
    const { vectors, classes } = createPoints(6, 40, 12)
    const test = createPoints(6, 40, 12)
    const head = fitDiscriminant(vectors.slice(0, 180), classes.slice(0, 180), 6, {
      shrinkage: 0.01,
    })
    const rest = test.vectors.slice(180)
    const right = rest.filter(
      (v, n) => best(scoreClasses(head, projectVector(head, v))) === classes[180 + n],
    )
    expect(right.length / rest.length).toBeGreaterThan(0.95)
  })
  it('takes a class more by its examples alone', () => {
    const { vectors, classes } = createPoints(6, 40, 12)
    const known = vectors.filter((_, n) => classes[n]! < 5)
    const head = fitDiscriminant(
      known,
      classes.filter((c) => c < 5),
      5,
      { shrinkage: 0.01 },
    )
    const more = addClass(head, vectors.filter((_, n) => classes[n] === 5).slice(0, 20))
    const rest = vectors.filter((_, n) => classes[n] === 5).slice(20)
    const right = rest.filter((v) => best(scoreClasses(more, projectVector(more, v))) === 5)
    expect(right.length / rest.length).toBeGreaterThan(0.8)
    expect(() => addClass(head, [])).toThrow(OptionError)
  })
  it('keeps the rank it is given, and lives with features that never vary', () => {
    const { vectors, classes } = createPoints(6, 20, 12)
    expect(fitDiscriminant(vectors, classes, 6, { shrinkage: 0.1, rank: 3 }).rank).toBe(3)
    const flat = vectors.map((v) => Float32Array.from(v, (x, i) => (i === 5 ? 1 : x)))
    const head = fitDiscriminant(flat, classes, 6, { shrinkage: 0 })
    expect([...head.directions, ...head.means].every(Number.isFinite)).toBe(true)
    const same = fitDiscriminant([Float32Array.of(1, 2), Float32Array.of(3, 2)], [0, 1], 2, {
      shrinkage: 0.5,
    })
    expect(best(scoreClasses(same, projectVector(same, Float32Array.of(2.9, 2))))).toBe(1)
  })
  it('refuses a class without examples', () => {
    expect(() => fitDiscriminant([Float32Array.of(1)], [0], 2, { shrinkage: 0 })).toThrow(/Class 1/)
  })
})
