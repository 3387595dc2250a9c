// The table of MCP tools. A new tool is a file in tools/ and a row here.

import type { McpTool } from './mcp-tool.ts'
import { expertsTool } from './tools/experts.ts'
import { feedbackTool } from './tools/feedback.ts'
import { generateTool } from './tools/generate.ts'
import { learnTool } from './tools/learn.ts'
import { objectTool } from './tools/object.ts'
import { routeTool } from './tools/route.ts'

export const mcpTools: readonly McpTool[] = [
  generateTool,
  objectTool,
  expertsTool,
  feedbackTool,
  learnTool,
  routeTool,
]
