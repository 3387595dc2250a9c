// The table of commands. A new command is a file in commands/ and a row here.

import type { Command } from './command.ts'
import { chat } from './commands/chat.ts'
import { quickstart } from './commands/quickstart.ts'
import { runCommand } from './commands/run.ts'
import { train } from './commands/train.ts'

/** In the order in which they are listed. */
export const commands: ReadonlyMap<string, Command> = new Map<string, Command>(
  [quickstart, train, runCommand, chat].map((command) => [command.name, command as unknown as Command]),
)
