import { expect, it } from 'vitest'
import { UnsupportedError } from '../base/errors.ts'
import { checkAddressable } from './addressable.ts'

it('a model that WebAssembly cannot address is refused with both numbers', () => {
  expect(() => checkAddressable('large', 'serving', 4.2e9)).toThrow(UnsupportedError)
  expect(() => checkAddressable('large', 'serving', 4.2e9)).toThrow(
    '4.2 GB, and WebAssembly addresses 4 GB',
  )
  expect(() => checkAddressable('large', 'training', 4.2e9)).toThrow('quantization: nf4')
})

it('a model that fits is not', () => {
  expect(() => checkAddressable('small', 'serving', 1e9)).not.toThrow()
})
