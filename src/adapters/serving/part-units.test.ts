import { expect, it } from 'vitest'
import { cutIntoUnits } from './part-units.ts'

it('cuts parts into units of their common width', () => {
  expect(cutIntoUnits([576, 192, 192])).toEqual({ width: 192, owners: [0, 0, 0, 1, 2] })
  expect(cutIntoUnits([1536, 1536])).toEqual({ width: 1536, owners: [0, 1] })
  expect(cutIntoUnits([6, 4])).toEqual({ width: 2, owners: [0, 0, 0, 1, 1] })
  expect(cutIntoUnits([576])).toEqual({ width: 576, owners: [0] })
})
