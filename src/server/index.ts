// graftlm/server: the server as a function from a request to a response, for any platform with web
// requests. Sockets and files are in graftlm/node.

export { createServer, type Middleware, type Server, type ServerOptions } from './app.ts'
export { createAiProvider, type AiProviderOptions } from './api/ai-sdk/create-provider.ts'
export type { AiProvider } from './api/ai-sdk/specification.ts'
export { type CaptureMiddleware, createCaptureMiddleware } from './capture/ai-middleware.ts'
export type { CapturedRow } from './capture/captured-row.ts'
export {
  type Capture,
  type CaptureOptions,
  type CaptureOutcome,
  createCapture,
} from './capture/create-capture.ts'
export { parseRedaction, parseRedactionPattern, type RedactionRule } from './capture/redaction.ts'
export { createErrorBody, createErrorResponse, type ErrorBody } from './error-response.ts'
export {
  type AdapterReader,
  createService,
  type StartingExpert,
  type ServiceOptions,
} from './local/create-service.ts'
export { createOperations, type OperationParts, type Operations } from './operations/operations.ts'
export type { OperationOptions } from './operations/options.ts'
export { createMemoryState } from './state/memory-state.ts'
export type { ServerState } from './state/server-state.ts'
export { RequestError, type RequestErrorFields } from './request-error.ts'
export type { Route, RouteScope, UsageReport } from './route.ts'
export type { AnswerEvent, AnswerRequest, ServedBase, ServedExpert, Service } from './service.ts'
