import { expect, it } from 'vitest'
import { describeOldNode } from './old-node.ts'

const withNode = (node: string, more = {}): NodeJS.ProcessVersions => ({
  ...process.versions,
  node,
  ...more,
})

it('names both versions of a Node that is too old', () => {
  expect(describeOldNode(withNode('20.20.2'))).toMatch(
    /^Graft needs Node 24 or newer; this is Node 20\.20\.2 \(\/.+\)\. Install Node 24/,
  )
  expect(describeOldNode(withNode('9.11.0'))).toContain('9.11.0')
  for (const node of ['24.0.0', '100.1.0']) expect(describeOldNode(withNode(node))).toBeUndefined()
  expect(describeOldNode(withNode('22.6.0', { bun: '1.3.0' }))).toBeUndefined()
})
