// The tools as an MCP server: a factory that both transports and both generations of the protocol
// use.

import type { McpServer, McpServerFactory, ServerContext } from '@modelcontextprotocol/server'
import {
  describeFields,
  type Fields,
  findOptionProblems,
  isRecord,
  joinProblems,
  type JsonSchema,
} from '../../../base/schema.ts'
import { createErrorBody, toRequestError } from '../../error-response.ts'
import type { McpCaller, McpTool } from './mcp-tool.ts'

export interface McpParts {
  readonly tools: readonly McpTool[]
  readonly version: string
  /** The caller, from what the transport passed on. */
  readonly findCaller: (context: Parameters<McpServerFactory>[0]) => McpCaller | Promise<McpCaller>
}

const instructions =
  'Graft serves one local base model and many small experts of it. Call experts to see who can answer, generate or object to ask one of them by "model", feedback or learn to teach a user of yours, train to make a new expert from rows.'

/** Loads the protocol's library, which nothing else needs. */
export async function createMcpFactory(parts: McpParts): Promise<McpServerFactory> {
  const { McpServer } = await import('@modelcontextprotocol/server')
  const { tools, version, findCaller } = parts
  return async (context) => {
    const caller = await findCaller(context)
    const server = new McpServer(
      { name: 'graft', title: 'Graft', version },
      {
        instructions,
        capabilities: { tools: {} },
        // The tools of a key change only when the program is updated.
        cacheHints: {
          'tools/list': { ttlMs: 60_000, cacheScope: 'private' },
          'server/discover': { ttlMs: 60_000, cacheScope: 'private' },
        },
      },
    )
    for (const tool of tools) if (canCall(caller, tool)) addTool(server, tool, caller)
    return server
  }
}

/** Whether a caller's key has the scope of a tool; other tools are not listed. */
const canCall = ({ scopes }: McpCaller, { scope }: McpTool): boolean =>
  scopes === undefined || scopes.includes(scope) || scopes.includes('admin')

function addTool(server: McpServer, tool: McpTool, caller: McpCaller): void {
  const { name, title, about, isReadOnly, answer } = tool
  server.registerTool(
    name,
    {
      title,
      description: about,
      inputSchema: createToolSchema(tool),
      outputSchema: createSchema(answer, (value) => ({ value: value as Record<string, unknown> })),
      annotations: {
        readOnlyHint: isReadOnly,
        destructiveHint: false,
        idempotentHint: isReadOnly,
        openWorldHint: false,
      },
    },
    async (given, context) => runTool(tool, caller, given, context),
  )
}

async function runTool(
  tool: McpTool,
  caller: McpCaller,
  given: Readonly<Record<string, unknown>>,
  { mcpReq }: ServerContext,
) {
  const { _meta: { progressToken } = {} } = mcpReq
  const report = async (done: number, message: string, total?: number): Promise<void> => {
    if (progressToken === undefined) return
    const params = { progressToken, progress: done, message, ...(total !== undefined && { total }) }
    await mcpReq.notify({ method: 'notifications/progress', params })
  }
  try {
    const { text, value } = await tool.run({ given, caller, signal: mcpReq.signal, report })
    return {
      content: [{ type: 'text' as const, text }],
      structuredContent: value as Record<string, unknown>,
    }
  } catch (error) {
    if (toRequestError(error).status >= 500) caller.onFault(error)
    const { message } = createErrorBody(error).error
    return { content: [{ type: 'text' as const, text: message }], isError: true }
  }
}

/** The arguments of a tool, checked like the bodies of routes: null counts as absent. */
const createToolSchema = ({ fields, required }: McpTool) =>
  createSchema(
    Object.assign(describeFields(fields), required.length > 0 && { required }),
    (given) => readArguments(given, fields, required),
  )

type GivenArguments = Readonly<Record<string, unknown>>

type Checked =
  { readonly value: GivenArguments } | { readonly issues: readonly { readonly message: string }[] }

function readArguments(given: unknown, fields: Fields, required: readonly string[]): Checked {
  if (!isRecord(given)) return { issues: [{ message: 'The arguments are not an object.' }] }
  const value = Object.fromEntries(Object.entries(given).filter(([, item]) => item !== null))
  const problems = [
    ...required.filter((name) => value[name] === undefined).map((name) => `${name} is missing`),
    ...findOptionProblems(value, fields),
  ]
  return problems.length > 0 ? { issues: [{ message: joinProblems(problems) }] } : { value }
}

/** A schema in the library's form (Standard Schema), with our own check. */
const createSchema = (schema: JsonSchema, validate: (value: unknown) => Checked) => ({
  '~standard': {
    version: 1 as const,
    vendor: 'graft',
    validate,
    types: undefined as { input: GivenArguments; output: GivenArguments } | undefined,
    jsonSchema: { input: () => schema, output: () => schema },
  },
})
