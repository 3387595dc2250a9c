// The table of commands. A new command is a file in commands/ and a row here.

import type { Command } from './command.ts'
import { adaptersCommand } from './commands/adapters.ts'
import { batchCommand } from './commands/serve/batch.ts'
import { benchCommand } from './commands/bench.ts'
import { captureCommand, captureReplaceCommand } from './commands/capture.ts'
import { chatCommand } from './commands/chat.ts'
import { compressCommand } from './commands/compress.ts'
import { convertCommand } from './commands/convert.ts'
import { dataCommand } from './commands/data.ts'
import { evalCommand } from './commands/eval.ts'
import { expertsCommand } from './commands/experts.ts'
import { extractCommand } from './commands/extract.ts'
import { improveCommand } from './commands/improve/improve.ts'
import { learnExportCommand } from './commands/improve/learn-export.ts'
import { inspectCommand } from './commands/inspect.ts'
import { learnCommand } from './commands/learn.ts'
import { mcpCommand } from './commands/serve/mcp.ts'
import { mergeCommand } from './commands/merge.ts'
import { modelsCommand } from './commands/models.ts'
import { quickstartCommand } from './commands/quickstart.ts'
import { routeEvalCommand } from './commands/route/route-eval.ts'
import { routeExplainCommand } from './commands/route/route-explain.ts'
import { routeTrainCommand } from './commands/route/route-train.ts'
import { runCommand } from './commands/run.ts'
import { serveCommand } from './commands/serve/serve.ts'
import { serveKeysCommand } from './commands/serve/serve-keys.ts'
import { serveUsageCommand } from './commands/serve/serve-usage.ts'
import { trainCommand } from './commands/train.ts'

const all = [
  quickstartCommand,
  trainCommand,
  dataCommand,
  captureCommand,
  captureReplaceCommand,
  evalCommand,
  runCommand,
  chatCommand,
  learnCommand,
  learnExportCommand,
  improveCommand,
  serveCommand,
  mcpCommand,
  batchCommand,
  serveKeysCommand,
  serveUsageCommand,
  routeTrainCommand,
  routeEvalCommand,
  routeExplainCommand,
  mergeCommand,
  extractCommand,
  compressCommand,
  modelsCommand,
  adaptersCommand,
  expertsCommand,
  inspectCommand,
  convertCommand,
  benchCommand,
]

/** In the order in which they are listed. */
export const commands: ReadonlyMap<string, Command> = new Map(
  all.map((command) => [command.name, command]),
)
