// graft mcp: the model and its experts as tools for programs that speak the Model Context Protocol.

import { defineCommand } from '../../command.ts'

export const mcpCommand = defineCommand({
  name: 'mcp',
  summary: 'offer a model and its experts as tools to agents and editors (MCP)',
  usage: '[model]',
  positionals: [0, 1],
  options: async () => (await import('../../mcp/mcp-options.ts')).mcpOptions,
  examples: [
    { command: 'graft mcp --learn', about: 'the default model on standard input and output' },
    {
      command:
        'claude mcp add graft -- graft mcp smollm2-135m-instruct --adapter coder=.graft/coder',
      about: 'as a server of an agent, with an expert',
    },
  ],
  async run(context) {
    const { runMcp } = await import('../../mcp/run-mcp.ts')
    return runMcp(context)
  },
})
