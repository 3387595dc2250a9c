import { describe, expect, it } from 'vitest'
import { describeCheckoutCommand } from './run-process.ts'

describe('the command of a checkout', () => {
  it('has the path from here', () => {
    expect(describeCheckoutCommand('/home/a/graft', '/home/a/graft')).toBe('node scripts/graft.mjs')
    expect(describeCheckoutCommand('/home/a/graft', '/home/a/data')).toBe(
      'node ../graft/scripts/graft.mjs',
    )
  })
})
