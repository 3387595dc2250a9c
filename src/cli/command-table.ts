// The table of commands. A new command is a file in commands/ and a row here.

import type { Command } from './command.ts'
import { adapters } from './commands/adapters.ts'
import { bench } from './commands/bench.ts'
import { chat } from './commands/chat.ts'
import { compressCommand } from './commands/compress.ts'
import { convert } from './commands/convert.ts'
import { evaluate } from './commands/eval.ts'
import { extractCommand } from './commands/extract.ts'
import { inspect } from './commands/inspect.ts'
import { learnCommand } from './commands/learn.ts'
import { mergeCommand } from './commands/merge.ts'
import { models } from './commands/models.ts'
import { quickstart } from './commands/quickstart.ts'
import { runCommand } from './commands/run.ts'
import { train } from './commands/train.ts'

const all = [
  quickstart,
  train,
  evaluate,
  runCommand,
  chat,
  learnCommand,
  mergeCommand,
  extractCommand,
  compressCommand,
  models,
  adapters,
  inspect,
  convert,
  bench,
]

/** In the order in which they are listed. */
export const commands: ReadonlyMap<string, Command> = new Map(
  all.map((command) => [command.name, command]),
)
