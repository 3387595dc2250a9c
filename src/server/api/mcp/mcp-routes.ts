// /mcp: the tools over Streamable HTTP, without sessions, for the protocol's revision 2026-07-28
// and earlier ones.

import type { McpHttpHandler } from '@modelcontextprotocol/server'
import type { ErrorBody } from '../../error-response.ts'
import { defineRoute, type Route, type RouteCall, type ServerContext } from '../../route.ts'
import { getOwner } from '../files/own-files.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { createMcpFactory } from './create-mcp-server.ts'
import type { McpCaller, McpTool } from './mcp-tool.ts'

export interface McpRouteParts {
  readonly tools: readonly McpTool[]
  readonly version: string
  /** Bytes of a message; longer ones are refused with 413. */
  readonly maxBodyBytes: number
  /** Receives errors that the request did not cause. */
  readonly onFault: (error: unknown, context: ServerContext) => void
}

const summaries = {
  POST: 'A message of the Model Context Protocol: lists and calls tools.',
  GET: 'Refused with 405: this server keeps no sessions.',
  DELETE: 'Refused with 405: this server keeps no sessions.',
}

const message = {
  type: 'object',
  required: ['jsonrpc', 'method'],
  properties: {
    jsonrpc: { const: '2.0' },
    id: { type: ['string', 'integer'] },
    method: { type: 'string' },
    params: { type: 'object' },
  },
}

export function createMcpRoutes(parts: McpRouteParts): readonly Route[] {
  let opened: Promise<McpHttpHandler> | undefined
  const answer = async (call: RouteCall): Promise<Response> => {
    const handler = await (opened ??= openHandler(parts))
    const caller = createCaller(call, parts)
    return handler.fetch(call.context.req.raw, {
      authInfo: { token: '', clientId: caller.owner, scopes: [], extra: { caller } },
    })
  }
  return (['POST', 'GET', 'DELETE'] as const).map((method) =>
    defineRoute({
      method,
      path: '/mcp',
      scope: 'infer',
      tag: 'MCP',
      summary: summaries[method],
      describeError,
      ...(method !== 'GET' && {
        ownBody: { contentType: 'application/json', schema: method === 'POST' ? message : {} },
      }),
      handle: answer,
    }),
  )
}

async function openHandler({
  tools,
  version,
  maxBodyBytes,
}: McpRouteParts): Promise<McpHttpHandler> {
  const { createMcpHandler } = await import('@modelcontextprotocol/server')
  const factory = await createMcpFactory({
    tools,
    version,
    findCaller: ({ authInfo }) => authInfo!.extra!['caller'] as McpCaller,
  })
  return createMcpHandler(factory, { maxRequestBodySize: maxBodyBytes })
}

const createCaller = (call: RouteCall, { onFault }: McpRouteParts): McpCaller => ({
  service: call.service,
  scopes: call.context.get('scopes'),
  owner: getOwner(call.context),
  createId: call.createId,
  answer: (request, user, responseId, signal) =>
    startAnswer(
      Object.assign({}, call, { signal: AbortSignal.any([call.signal, signal]) }),
      request,
      user,
      responseId,
    ).events,
  onFault: (error) => onFault(error, call.context),
})

/** JSON-RPC's range for server errors. */
const serverError = -32_000

/** Errors before the protocol begins, such as a missing key. */
const describeError = ({ error }: ErrorBody): object => ({
  jsonrpc: '2.0',
  id: null,
  error: { code: serverError, message: error.message, data: error },
})
