import { expect, it } from 'vitest'
import { joinBytes, joinFloats } from './concat.ts'

it('parts lie one after the other, from any iterable, also from views', () => {
  function* parts() {
    yield Uint8Array.of(1, 2)
    yield new Uint8Array(0)
    yield Uint8Array.of(9, 3, 9).subarray(1, 2)
  }
  expect(joinBytes(parts())).toEqual(Uint8Array.of(1, 2, 3))
  expect(joinBytes([])).toEqual(new Uint8Array(0))
  expect(joinFloats([Float32Array.of(0.5), Float32Array.of(-1, 2)])).toEqual(
    Float32Array.of(0.5, -1, 2),
  )
})
