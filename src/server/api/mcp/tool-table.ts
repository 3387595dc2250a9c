// The table of MCP tools. A new tool is a file in tools/ and a row here.

import type { McpTool } from './mcp-tool.ts'
import { evalTool } from './tools/eval.ts'
import { expertsTool } from './tools/experts.ts'
import { feedbackTool } from './tools/feedback.ts'
import { generateTool } from './tools/generate.ts'
import { learnTool } from './tools/learn.ts'
import { objectTool } from './tools/object.ts'
import { routeTool } from './tools/route.ts'
import { createTrainTool, type TrainToolParts } from './tools/train.ts'

export const mcpTools: readonly McpTool[] = [
  generateTool,
  objectTool,
  expertsTool,
  feedbackTool,
  learnTool,
  evalTool,
  routeTool,
]

/** The table with the tool that needs a store for files and jobs. */
export const listMcpTools = (parts: TrainToolParts): readonly McpTool[] => [
  ...mcpTools,
  createTrainTool(parts),
]
