#!/usr/bin/env node
// The command `graft`.

import { commands } from './command-table.ts'
import { runProcess } from './core/run-process.ts'

await runProcess(process.argv.slice(2), commands)
