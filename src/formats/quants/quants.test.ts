import { expect, it } from 'vitest'
import type { BlockType } from '../../base/dtype.ts'
import fixtures from './fixtures.json' with { type: 'json' }
import { describeQuant, describeQuantize } from './quant.contract.ts'
import { type Quant, quants } from './quant-table.ts'

const rows = Object.entries(quants) as [BlockType, Quant][]
type Writable = 'q4_0' | 'q4_1' | 'q8_0'
const writable = rows.filter(
  (row): row is [Writable, Required<Quant>] => row[1].quantize !== undefined,
)

for (const [type, quant] of rows) describeQuant(type, quant, fixtures[type])
for (const [type, quant] of writable) describeQuantize(type, quant, fixtures[type])

it('writes the formats that the reference can write and Graft needs', () => {
  expect(writable.map(([type]) => type)).toEqual(['q4_0', 'q4_1', 'q8_0'])
})
