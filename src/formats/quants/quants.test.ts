import type { BlockType } from '../../base/dtype.ts'
import fixtures from './fixtures.json' with { type: 'json' }
import { describeQuant, type QuantFixture } from './quant.contract.ts'
import { quants } from './quants.ts'

for (const [type, quant] of Object.entries(quants)) {
  describeQuant(type as BlockType, quant, (fixtures as Record<string, QuantFixture>)[type]!)
}
