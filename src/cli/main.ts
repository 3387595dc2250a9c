#!/usr/bin/env node
// The command `graft`.

import { describeOldNode } from '../node/processes/old-node.ts'

const problem = describeOldNode(process.versions)
if (problem !== undefined) {
  console.error(`graft: ${problem}`)
  process.exit(1)
}
const [{ useCodeCache }, { useHugePages }] = await Promise.all([
  import('./core/code-cache.ts'),
  import('./core/huge-pages.ts'),
])
useCodeCache()
useHugePages(process.argv[2])
const [{ commands }, { runProcess }] = await Promise.all([
  import('./command-table.ts'),
  import('./core/run-process.ts'),
])
await runProcess(process.argv.slice(2), commands, async (style, columns) => {
  const [{ gatherHome }, { describeHome }] = await Promise.all([
    import('./home/gather-home.ts'),
    import('./home/describe-home.ts'),
  ])
  return describeHome(await gatherHome(), style, columns)
})
