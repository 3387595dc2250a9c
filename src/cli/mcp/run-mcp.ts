// What graft mcp does: serves the tools of MCP on standard input and output until the client ends
// it.

import { startMcp } from '../../node/serve/start-mcp.ts'
import { servingFields } from '../../node/serve/open-serving.ts'
import { announceTask } from '../../node/files/running.ts'
import { type Context, UsageError } from '../command.ts'
import { getRunningFolder } from '../home/places.ts'
import { chooseServed } from '../serve/choose-served.ts'
import { type mcpOptions, toMcpSettings } from './mcp-options.ts'

export async function runMcp({
  values,
  positionals,
  terminal,
  signal,
  version,
  json,
}: Context<typeof mcpOptions>): Promise<void> {
  if (json)
    throw new UsageError('--json: the protocol is on standard output; leave out this option.')
  const served = await chooseServed(positionals[0], values, terminal)
  const mcp = await startMcp({
    ...toMcpSettings(values, servingFields),
    ...served,
    ...(values.state !== undefined && { state: values.state }),
    version,
    input: process.stdin,
    output: process.stdout,
    onFault: (error) => terminal.note(`graft mcp: ${String(error)}`),
  })
  const stopped = new Promise<void>((stop) => {
    if (signal.aborted) stop()
    signal.addEventListener('abort', () => stop(), { once: true })
  })
  const endTask = await announceTask(getRunningFolder(), {
    command: 'graft mcp',
    about: served.model,
  })
  try {
    const failed = mcp.ready.then(() => new Promise<never>(() => {}))
    await Promise.race([mcp.ended, stopped, failed])
  } finally {
    await mcp.close()
    await endTask()
  }
}
