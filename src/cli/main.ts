#!/usr/bin/env node
// The command `graft`.

import { useCodeCache } from './core/code-cache.ts'
import { useHugePages } from './core/huge-pages.ts'

useCodeCache()
useHugePages(process.argv[2])
const [{ commands }, { runProcess }] = await Promise.all([
  import('./command-table.ts'),
  import('./core/run-process.ts'),
])
await runProcess(process.argv.slice(2), commands, async (style) => {
  const [{ gatherHome }, { describeHome }] = await Promise.all([
    import('./home/gather-home.ts'),
    import('./home/describe-home.ts'),
  ])
  return describeHome(await gatherHome(), style)
})
