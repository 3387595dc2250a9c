// Arrow's prototypes and coefficients against PEFT's (test/parity/make_arrow.py).

import { beforeAll, describe, expect, it } from 'vitest'
import { readTensors } from '../../../test/support/adapters.ts'
import type { Tensor } from '../../base/tensor.ts'
import { averageCoefficients, computeCoefficients } from './arrow-scores.ts'
import { computePrototypes, computeTopInput, findCommonModules } from './prototypes.ts'

const file = new URL('../../../test/parity/arrow/expected.safetensors', import.meta.url)
const experts = 4
const width = 16
let expected: ReadonlyMap<string, Tensor>
const numbersOf = (name: string): Float32Array => expected.get(name)!.data as Float32Array

beforeAll(async () => {
  expected = await readTensors(file)
})

describe('Arrow', () => {
  it('has PEFT’s prototypes, up to their sign', () => {
    for (let e = 0; e < experts; e++) {
      const [a, b] = [numbersOf(`task_${e}.A`), numbersOf(`task_${e}.B`)]
      const own = computeTopInput(b, a, 12, 3, width)
      const wanted = numbersOf('prototypes').subarray(e * width, (e + 1) * width)
      const sign = Math.sign(own.reduce((sum, value, i) => sum + value * wanted[i]!, 0))
      own.forEach((value, i) => expect(sign * value).toBeCloseTo(wanted[i]!, 5))
    }
  })

  it('has PEFT’s coefficients, two experts for each token', () => {
    const data = numbersOf('prototypes')
    const own = computeCoefficients(
      numbersOf('states'),
      { experts, width, data },
      { topK: 2, temperature: 1.5 },
    )
    const wanted = numbersOf('coefficients')
    expect(own).toHaveLength(wanted.length)
    own.forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 5))
    expect(own.filter((value) => value > 0)).toHaveLength(2 * 7)
    const mean = averageCoefficients([own, own], experts)
    expect(mean.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 6)
  })

  it('finds the layers that all experts change, and refuses adapters without pairs', () => {
    const tensors = (paths: readonly string[]) =>
      new Map(
        paths.flatMap((path) => [
          [`base_model.model.${path}.lora_A.weight`, expected.get('task_0.A')!],
          [`base_model.model.${path}.lora_B.weight`, expected.get('task_0.B')!],
        ]),
      )
    const adapter = (paths: readonly string[]) =>
      ({ kind: 'lora', config: {}, tensors: tensors(paths) }) as unknown as Parameters<
        typeof computePrototypes
      >[1]
    const first = computePrototypes('a', adapter(['model.layers.0.q', 'model.layers.1.q']))
    const second = computePrototypes('b', adapter(['model.layers.1.q']))
    expect(
      findCommonModules(
        new Map([
          ['a', first],
          ['b', second],
        ]),
      ),
    ).toEqual(['model.layers.1.q'])
    const other = computePrototypes('c', adapter(['model.layers.2.q']))
    expect(() =>
      findCommonModules(
        new Map([
          ['b', second],
          ['c', other],
        ]),
      ),
    ).toThrow(/that all experts change/)
    expect(() => computePrototypes('d', adapter([]))).toThrow(/no pairs of matrices/)
  })
})
