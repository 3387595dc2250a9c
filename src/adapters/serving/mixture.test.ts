import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { createStandalone } from '../vectors/create.ts'
import { simplifyExpert } from './mixture.ts'

const adapter = createStandalone('lora', { rank: 2 }, { width: 4 })
const mixture = { mixture: [{ adapter, weight: 0.5 }] }

describe('simplifyExpert', () => {
  it('keeps adapters and mixtures as they are', () => {
    expect(simplifyExpert(undefined)).toBeUndefined()
    expect(simplifyExpert(adapter)).toBe(adapter)
    expect(simplifyExpert(mixture)).toBe(mixture)
    expect(simplifyExpert({ mixture: [{ adapter, weight: 1 }] })).toBe(adapter)
  })
  it.each([
    [{ mixture: [{ adapter: mixture, weight: 1 }] }, 'mixture[0].adapter: got a mixture'],
    [{ mixture: [{ adapter, weight: 1 }, adapter] }, 'mixture[1].adapter: got undefined'],
    [{ mixture: [{ adapter }] }, 'mixture[0].weight: got undefined, expected a finite number'],
    [{ mixture: ['coder'] }, 'mixture[0]: got "coder", expected { adapter, weight }'],
    [{ mixture: adapter }, 'mixture: got {'],
    [{ mixture: [] }, 'at least one adapter'],
    ['coder', 'adapter: got "coder", expected an adapter'],
    [Promise.resolve(adapter), 'adapter: got a promise, expected an adapter; await it first'],
    [{ rank: 8 }, 'adapter: got an object with rank, expected an adapter'],
  ])('reports what is wrong with %j', (wrong, message) => {
    expect(() => simplifyExpert(wrong as never)).toThrow(OptionError)
    expect(() => simplifyExpert(wrong as never)).toThrow(message)
  })
})
