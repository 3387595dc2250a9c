#!/usr/bin/env node
// The command `graft`.

import { commands } from './command-table.ts'
import { runProcess } from './core/run-process.ts'

await runProcess(process.argv.slice(2), commands, async (style) => {
  const [{ gatherHome }, { describeHome }] = await Promise.all([
    import('./home/gather-home.ts'),
    import('./home/describe-home.ts'),
  ])
  return describeHome(await gatherHome(), style)
})
